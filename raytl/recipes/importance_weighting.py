"""Importance weighting: source rows count as much as they look like target rows.

Legend: S source rows, T target rows.
"""

import torch
from torch import Tensor

from raytl.data.batch import TrainBatch
from raytl.models.adversary import DomainDiscriminator
from raytl.models.transfer_model import TransferModel
from raytl.recipes.adversarial import domain_loss
from raytl.recipes.base import (
    Context,
    Losses,
    Recipe,
    Stream,
    adaptation_streams,
    run_streams,
)

LARGEST_RATIO = 10.0


def density_ratio(scores_S: Tensor) -> Tensor:
    """Return p_T(x) / p_S(x) of source rows from the logits of a domain classifier (target 1)
    that saw both domains equally often: exp(logit), cut at LARGEST_RATIO, mean 1, no gradient
    (Bickel et al. 2007, "Discriminative learning for differing training and test distributions",
    eq. 4)."""
    ratio_S = scores_S.detach().exp().clamp(max=LARGEST_RATIO)
    return ratio_S / ratio_S.mean()


class ImportanceWeighting(Recipe):
    """Covariate-shift weighting (Shimodaira 2000) with the density ratio of a domain classifier.

    The classifier reads the mapped features but sends no gradient to them; the source task's loss
    is the mean of w(x)·loss. Labelled target rows count once each.
    """

    name = "importance_weighting"
    reads = frozenset({"discriminator_hidden"})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.discriminator = DomainDiscriminator(
            self.mapped_dim, context.trial.discriminator_hidden
        )

    @classmethod
    def streams(cls, labelled: bool, has_source: bool) -> tuple[Stream, ...]:
        return adaptation_streams(cls.name, labelled, has_source)

    def losses(self, model: TransferModel, batch: TrainBatch, progress: float) -> Losses:
        outputs = run_streams(model, batch)
        source_SD = outputs["source"].mapped.detach()
        weights_S = density_ratio(self.discriminator(source_SD))
        parts = [weights_S * self.row_losses("source", outputs, batch)]
        if batch.labelled is not None:
            parts.append(self.row_losses("labelled", outputs, batch))
        target_TD = outputs["target"].mapped.detach()
        return {
            "task": torch.cat(parts).mean(),
            "domain": domain_loss(self.discriminator, source_SD, target_TD, 0.0),
        }
