"""The workers of one trial: processes of a torch.distributed group. Without a group there is one.

All ranks walk the same seeded order of global batches. Rank r of W runs rows r, r + W, … of each
through the model, and every rank computes the losses from the outputs of all rows: so losses that
compare rows, and their gradients, are those of a single worker.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

Rows = TypeVar("Rows")


@dataclass(frozen=True)
class Share:
    """Which rows are a worker's own."""

    rank: int = 0
    ranks: int = 1

    def of(self, rows: Rows) -> Rows:
        """Return the rows r, r + W, … of a tensor, an array or a list."""
        return rows[self.rank :: self.ranks]  # type: ignore[index]


WHOLE = Share()


def own_share() -> Share:
    """Return this process's share."""
    return Share(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else WHOLE


class _AllRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, own: Tensor, count: int) -> Tensor:
        ranks = dist.get_world_size()
        most = -(-count // ranks)
        padded = own.new_zeros(most, *own.shape[1:])
        padded[: len(own)] = own
        gathered = [torch.empty_like(padded) for _ in range(ranks)]
        dist.all_gather(gathered, padded)
        return torch.stack(gathered, 1).flatten(0, 1)[:count]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        # Every rank has the same loss, so no rank has to be asked for its gradients. W times: DDP
        # takes the mean over ranks, but each rank has its own rows' part of the sum.
        return own_share().of(gradients[0]) * dist.get_world_size(), None


def all_rows(own: Tensor, count: int) -> Tensor:
    """Return the `count` rows of a global batch in its order, from every rank's own, (count, …).

    Its gradient is that of a loss which every rank computes alike from all rows.
    """
    return _AllRows.apply(own, count) if own_share() != WHOLE else own


def sum_over_ranks(value: Tensor) -> Tensor:
    """Return the sum of every rank's tensor, without a gradient."""
    if own_share() != WHOLE:
        value = value.clone()
        dist.all_reduce(value)
    return value


def data_parallel(module: nn.Module, *, all_used: bool) -> nn.Module:
    """Return the module with its gradients averaged over ranks in each backward pass.

    `all_used`: every parameter that requires a gradient gets one in every step. Buffers are not
    exchanged: every rank changes them alike.
    """
    if own_share() == WHOLE:
        return module
    return nn.parallel.DistributedDataParallel(
        module, broadcast_buffers=False, find_unused_parameters=not all_used
    )
