"""Fine-tuning all blocks with raytl's defaults, and by a plain torch loop tuned by hand.

Networks, all with pretrained weights: torchvision's SqueezeNet 1.0 (no batch norm), timm's
EfficientNet-Lite0 (needs timm), and the CIFAR-10 ResNet-20 on images of 32 pixels. Data: ants and
bees (its own validation split), and one domain of Office with the ten Caltech classes (70 % of
each class are trained on).

  plain     a cross-entropy loop with the same epochs, batches and normalisation, a cosine and no
            clipping: SGD with momentum at five learning rates, Adam at six
  default   raytl's target_only with OptimizerConfig's defaults, one run
  control   the same as a study's control: sgd and adam at three rates of LEARNING_RATES each

A try is the mean over `--seeds` (of head, batches and rows' order). The best of a side is read off
the rows that it is scored by, so it is no honest figure for a method; the plain side has eleven
tries, the control six, the default one. One thread. A finished run is one line in `--out`; started
again, the benchmark goes on with what is missing.

    python benchmarks/finetune_defaults.py --data data --out runs/finetune.jsonl --seeds 3 \
        [--only squeezenet:hymenoptera]
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from raytl.config import Normalization, OptimizerConfig, Study, TrialConfig
from raytl.config.learning_rates import LEARNING_RATES
from raytl.data.importers.base import ShardOptions
from raytl.data.shard import shard
from raytl.errors import TrainingError
from raytl.modalities.image.catalogue import backbone_spec, build_backbone
from raytl.modalities.image.wing import IMAGENET
from raytl.sweeping.search.controls import spread
from raytl.training.material import Material
from raytl.training.trial import run_trial

BATCH = 32
HALF = Normalization(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
Arrays = dict[str, np.ndarray]
SQUEEZENET = "squeezenet1_0_imagenet_deepcompression.pth"
# Origin, backbone, weights below DATA/pretrained, normalisation, side in pixels.
NETWORKS: dict[str, tuple[str, str, str, Normalization, int]] = {
    "squeezenet": ("torchvision", "squeezenet1_0", SQUEEZENET, IMAGENET, 128),
    "efficientnet": (
        "timm", "tf_efficientnet_lite0", "tf_efficientnet_lite0_imagenet.pth", HALF, 128,
    ),
    "resnet20": ("backbone", "cifar_resnet20", "cifar10_resnet20-12fca82f.th", IMAGENET, 32),
}  # fmt: skip
DATASETS = ("hymenoptera", "webcam", "amazon")
Try = tuple[str, float]  # optimiser and peak learning rate
PLAIN: list[Try] = [
    *(("sgd", lr) for lr in (3e-4, 1e-3, 3e-3, 1e-2, 3e-2)),
    *(("adam", lr) for lr in (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)),
]
DEFAULT = OptimizerConfig()


def read_images(folder: Path, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the images of a folder of class folders, (N, H, W, 3) uint8, and their labels."""
    images, labels = [], []
    for label, of_class in enumerate(sorted(p for p in folder.iterdir() if p.is_dir())):
        for file in sorted(p for p in of_class.iterdir() if p.suffix.lower() != ".gif"):
            image = Image.open(file).convert("RGB").resize((side, side), Image.Resampling.BILINEAR)
            images.append(np.asarray(image))
            labels.append(label)
    return np.stack(images), np.array(labels)


@cache
def arrays(data: Path, name: str, side: int) -> Arrays:
    """Return x_train, y_train, x_test and y_test; training rows are shuffled."""
    rng = np.random.default_rng(0)
    if name == "hymenoptera":
        parts = [read_images(data / f"hymenoptera/hymenoptera_data/{s}", side) for s in
                 ("train", "val")]  # fmt: skip
        (x, y), (x_test, y_test) = parts
    else:
        x, y = read_images(data / f"office/{name}", side)
        order = rng.permutation(len(x))
        ranks = np.empty(len(x))
        for label in np.unique(y):
            of_class = order[y[order] == label]
            ranks[of_class] = np.arange(len(of_class)) / len(of_class)
        held = ranks >= 0.7
        (x, y), (x_test, y_test) = (x[~held], y[~held]), (x[held], y[held])
    order = rng.permutation(len(x))
    return {"x_train": x[order], "y_train": y[order], "x_test": x_test, "y_test": y_test}


def raytl_run(args: argparse.Namespace, network: str, data: str, seed: int, **flat: Any) -> float:
    """Return the accuracy of one trial on the held-out rows, or 0 where it failed."""
    origin, backbone, weights, normalization, side = NETWORKS[network]
    folder = shards(args.data.resolve(), data, side)
    source = {
        origin: backbone, "weights": str((args.data / "pretrained" / weights).resolve()),
        "normalization": normalization, "input_size": side,
    }  # fmt: skip
    study = Study.model_validate(
        {
            "study": "finetune_defaults",
            "target_domain": {"dataset": folder, "splits": {"validation": "validation"}},
            "source_models": {"net": source},
            "space": {},
            "train": {"epochs": args.epochs, "batch_size": BATCH},
        }
    )
    trial = TrialConfig.from_flat({"source_model": "net", "recipe": "target_only"} | flat)
    last: dict[str, Any] = {}
    try:
        run_trial(Material.of(study), trial, seed, lambda metrics, _: last.update(metrics))
    except TrainingError:
        return 0.0
    return float(last["target/validation_accuracy"])


@cache
def shards(root: Path, data: str, side: int) -> Path:
    """Return the dataset's folder, written once."""
    folder = Path(tempfile.mkdtemp(prefix="finetune_defaults-"))
    found = arrays(root, data, side)
    # A study names a test split as well; nothing reads it here.
    named = {"train": "train", "validation": "test", "test": "test"}
    parts: dict[str, Any] = {
        f"{part}_{name}": found[f"{part}_{of}"] for name, of in named.items() for part in "xy"
    }
    np.savez(folder / "arrays.npz", **parts)
    splits = {name: (f"x_{name}", f"y_{name}") for name in named}
    shard(
        "arrays", str(folder / "arrays.npz"), folder / "shards",
        options=ShardOptions(splits=splits),
    )  # fmt: skip
    return folder / "shards"


def plain_network(args: argparse.Namespace, network: str, classes: int) -> nn.Module:
    """Return the pretrained network with a new head, as its own library's users make it."""
    _, backbone, weights, _, side = NETWORKS[network]
    state = torch.load(args.data / "pretrained" / weights, weights_only=True, map_location="cpu")
    if network == "squeezenet":
        import torchvision

        squeezenet = torchvision.models.squeezenet1_0()
        squeezenet.load_state_dict(state)
        squeezenet.classifier[1] = nn.Conv2d(512, classes, 1)
        return squeezenet
    if network == "efficientnet":
        import timm

        efficientnet: Any = timm.create_model(backbone, pretrained=False)
        efficientnet.load_state_dict(state)
        efficientnet.reset_classifier(classes)
        return efficientnet
    net = build_backbone(backbone, (3, side, side))
    spec = backbone_spec(backbone)
    assert spec.rename is not None
    state = {key.removeprefix("module."): value for key, value in state["state_dict"].items()}
    net.load_state_dict(spec.rename(state))
    return nn.Sequential(net, nn.Linear(net.feature_dim, classes))


def plain_run(
    args: argparse.Namespace, network: str, data: str, kind: str, lr: float, seed: int
) -> float:
    """Return a plain loop's accuracy on the held-out rows after its last epoch."""
    found = arrays(args.data.resolve(), data, NETWORKS[network][4])
    normalization = NETWORKS[network][3]
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in vars(normalization).values())

    def ready(x: np.ndarray) -> Tensor:
        return (torch.from_numpy(x).permute(0, 3, 1, 2) / 255 - mean) / std

    torch.manual_seed(seed)
    net = plain_network(args, network, int(found["y_train"].max()) + 1)
    parameters = net.parameters()
    optimizer: torch.optim.Optimizer = (
        torch.optim.SGD(parameters, lr, momentum=0.9, weight_decay=5e-4)
        if kind == "sgd"
        else torch.optim.Adam(parameters, lr)
    )
    x, y = ready(found["x_train"]), torch.from_numpy(found["y_train"])
    steps = len(x) // BATCH
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs * steps)
    for _ in range(args.epochs):
        net.train()
        for rows in torch.randperm(len(x))[: steps * BATCH].split(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(net(x[rows]), y[rows]).backward()
            optimizer.step()
            cosine.step()
    net.eval()
    with torch.no_grad():
        logits = torch.cat([net(part) for part in ready(found["x_test"]).split(64)])
    return float((logits.argmax(1) == torch.from_numpy(found["y_test"])).float().mean())


def kept(args: argparse.Namespace, key: list[Any], run: Callable[[], float]) -> dict[str, Any]:
    """Return the line of the run that `key` names: that in the results file, or a new one."""
    out: Path = args.out
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    for record in map(json.loads, lines):
        if record["key"] == key:
            return dict(record)
    start = time.perf_counter()
    record = {"key": key, "accuracy": run(), "seconds": time.perf_counter() - start}
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    return record


def compare(args: argparse.Namespace, network: str, data: str) -> dict[str, float]:
    """Print every run of both sides; return each side's best."""

    def shown(side: str, tried: Try, run: Callable[[int], float]) -> float:
        records = [
            kept(args, [network, data, side, *tried, args.epochs, seed], partial(run, seed))
            for seed in range(args.seeds)
        ]
        told = " ".join(f"{100 * record['accuracy']:.1f}" for record in records)
        mean = float(np.mean([record["accuracy"] for record in records]))
        seconds, (kind, lr) = sum(record["seconds"] for record in records), tried
        print(
            f"{network:13s} {data:12s} {side:8s} {kind:4s} {lr:<8.2g} {100 * mean:5.1f} % ({told}) "
            f"{seconds:6.1f} s", flush=True,
        )  # fmt: skip
        return mean

    def ours(tried: Try, seed: int) -> float:
        kind, lr = tried
        return raytl_run(args, network, data, seed, **{"optimizer": kind, "optimizer.lr": lr})

    tries = [
        (kind, lr) for kind in ("sgd", "adam")
        for lr in spread(*LEARNING_RATES[kind]["transferred"], 3)
    ]  # fmt: skip
    default = (DEFAULT.name, DEFAULT.lr)
    plain = [shown("plain", t, partial(plain_run, args, network, data, *t)) for t in PLAIN]
    return {
        "plain": max(plain),
        "default": shown("default", default, partial(ours, default)),
        "control": max(shown("control", t, partial(ours, t)) for t in tries),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/finetune_defaults.jsonl"))
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--only", nargs="*", default=[], help="NETWORK:DATA")
    args = parser.parse_args()
    torch.set_num_threads(1)
    pairs = [tuple(pair.split(":")) for pair in args.only]
    rows = {}
    for network, data in pairs or product(NETWORKS, DATASETS):
        rows[network, data] = compare(args, network, data)
    print(f"best of each side, %, after {args.epochs} epochs, {args.seeds} seeds")
    for (network, data), best in rows.items():
        figures = "  ".join(f"{side} {100 * value:.1f}" for side, value in best.items())
        print(f"{network:13s} {data:12s} {figures}")


if __name__ == "__main__":
    main()
