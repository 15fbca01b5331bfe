"""Control: the same answer to every row."""

import torch

from raytl.data.batch import TrainBatch
from raytl.models.transfer_model import TransferModel
from raytl.recipes.base import Losses, SupervisedRecipe, task_losses
from raytl.rows import count


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
        for name, stream in batch.streams.items():
            assert stream.target is not None
            blank = stream.id.new_zeros(count(stream.target), 1)
            out = model.head([blank] if model.reads == "taps" else blank)
            losses.append(task_losses(self.task_of(name), self.trial, out, stream, model.head))
        loss = torch.cat(losses).mean()
        return {"task": loss.detach() + 0.0 * next(model.head.parameters()).sum()}
