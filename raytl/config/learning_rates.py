"""Learning rates worth trying: the peaks of `optimizer.lr`, by optimiser and by what is trained."""

from typing import Literal

# A head on frozen features; all blocks of a pretrained backbone, which learn at
# `transferred_lr_scale` times the rate, with a head; all blocks from random weights.
Trained = Literal["head", "transferred", "fresh"]
LEARNING_RATES: dict[str, dict[Trained, tuple[float, float]]] = {
    "sgd": {"head": (5e-3, 5e-1), "transferred": (3e-3, 2e-1), "fresh": (3e-3, 2e-1)},
    "adam": {"head": (5e-4, 5e-2), "transferred": (3e-4, 1e-2), "fresh": (2e-4, 1e-2)},
    "adamw": {"head": (5e-4, 5e-2), "transferred": (3e-4, 1e-2), "fresh": (2e-4, 1e-2)},
}

# What `transferred_lr_scale: auto` is, for blocks that normalise their features (batch norm and the
# like) and for those that do not. A network whose features are normalised bears, and needs, rates
# at which another forgets what it knows or diverges; Adam's step does not shrink with the gradient,
# so that its head and blocks lie further apart (benchmarks/finetune_defaults.py).
TRANSFERRED_SCALE: dict[str, dict[bool, float]] = {
    "sgd": {True: 3.0, False: 0.1},
    "adam": {True: 1.0, False: 0.03},
    "adamw": {True: 1.0, False: 0.03},
}
