"""Minimum class confusion (MCC).

Legend: B target rows, K classes.
"""

import torch
from torch import Tensor

from raytl.data.batch import TrainBatch
from raytl.recipes.base import AlignmentRecipe, Losses, Outputs


def class_confusion(logits_BK: Tensor, temperature: float) -> Tensor:
    """Return the mean off-diagonal confusion of the predictions (Jin et al. 2020, eq. 2 to 8).

    Predictions are tempered (eq. 2), rows weighted by 1 + exp(-H) scaled to mean 1, without
    gradient (eq. 4 and 5), the K × K confusion normalised by rows (eq. 7), and its off-diagonal
    sum divided by K (eq. 8).
    """
    p_BK = (logits_BK / temperature).softmax(1)
    certainty_B = 1.0 + torch.exp(-torch.special.entr(p_BK.detach()).sum(1))
    weights_B = len(p_BK) * certainty_B / certainty_B.sum()
    confusion_KK = (weights_B.unsqueeze(1) * p_BK).T @ p_BK
    normalised = confusion_KK / confusion_KK.sum(1, keepdim=True)
    classes = logits_BK.shape[1]
    return (normalised.sum() - normalised.diagonal().sum()) / classes


class Mcc(AlignmentRecipe):
    """Jin et al. 2020, "Minimum Class Confusion for Versatile Domain Adaptation", ECCV."""

    name = "mcc"
    reads = AlignmentRecipe.reads | {"temperature"}
    needs = frozenset({"classes"})
    vectorises = True

    def domain_losses(self, outputs: Outputs, batch: TrainBatch, progress: float) -> Losses:
        return {"alignment": class_confusion(outputs["target"].out, self.trial.temperature)}
