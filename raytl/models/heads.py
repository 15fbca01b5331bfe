"""Heads: the target network after the mapper.

Legend: B batch, D mapped features, K classes.
"""

from collections.abc import Callable

from torch import nn

from raytl.config import HeadConfig


def linear(config: HeadConfig, in_dim: int, num_classes: int) -> nn.Module:
    """z_BD → logits_BK."""
    return nn.Sequential(nn.Dropout(config.dropout), nn.Linear(in_dim, num_classes))


def mlp(config: HeadConfig, in_dim: int, num_classes: int) -> nn.Module:
    """z_BD → logits_BK with one hidden ReLU layer."""
    return nn.Sequential(
        nn.Linear(in_dim, config.hidden), nn.ReLU(), nn.Dropout(config.dropout),
        nn.Linear(config.hidden, num_classes),
    )  # fmt: skip


HEADS: dict[str, Callable[[HeadConfig, int, int], nn.Module]] = {"linear": linear, "mlp": mlp}


def build_head(config: HeadConfig, in_dim: int, num_classes: int) -> nn.Module:
    """Build the head for mapped features of width `in_dim`."""
    return HEADS[config.name](config, in_dim, num_classes)
