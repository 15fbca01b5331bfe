"""Control: the same answer to every row."""

import torch

from raytl.data.batch import TrainBatch
from raytl.models.transfer_model import TransferModel
from raytl.recipes.base import Losses, SupervisedRecipe, targets_of


class Constant(SupervisedRecipe):
    """What can be had without looking at a row: the classes' shares, or the mean value, of the
    labelled training rows; without target labels, of the source domain's.

    That is the optimum of the task's loss in closed form (`Task.constant_out`), which the head
    `constant` is set to before any step, so nothing is learnt: the loss is reported and its
    gradient is 0.
    """

    name = "constant"
    freezes = "all"

    def losses(self, model: TransferModel, batch: TrainBatch, progress: float) -> Losses:
        losses = []
        for stream in batch.streams.values():
            blank = stream.id.new_zeros(len(targets_of(stream)), 1)
            losses.append(
                self.row_losses(model.head([blank] if model.reads_taps else blank), stream)
            )
        loss = torch.cat(losses).mean()
        return {"task": loss.detach() + 0.0 * next(model.head.parameters()).sum()}
