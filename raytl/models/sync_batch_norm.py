"""Batch normalisation over the rows of all workers.

Legend: B rows of this worker, C channels, … positions, if there are any.
"""

import sys

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from raytl.ranks import WHOLE, own_share


class SyncedBatchNorm1d(nn.BatchNorm1d):
    """`nn.BatchNorm1d` with the statistics of the global batch. Torch's own SyncBatchNorm, which
    does the same, needs CUDA."""

    def forward(self, x: Tensor) -> Tensor:
        return _normalised(self, x) if self.training else super().forward(x)


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """The same for `nn.BatchNorm2d`."""

    def forward(self, x: Tensor) -> Tensor:
        return _normalised(self, x) if self.training else super().forward(x)


class SyncedBatchNormAct2d(SyncedBatchNorm2d):
    """The same for timm's `BatchNormAct2d`, which has a dropout and an activation inside."""

    drop: nn.Module
    act: nn.Module

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.act(self.drop(super().forward(x)))
        return out


SYNCED: dict[type[nn.Module], type[nn.Module]] = {
    nn.BatchNorm1d: SyncedBatchNorm1d,
    nn.BatchNorm2d: SyncedBatchNorm2d,
}


def _normalised(layer: nn.BatchNorm1d | nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Return x (B, C, …) as the layer in training normalises it, and let it remember.
    Statistics are in float32, whatever x is in."""
    dtype, x = x.dtype, x.float()
    per_channel = [0, *range(2, x.dim())]
    shape = [1, -1, *[1] * (x.dim() - 2)]
    own_count = x.new_tensor([x.numel() / x.shape[1]])
    sums = all_reduce(torch.cat([x.sum(per_channel), own_count]))
    count = sums[-1].detach()
    mean_C = sums[:-1] / count
    centred = x - mean_C.view(shape)
    variance_C = all_reduce(centred.square().sum(per_channel)) / count
    _remember(layer, mean_C, variance_C * count / (count - 1))
    out = centred * torch.rsqrt(variance_C + layer.eps).view(shape)
    if layer.affine:
        out = out * layer.weight.view(shape) + layer.bias.view(shape)
    return out.to(dtype)


@torch.no_grad()
def _remember(layer: nn.BatchNorm1d | nn.BatchNorm2d, mean_C: Tensor, variance_C: Tensor) -> None:
    if layer.running_mean is None or layer.running_var is None:
        return
    assert layer.momentum is not None and layer.num_batches_tracked is not None
    layer.num_batches_tracked += 1
    layer.running_mean.lerp_(mean_C, layer.momentum)
    layer.running_var.lerp_(variance_C, layer.momentum)


def synchronise_batch_norm(model: nn.Module, device: torch.device) -> None:
    """Let the model's batch normalisation see the rows of all workers. With one worker, nothing
    changes."""
    if own_share() == WHOLE:
        return
    timm = sys.modules.get("timm.layers")  # loaded by whoever made a network of timm's
    if device.type == "cuda":
        (nn.SyncBatchNorm if timm is None else timm).convert_sync_batchnorm(model)
        return
    synced = SYNCED | ({} if timm is None else {timm.BatchNormAct2d: SyncedBatchNormAct2d})
    for module in model.modules():
        module.__class__ = synced.get(type(module), type(module))
