"""Fine-tuning: blocks behind the frozen ones are trained, transferred ones more slowly."""

import torch
from torch import Tensor

from raytl.data.batch import TrainBatch
from raytl.models.transfer_model import TransferModel
from raytl.recipes.base import Context, Losses, SupervisedRecipe


class Finetune(SupervisedRecipe):
    """Train everything that is not frozen (Yosinski et al. 2014, "How transferable are features in
    deep neural networks?").

    Frozen is a prefix (`frozen_depth`) or all but a range of blocks (`tuned_blocks`; Lee et al.
    2023, "Surgical Fine-Tuning Improves Adaptation to Distribution Shifts"). Transferred blocks
    learn at `optimizer.transferred_lr_scale` times the learning rate, times `optimizer.layer_decay`
    for each block further from the head; L2 is `optimizer.weight_decay`, dropout `head.dropout`.
    With `l2_sp` = α > 0 transferred blocks are drawn to their starting point instead of to zero:
    (α / 2)·‖w - w⁰‖² (Li et al. 2018, "Explicit Inductive Bias for Transfer Learning with
    Convolutional Networks", eq. 3). Without target labels the labels are the source domain's.
    """

    name = "finetune"
    reads = frozenset({"l2_sp"})
    pulls_to_start = True
    vectorises = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._start: list[Tensor] = []
        if context.trial.l2_sp and context.model.transferred:
            self._start = [p.detach().clone() for p in _transferred(context.model)]

    def losses(self, model: TransferModel, batch: TrainBatch, progress: float) -> Losses:
        losses = super().losses(model, batch, progress)
        if not self._start:
            return losses
        self._start = [w.to(losses["task"].device) for w in self._start]
        pairs = zip(_transferred(model), self._start, strict=True)
        return losses | {"l2_sp": torch.stack([(w - w0).square().sum() for w, w0 in pairs]).sum()}

    def total(self, losses: Losses, progress: float) -> Tensor:
        if "l2_sp" not in losses:
            return losses["task"]
        return losses["task"] + 0.5 * self.trial.l2_sp * losses["l2_sp"]


def _transferred(model: TransferModel) -> list[Tensor]:
    blocks = [block for block in model.trainable_blocks() if not model.is_fresh(block)]
    return [p for block in blocks for p in model.block_parameters(block)]
