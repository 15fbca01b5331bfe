"""Dropout of trials that train as one batched module: each draws its own masks.

Legend: N trials, B batch.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from raytl.models.transfer_model import TransferModel
from raytl.rows import Given
from raytl.training.fused_rows import INPUT, Rows
from raytl.training.stacked_optimizer import Stacked


class _Masked(nn.Module):
    """Dropout whose mask is given, zeros and 1 / (1 - p)."""

    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.mask


def with_masks(head: nn.Module) -> nn.Module:
    """Return a head, changed in place, whose dropout takes the masks that it is given."""
    for name, module in list(head.named_modules()):
        if isinstance(module, nn.Dropout):
            head.set_submodule(name, _Masked())
    return head


class Masks:
    """The dropout masks of all members: on the CPU those that each would draw alone."""

    def __init__(
        self, models: Sequence[TransferModel], seeds: Sequence[int], device: torch.device
    ) -> None:
        self._model, self._device = models[0], device
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
        self._rates = [_dropout_rates(model) for model in models]
        self._dropped = [name for name in self._rates[0] if any(of[name] for of in self._rates)]
        self._shapes: dict[str, torch.Size] = {}

    def draw(self, rows: Rows) -> Stacked:
        """Return each mask of a step, (N, B, …), by its name in `_Losses`."""
        if self._dropped and not self._shapes:
            self._shapes = self._measure(rows)
        return {
            f"model.head.{name}.mask": torch.stack(
                [
                    self._mask(shape, of[name], generator)
                    for of, generator in zip(self._rates, self._generators, strict=True)
                ]
            )
            for name, shape in self._shapes.items()
        }

    def _mask(self, shape: torch.Size, rate: float, generator: torch.Generator) -> Tensor:
        if rate == 0.0:
            return torch.ones(shape, device=self._device)
        kept = torch.empty(shape, device=self._device).bernoulli_(1.0 - rate, generator=generator)
        return kept.div_(1.0 - rate)

    @torch.no_grad()
    def _measure(self, rows: Rows) -> dict[str, torch.Size]:
        """Return the shapes that dropout sees in a step: all streams pass through it together."""
        shapes: dict[str, torch.Size] = {}
        modules = dict(self._model.head.named_modules())
        hooks = [
            modules[name].register_forward_pre_hook(
                lambda _, given, name=name: shapes.update({name: given[0].shape})
            )
            for name in self._dropped
        ]
        # Any member's rows will do; how many a member has is the last dimension of their ids.
        inputs = {
            name: Given(
                torch.cat(
                    [
                        part[INPUT + name].reshape(-1, part[INPUT + name].shape[-1])[
                            : part["id"].shape[-1]
                        ]
                        for part in rows.values()
                    ]
                ),
                done=branch.backbone.steps,
            )
            for name, branch in self._model.named_branches.items()
        }
        self._model.eval()
        self._model(inputs)
        self._model.train()
        for hook in hooks:
            hook.remove()
        return shapes


def _dropout_rates(model: TransferModel) -> dict[str, float]:
    modules = model.head.named_modules()
    return {name: module.p for name, module in modules if isinstance(module, nn.Dropout)}
