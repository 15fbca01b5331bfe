"""Fine-tuning all blocks with raytl's defaults, and by a plain torch loop tuned by hand.

Networks, all with pretrained weights: torchvision's SqueezeNet 1.0 (no batch norm), timm's
EfficientNet-Lite0 (needs timm), and the CIFAR-10 ResNet-20 on images of 32 pixels. Data: ants and
bees (its own validation split), and one domain of Office with the ten Caltech classes (70 % of
each class are trained on).

  raytl     recipe target_only: OptimizerConfig's defaults, and with adam; then the control as a
            study runs it: the best of its tries
  plain     a cross-entropy loop with the same epochs, batches and normalisation and no clipping:
            the best of SGD with momentum and Adam at three learning rates each, cosine or constant

Both sides' best are read off the rows they are scored by, so neither is an honest figure for the
method; the plain side has more tries. One thread.

    python benchmarks/finetune_defaults.py --data data --epochs 8 [--only squeezenet:hymenoptera]
"""

import argparse
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from raytl.config import Normalization, SourceModelConfig, Study, TrialConfig
from raytl.data.importers.base import ShardOptions
from raytl.data.shard import shard
from raytl.errors import TrainingError
from raytl.models import backbones
from raytl.models.backbones.base import Backbone, GlobalPool, Shape
from raytl.models.source_model import IMAGENET
from raytl.training.trial import run_trial

BATCH = 32
HALF = Normalization(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
Arrays = dict[str, np.ndarray]
# Backbone, weights below DATA/pretrained, normalisation, side in pixels.
NETWORKS: dict[str, tuple[str, str, Normalization, int]] = {
    "squeezenet": ("squeezenet1_0", "squeezenet1_0_imagenet_deepcompression.pth", IMAGENET, 128),
    "efficientnet": ("tf_efficientnet_lite0", "tf_efficientnet_lite0_imagenet.pth", HALF, 128),
    "resnet20": ("cifar_resnet20", "cifar10_resnet20-12fca82f.th", IMAGENET, 32),
}
DATASETS = ("hymenoptera", "webcam", "amazon")
PLAIN = [(kind, lr) for kind, rates in {
    "sgd": (3e-4, 1e-3, 3e-3, 1e-2), "adam": (3e-5, 1e-4, 3e-4, 1e-3),
}.items() for lr in rates]  # fmt: skip


def timm_backbone(name: str, input_shape: Shape, **args: Any) -> Backbone:
    """Wrap timm's network: stem, blocks, and its last convolution."""
    import timm

    network = timm.create_model(name, pretrained=False, **args)
    stem = nn.Sequential(network.conv_stem, network.bn1)
    last = nn.Sequential(network.conv_head, network.bn2)
    blocks = [stem, *(block for stage in network.blocks for block in stage), last]
    return Backbone(name, blocks, GlobalPool(), input_shape)


def load_timm(backbone: Backbone, state: dict[str, Any]) -> None:
    """Load timm's own names into the wrapped blocks, in their order."""
    ours = backbone.state_dict()
    theirs = [value for key, value in state.items() if not key.startswith("classifier.")]
    if len(theirs) != len(ours):
        theirs = [v for v in theirs if v.dim() > 0]
        ours = {key: value for key, value in ours.items() if value.dim() > 0}
    backbone.load_state_dict(dict(zip(ours, theirs, strict=True)), strict=False)


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
    """Return the test accuracy of one trial, or NaN where it failed."""
    backbone, weights, normalization, side = NETWORKS[network]
    folder = shards(args, data, side)
    source = SourceModelConfig(
        backbone=backbone, weights=str(args.data / "pretrained" / weights),
        normalization=normalization,
    )  # fmt: skip
    study = Study.model_validate(
        {
            "study": "finetune_defaults",
            "target_domain": {"dataset": folder, "splits": {"validation": "test"}},
            "source_models": {"net": source},
            "space": {},
            "train": {"epochs": args.epochs, "batch_size": BATCH},
        }
    )
    trial = TrialConfig.from_flat({"source_model": "net", "recipe": "target_only"} | flat)
    last: dict[str, Any] = {}
    try:
        run_trial(study, trial, seed, lambda metrics, _: last.update(metrics))
    except TrainingError:
        return float("nan")
    return float(last["target/validation_accuracy"])


_made: dict[tuple[str, int], Path] = {}


def shards(args: argparse.Namespace, data: str, side: int) -> Path:
    """Return the dataset's folder, written once."""
    if (data, side) not in _made:
        folder = Path(tempfile.mkdtemp(prefix="finetune_defaults-"))
        np.savez(folder / "arrays.npz", **arrays(args.data, data, side))
        splits = {name: (f"x_{name}", f"y_{name}") for name in ("train", "test")}
        options = ShardOptions(splits=splits)
        shard("arrays", str(folder / "arrays.npz"), folder / "shards", options=options)
        _made[data, side] = folder / "shards"
    return _made[data, side]


def plain_network(args: argparse.Namespace, network: str, classes: int) -> nn.Module:
    """Return the pretrained network with a new head, as its own library's users make it."""
    backbone, weights, _, side = NETWORKS[network]
    state = torch.load(args.data / "pretrained" / weights, weights_only=True, map_location="cpu")
    if network == "squeezenet":
        import torchvision

        squeezenet = torchvision.models.squeezenet1_0()
        squeezenet.load_state_dict(state)
        squeezenet.classifier[1] = nn.Conv2d(512, classes, 1)
        return squeezenet
    if network == "efficientnet":
        import timm

        net = timm.create_model(backbone, pretrained=False)
        net.load_state_dict(state)
        net.reset_classifier(classes)
        return net
    net = backbones.build_backbone(backbone, (3, side, side))
    spec = backbones.backbone_spec(backbone)
    assert spec.load is not None
    state = {key.removeprefix("module."): value for key, value in state["state_dict"].items()}
    spec.load(net, state)
    return nn.Sequential(net, nn.Linear(net.feature_dim, classes))


def plain_run(
    args: argparse.Namespace, network: str, data: str, seed: int, kind: str, lr: float
) -> float:
    """Return the test accuracy of a plain loop after its last epoch; chance where it diverged."""
    found = arrays(args.data, data, NETWORKS[network][3])
    normalization = NETWORKS[network][2]
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
