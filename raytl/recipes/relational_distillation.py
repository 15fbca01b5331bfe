"""Relational knowledge distillation (RKD).

Legend: B target rows, D features.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from raytl.data.batch import TrainBatch
from raytl.errors import ConfigError
from raytl.models.transfer_model import TransferModel
from raytl.recipes.base import Losses, Stream, run_streams
from raytl.recipes.teaching import TaughtRecipe

ANGLE_WEIGHT = 2.0  # of the angle loss, relative to the distance loss (the paper's ratio)


def relative_distances(f_BD: Tensor) -> Tensor:
    """ψ_D: pairwise distances over their mean, (B, B) (Park et al. 2019, eq. 6 and 7)."""
    squared = (f_BD.unsqueeze(1) - f_BD.unsqueeze(0)).square().sum(2)
    count = len(f_BD)
    off = ~torch.eye(count, dtype=torch.bool, device=f_BD.device)
    distances = torch.where(off, squared.clamp(min=1e-12), 1.0).sqrt() * off
    # Those off the diagonal by their places: of a mask, a GPU's host would have to wait.
    apart = distances.flatten()[1:].view(count - 1, count + 1)[:, :-1]
    return distances / apart.flatten().mean()


def angles(f_BD: Tensor) -> Tensor:
    """ψ_A: the cosine of the angle at row j between rows i and k, (B, B, B) (eq. 9)."""
    directions_BBD = F.normalize(f_BD.unsqueeze(0) - f_BD.unsqueeze(1), dim=2)
    return directions_BBD @ directions_BBD.transpose(1, 2)


class RelationalDistillation(TaughtRecipe):
    """Park et al. 2019, "Relational Knowledge Distillation", CVPR, eq. 8 and 10: distances and
    angles among the student's features become those among the teacher's, whatever their widths,
    so that teacher and student need no common classes. L = L_task + w·(L_distance + 2·L_angle).
    Needs target labels, for the head learns from nothing else."""

    name = "relational_distillation"
    least_rows = 2
    reads = TaughtRecipe.reads | {"distillation_weight"}

    @classmethod
    def streams(cls, labelled: bool, has_source: bool) -> tuple[Stream, ...]:
        if not labelled:
            raise ConfigError("recipe relational_distillation needs target labels for its head")
        return ("target", "labelled")

    def losses(self, model: TransferModel, batch: TrainBatch, progress: float) -> Losses:
        outputs = run_streams(model, batch)
        assert batch.target is not None
        ours, theirs = outputs["target"].features, self.teacher(batch.target).features
        return {
            "task": self.task_loss(outputs, batch),
            "distance": F.smooth_l1_loss(relative_distances(ours), relative_distances(theirs)),
            "angle": F.smooth_l1_loss(angles(ours), angles(theirs)),
        }

    def total(self, losses: Losses, progress: float) -> Tensor:
        relations = losses["distance"] + ANGLE_WEIGHT * losses["angle"]
        return losses["task"] + self.trial.distillation_weight * relations
