"""Batch normalisation over the rows of all workers.

Legend: B rows of this worker, C channels.
"""

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from raytl.ranks import WHOLE, own_share


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` with the statistics of the global batch. Torch's own SyncBatchNorm, which
    does the same, needs CUDA."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x_BCHW)
        per_channel = (0, 2, 3)
        own_count = x_BCHW.new_tensor([x_BCHW.numel() / x_BCHW.shape[1]])
        sums = all_reduce(torch.cat([x_BCHW.sum(per_channel), own_count]))
        count = sums[-1].detach()
        centred_BCHW = x_BCHW - (mean_C := sums[:-1] / count)[:, None, None]
        variance_C = all_reduce(centred_BCHW.square().sum(per_channel)) / count
        self._remember(mean_C, variance_C * count / (count - 1))
        out_BCHW = centred_BCHW * torch.rsqrt(variance_C + self.eps)[:, None, None]
        if self.affine:
            out_BCHW = out_BCHW * self.weight[:, None, None] + self.bias[:, None, None]
        return out_BCHW

    @torch.no_grad()
    def _remember(self, mean_C: Tensor, variance_C: Tensor) -> None:
        if self.running_mean is None or self.running_var is None:
            return
        assert self.momentum is not None and self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        self.running_mean.lerp_(mean_C, self.momentum)
        self.running_var.lerp_(variance_C, self.momentum)


def synchronise_batch_norm(model: nn.Module, device: torch.device) -> None:
    """Let the model's batch normalisation see the rows of all workers. With one worker, nothing
    changes."""
    if own_share() == WHOLE:
        return
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SyncedBatchNorm2d
