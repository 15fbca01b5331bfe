"""Optimisers, and the learning rate as a pure function of progress."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from raytl import devices
from raytl.config import OptimizerConfig, TrialConfig
from raytl.config.learning_rates import TRANSFERRED_SCALE
from raytl.models.branch import Branch
from raytl.models.transfer_model import TransferModel
from raytl.recipes import Recipe

WARMUP_START = 0.1  # of the peak: with 0 the first step, of what may be few, would do nothing


def learning_rate_factor(config: OptimizerConfig, progress: float) -> float:
    """Return the learning rate relative to its peak, for progress = step / steps in [0, 1].

    Linear from WARMUP_START over the first `warmup` fraction, then constant or half a cosine down
    to 0 (Loshchilov & Hutter 2017, eq. 5, one cycle).
    """
    if progress < config.warmup:
        return WARMUP_START + (1.0 - WARMUP_START) * progress / config.warmup
    if config.schedule == "constant":
        return 1.0
    after = (progress - config.warmup) / (1.0 - config.warmup)
    return 0.5 * (1.0 + math.cos(math.pi * after))


def build_optimizer(
    trial: TrialConfig, model: TransferModel, recipe: Recipe
) -> torch.optim.Optimizer:
    """Return the optimiser over what the model and the recipe train.

    Each group carries `lr_scale`: for transferred blocks `transferred_lr_scale` (auto: what
    TRANSFERRED_SCALE says), times `layer_decay` for each block further from the head; 1 for the
    rest. With `l2_sp`, in recipes that draw transferred blocks to their starting point, these have
    no weight decay. Where the device runs beside the host the optimiser is a fused one, which can
    be told on the device to leave out a step (see `finiteness`).
    """
    config, decay = trial.optimizer, trial.optimizer.weight_decay
    pulled = bool(trial.l2_sp) and model.transferred and recipe.pulls_to_start
    groups: list[dict[str, Any]] = []
    for block in model.trainable_blocks():
        branch, fresh = model.branch(block[0]), model.is_fresh(block)
        scale = _transferred_scale(config, branch) * config.layer_decay ** model.distance(block)
        groups.append(
            {
                "params": model.block_parameters(block),
                "lr_scale": 1.0 if fresh else scale,
                "weight_decay": 0.0 if pulled and not fresh else decay,
            }
        )
    added = [p for p in recipe.parameters() if p.requires_grad]
    new = [*model.adapter_parameters(), *model.new_parameters(), *added]
    groups.append({"params": new, "lr_scale": 1.0, "weight_decay": decay})
    params = [group | {"lr": config.lr * group["lr_scale"]} for group in groups if group["params"]]
    fused = devices.runs_beside(params[0]["params"][0].device) or None
    if config.name == "sgd":
        sgd = torch.optim.SGD(params, lr=config.lr, momentum=config.momentum, fused=fused)
        return _with_momentum(sgd) if fused and config.momentum else sgd
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[config.name]
    return kind(params, lr=config.lr, fused=fused)


def _with_momentum(optimizer: torch.optim.SGD) -> torch.optim.SGD:
    """Begin all momentum at zero, from which the first step comes to the same. The fused SGD cannot
    begin it for some parameters of a group later than for others, as where a recipe's discriminator
    gets its first gradient in the middle of training, and would leave it undefined where the first
    step is left out."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def _transferred_scale(config: OptimizerConfig, branch: Branch) -> float:
    if config.transferred_lr_scale != "auto":
        return config.transferred_lr_scale
    return TRANSFERRED_SCALE[config.name][branch.backbone.normalises]


def set_learning_rate(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Give every group `lr` times its scale."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def clip_gradients(optimizer: torch.optim.Optimizer, most: float) -> Tensor:
    """Shorten the gradient of all that is trained to the length `most` where it is longer (0: let
    it be), and return its length before, a scalar (Pascanu et al. 2013, "On the difficulty of
    training recurrent neural networks", algorithm 1).

    With several workers each has the mean gradient of all, and so the same length.
    """
    parameters = [p for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
    norm = get_total_norm([p.grad for p in parameters])
    if most:
        clip_grads_with_norm_(parameters, most, norm)
    return norm
