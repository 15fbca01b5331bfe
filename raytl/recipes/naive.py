"""Controls: a series does again what it did last."""

from typing import ClassVar, Literal

import torch

from raytl.data.batch import TrainBatch
from raytl.models.transfer_model import TransferModel
from raytl.recipes.base import Losses, SupervisedRecipe, run_streams


class Naive(SupervisedRecipe):
    """What can be had of a row's own series without learning: its last step, over and over. The
    source model is left aside (`modalities.series.last_steps` stands in its place), nothing is
    trained: the loss is reported and its gradient is 0."""

    name = "naive"
    freezes = "all"
    needs = frozenset({"steps"})
    says_again: ClassVar[Literal["step", "season"] | None] = "step"

    def losses(self, model: TransferModel, batch: TrainBatch, progress: float) -> Losses:
        loss = self.task_loss(run_streams(model, batch), batch)
        return {"task": loss.detach() + 0.0 * torch.cat([*model.head.parameters()]).sum()}


class SeasonalNaive(Naive):
    """Likewise its last season, which the target column names."""

    name = "seasonal_naive"
    says_again: ClassVar[Literal["step", "season"] | None] = "season"
