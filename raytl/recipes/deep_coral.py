"""Deep CORAL: equal second-order statistics.

Legend: B rows of one domain, D mapped features.
"""

from torch import Tensor

from raytl.data.batch import TrainBatch
from raytl.recipes.base import AlignmentRecipe, Losses, Outputs, in_float32


def covariance(f_BD: Tensor) -> Tensor:
    """Return the sample covariance, (D, D)."""
    centred = f_BD - f_BD.mean(0)
    return centred.T @ centred / (len(f_BD) - 1)


def coral_loss(source_BD: Tensor, target_BD: Tensor) -> Tensor:
    """‖C_S - C_T‖²_F / (4 D²) (Sun & Saenko 2016, eq. 1 to 3)."""
    with in_float32(source_BD):
        difference = covariance(source_BD.float()) - covariance(target_BD.float())
        return difference.square().sum() / (4 * source_BD.shape[1] ** 2)


class DeepCoral(AlignmentRecipe):
    """Sun & Saenko 2016, "Deep CORAL: Correlation Alignment for Deep Domain Adaptation", ECCV
    workshops. Deviation: aligned is the mapper's output, not the last layer's. The factor 1 / 4D²
    makes the loss small: `alignment_lambda` wants to be of the order of D."""

    name = "deep_coral"
    least_rows = 2
    vectorises = True

    def domain_losses(self, outputs: Outputs, batch: TrainBatch, progress: float) -> Losses:
        return {"alignment": coral_loss(outputs["source"].mapped, outputs["target"].mapped)}
