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
