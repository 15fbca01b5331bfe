"""Write the weights that every tool gets in the form that one of them reads: run by that tool's
interpreter, as `weights.py TOOL FOLDER OUT`. No user writes this: they would have such files.

raytl        the files themselves, and the Hugging Face folder
autogluon    a folder as AutoGluon saves timm's networks, less the last layer; a Hugging Face one
ludwig       a folder of timm's; torchvision's file where torch.hub keeps it; a Hugging Face one
quicktune    none: it has no place for any
"""

import json
import shutil
import sys
from pathlib import Path

SQUEEZENET = "squeezenet1_0_imagenet_deepcompression.pth"
EFFICIENTNET, NETWORK = "tf_efficientnet_lite0_imagenet.pth", "tf_efficientnet_lite0"
MINILM = "minilm_l6"


def for_raytl(weights: Path, out: Path) -> None:
    shutil.copyfile(weights / SQUEEZENET, out / "squeezenet1_0.pth")
    shutil.copyfile(weights / EFFICIENTNET, out / f"{NETWORK}.pth")
    shutil.copytree(weights / MINILM, out / MINILM)


def for_autogluon(weights: Path, out: Path) -> None:
    of_timm(weights, out / "timm_image", last_layer=False)
    of_hugging_face(weights, out / MINILM)


def for_ludwig(weights: Path, out: Path) -> None:
    from torchvision.models import SqueezeNet1_0_Weights

    of_timm(weights, out / "timm_image", last_layer=True)
    of_hugging_face(weights, out / MINILM)
    hub = out / "torch" / "hub" / "checkpoints"
    hub.mkdir(parents=True)
    url = SqueezeNet1_0_Weights.DEFAULT.url
    shutil.copyfile(weights / SQUEEZENET, hub / url.rpartition("/")[2])


def of_timm(weights: Path, out: Path, *, last_layer: bool) -> None:
    """Write a network of timm's as its hub has them: what it is, and its weights."""
    import timm
    import torch

    network = timm.create_model(NETWORK)
    state = torch.load(weights / EFFICIENTNET, weights_only=True)
    network.load_state_dict(state)
    if not last_layer:
        state = {name: value for name, value in state.items() if "classifier" not in name}
    out.mkdir()
    torch.save(state, out / "pytorch_model.bin")
    known = {k: v for k, v in network.default_cfg.items() if v is not None and k != "url"}
    config = {"architecture": NETWORK, "num_classes": 1000, "num_features": network.num_features}
    text = json.dumps(config | {"pretrained_cfg": known}, indent=2)
    (out / "config.json").write_text(text, encoding="utf-8")


def of_hugging_face(weights: Path, out: Path) -> None:
    """Copy a folder of Hugging Face's, its half precision made single: libraries differ in which
    one they train."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(weights / MINILM, out)
    state = {name: value.float() for name, value in load_file(out / "model.safetensors").items()}
    save_file(state, out / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((out / "config.json").read_text("utf-8"))
    config |= {key: "float32" for key in ("dtype", "torch_dtype") if key in config}
    (out / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")


WRITERS = {
    "raytl": for_raytl,
    "autogluon": for_autogluon,
    "ludwig": for_ludwig,
    "quicktune": lambda weights, out: None,
}

if __name__ == "__main__":
    tool, weights, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    out.mkdir(parents=True)
    WRITERS[tool](weights, out)
