"""The parts of adversarial training.

Legend: B batch, D features.
"""

from typing import Any

import torch
from torch import Tensor, nn


class _GradReverse(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, coefficient: float | Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float | Tensor], output: Tensor) -> None:
        ctx.number = inputs[1]
        if isinstance(inputs[1], Tensor):  # of several trials at once
            ctx.number = None
            ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        coefficient = ctx.saved_tensors[0] if ctx.number is None else ctx.number
        return -coefficient * gradients[0], None


def grad_reverse(x: Tensor, coefficient: float | Tensor) -> Tensor:
    """Return x; its gradient comes back times -coefficient (Ganin et al. 2016, eq. 12 and 13)."""
    return _GradReverse.apply(x, coefficient)


class DomainDiscriminator(nn.Module):
    """f_BD → one logit a row, (B,): source is 0, target 1. Two hidden ReLU layers."""

    def __init__(self, in_dim: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(in_dim, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
            nn.Linear(hidden, 1),
        )  # fmt: skip

    def forward(self, f_BD: Tensor) -> Tensor:
        return self.layers(f_BD).squeeze(1)
