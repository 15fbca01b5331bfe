"""`--to timm`: weights and settings that `timm.create_model` takes.

Networks of timm are cut into blocks, whose weights have other names. Which is which is found by
cutting a network whose weights are all different: each is known again by its numbers.

Legend: B batch, C channels, H height, W width, D features, K numbers that the head gives.
"""

import copy
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from raytl.errors import ModelError
from raytl.exporting.linear import OTHERS, LinearModel, linear_model, trial_of
from raytl.exporting.photos import Photos
from raytl.exporting.whole import check_same, facts_of
from raytl.modalities.backbone import Backbone
from raytl.modalities.image.timm_models import TIMM, create_timm, cut_timm, timm_settings
from raytl.modalities.image.transform import ImageTransform
from raytl.models.source_folder import CompleteModel, load_complete_model

FILE, CONFIG, README = "model.safetensors", "config.json", "README.md"


@dataclass(frozen=True)
class TimmModel:
    """A network of timm's own that gives what raytl's model gives: `name` and `args` of
    `timm.create_model`, besides num_classes."""

    name: str
    args: dict[str, Any]
    network: nn.Module
    labels: tuple[str, ...]
    settings: dict[str, Any]  # timm's `pretrained_cfg`
    photos: Photos


def export_timm(model: Path, folder: Path) -> dict[str, Any]:
    """Write the model in `model` as timm loads it into `folder`; return what there is to say of it.

    Raises ModelError for a model that no network of timm is, and where timm says something else.
    """
    import timm

    complete = load_complete_model(model)
    found, x_BCHW = timm_model(complete, "timm"), trial_images(complete)
    state = {name: value.contiguous() for name, value in found.network.state_dict().items()}
    save_file(state, folder / FILE)
    loaded = timm.create_model(
        found.name, num_classes=len(found.labels), pretrained=False,
        checkpoint_path=str(folder / FILE), **found.args,
    )  # fmt: skip
    apart = compared(loaded, complete, x_BCHW, f"timm's {found.name}")
    made = {"by": "timm", "timm": str(timm.__version__), "apart": apart}
    (folder / CONFIG).write_text(json.dumps(hub_config(found) | facts_of(complete), indent=1))
    (folder / README).write_text(_readme(found), encoding="utf-8")
    return made


def hub_config(found: TimmModel) -> dict[str, Any]:
    """Return what timm and its hub keep beside weights."""
    config: dict[str, Any] = {
        "architecture": found.name,
        "num_classes": len(found.labels),
        "label_names": list(found.labels),
        "pretrained_cfg": found.settings,
    }
    return config | ({"model_args": found.args} if found.args else {})


def timm_model(complete: CompleteModel, to: str) -> TimmModel:
    """Return a complete model as a network of timm's. Raises ModelError, for the format `to`, where
    its backbone is none or its head is not linear."""
    linear = linear_model(complete, to)
    backbone, transform = linear.branch.backbone, linear.branch.transform
    if not backbone.name.startswith(TIMM) or not isinstance(transform, ImageTransform):
        raise ModelError(
            f"--to {to} needs a network of timm for images, but this model's is {backbone.name}; "
            f"{OTHERS}"
        )
    name = backbone.name.removeprefix(TIMM)
    args = {key: value for key, value in linear.branch.args.items() if key != "num_classes"}
    if timm_settings(backbone.name).fixed_input_size:
        args = {"img_size": list(transform.input_shape[1:])} | args
    weights = _by_timms_names(backbone, transform, linear.branch.args)
    network = _filled(name, args, linear, weights, to)
    photos = Photos.of(complete)
    settings = {
        "input_size": list(transform.input_shape),
        "fixed_input_size": bool(timm_settings(backbone.name).fixed_input_size),
        "interpolation": photos.interpolation,
        "crop_pct": 1.0,
        "crop_mode": photos.crop_mode,
        **photos.colours,
        "num_classes": len(linear.labels),
    }
    return TimmModel(name, args, network, linear.labels, settings, photos)


def _by_timms_names(
    backbone: Backbone, transform: ImageTransform, args: dict[str, Any]
) -> dict[str, Tensor]:
    """Return a cut network's weights under timm's names. Raises ModelError where timm's network of
    today is cut in another way."""
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that one cannot be cut was said before
        torch.manual_seed(0)
        marked = create_timm(backbone.name, transform.input_shape, **args)
        _mark(marked)
        cut = cut_timm(backbone.name, copy.deepcopy(marked), transform.input_shape).state_dict()
    names: dict[bytes, list[str]] = {}
    for name, value in marked.state_dict().items():
        names.setdefault(_bytes(value), []).append(name)
    found: dict[str, Tensor] = {}
    for key, value in backbone.state_dict().items():
        if key not in cut:
            raise ModelError(f"{backbone.name}: timm of today has no '{key}'; take its old version")
        if value.is_floating_point():
            found |= dict.fromkeys(names[_bytes(cut[key])], value)
    return found


@torch.no_grad()
def _mark(network: nn.Module) -> None:
    """Make all weights of a network differ from each other, a little."""
    for value in network.state_dict().values():
        if value.is_floating_point():
            value += 0.01 * torch.rand_like(value)


def _bytes(value: Tensor) -> bytes:
    return str(tuple(value.shape)).encode() + value.detach().contiguous().numpy().tobytes()


@torch.no_grad()
def _filled(
    name: str, args: dict[str, Any], linear: LinearModel, weights: dict[str, Tensor], to: str
) -> nn.Module:
    """Return timm's network with the weights, and the linear head as its classifier."""
    import timm

    network: Any = timm.create_model(name, num_classes=len(linear.labels), pretrained=False, **args)
    last = network.get_classifier()
    if not isinstance(last, nn.Linear | nn.Conv2d) or last.bias is None:
        raise ModelError(
            f"--to {to} needs a linear classifier, but that of timm's {name} is a "
            f"{type(last).__name__}; {OTHERS}"
        )
    own = {id(value) for value in last.state_dict(keep_vars=True).values()}
    for key, value in network.state_dict(keep_vars=True).items():
        if id(value) in own or not value.is_floating_point():
            continue
        # What is not in the blocks is not used where features are asked for
        value.copy_(weights[key]) if key in weights else value.zero_()
    last.weight.copy_(linear.weight.view_as(last.weight))
    last.bias.copy_(linear.bias)
    whole: nn.Module = network.eval()
    return whole


def trial_images(complete: CompleteModel, rows: int = 3) -> Tensor:
    """Return images as the network takes them, drawn: x_BCHW."""
    (transform,) = complete.transforms.values()
    assert isinstance(transform, ImageTransform)
    generator = torch.Generator().manual_seed(0)
    channels, height, width = transform.input_shape
    images = torch.randint(0, 256, (rows, height, width, channels), generator=generator)
    return transform(images.to(torch.uint8))


@torch.inference_mode()
def compared(network: Any, complete: CompleteModel, x_BCHW: Tensor, what: str) -> float:
    """Return how far a network's output lies from raytl's; raises ModelError as `check_same`."""
    return check_same(network.eval()(x_BCHW), trial_of(complete, x_BCHW, (x_BCHW,)), what)


def _readme(found: TimmModel) -> str:
    args = "".join(f", {key}={value!r}" for key, value in found.args.items())
    photos = found.photos
    near = "does this too" if photos.stretched else "comes near to this, and is not the same"
    return f"""# timm's {found.name}

Exported by raytl, which is not needed to run it.

```python
import timm

model = timm.create_model(
    "{found.name}", num_classes={len(found.labels)}, pretrained=False,
    checkpoint_path="{FILE}"{args},
).eval()
output = model(images)
```

`images`: float32 (batch, {", ".join(map(str, found.settings["input_size"]))}), pixels in [0, 1] of
images {photos.words}, minus
mean {found.settings["mean"]}, over std {found.settings["std"]}.
What timm makes of `pretrained_cfg` in `{CONFIG}` {near}.

Output: (batch, {len(found.labels)}): {", ".join(found.labels)}.
"""
