"""How much arithmetic a network does: the same on every machine, as its seconds are not."""

from collections.abc import Callable

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


@torch.no_grad()
def operations(run: Callable[[], object], network: nn.Module, rows: int) -> float:
    """Return the floating-point operations for a row of what `run` does with so many: those that
    torch counts, and no fewer than two for each weight of the network (it counts none of recurrent
    layers)."""
    with FlopCounterMode(display=False) as counted:
        run()
    weights = sum(weight.numel() for weight in network.parameters())
    return max(counted.get_total_flops() / rows, 2.0 * weights)
