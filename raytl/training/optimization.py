"""Optimisers, and the learning rate as a pure function of progress."""

import math

import torch
from torch import nn

from raytl.config import OptimizerConfig
from raytl.models.transfer_model import TransferModel


def learning_rate_factor(config: OptimizerConfig, progress: float) -> float:
    """Return the learning rate relative to its peak, for progress = step / steps in [0, 1].

    Linear from 0 over the first `warmup` fraction, then constant or half a cosine down to 0
    (Loshchilov & Hutter 2017, eq. 5, one cycle).
    """
    if progress < config.warmup:
        return progress / config.warmup
    if config.schedule == "constant":
        return 1.0
    after = (progress - config.warmup) / (1.0 - config.warmup)
    return 0.5 * (1.0 + math.cos(math.pi * after))


def build_optimizer(
    config: OptimizerConfig, model: TransferModel, recipe: nn.Module
) -> torch.optim.Optimizer:
    """Return the optimiser over what the model and the recipe train.

    Each group carries `lr_scale`: `transferred_lr_scale` for transferred blocks, 1 for the rest.
    """
    groups = model.parameter_groups()
    new = [*groups["new"], *recipe.parameters()]
    scaled = [(groups["transferred"], config.transferred_lr_scale), (new, 1.0)]
    params = [
        {"params": parameters, "lr_scale": scale, "lr": config.lr * scale}
        for parameters, scale in scaled
        if parameters
    ]
    if config.name == "sgd":
        return torch.optim.SGD(
            params, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay
        )
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.name]
    return kind(params, lr=config.lr, weight_decay=config.weight_decay)


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group `lr` times its scale."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]
