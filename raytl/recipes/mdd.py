"""Margin disparity discrepancy (MDD).

Legend: B rows of one domain, D mapped features, K classes.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raytl.data.batch import TrainBatch
from raytl.models.adversary import grad_reverse
from raytl.recipes.adversarial import AdversarialRecipe
from raytl.recipes.base import Context, Losses, Outputs


def disparity(
    adversary_source_BK: Tensor, adversary_target_BK: Tensor, y_source_B: Tensor,
    y_target_B: Tensor, margin: float,
) -> Tensor:  # fmt: skip
    """What the adversary minimises: γ·CE(f'(source), ŷ) + CE'(f'(target), ŷ), with
    CE'(p, ŷ) = -log(1 - p_ŷ) (Zhang et al. 2019, eq. 29 and 30). ŷ are the classifier's own
    predictions; γ is `margin`."""
    agrees = F.cross_entropy(adversary_source_BK, y_source_B)
    log_p_BK = F.log_softmax(adversary_target_BK, dim=1)
    # log(1 - p_ŷ) as the sum over the other classes: it has a gradient also where p_ŷ rounds to 1.
    log_others_B = log_p_BK.scatter(1, y_target_B.unsqueeze(1), -math.inf).logsumexp(1)
    return margin * agrees - log_others_B.mean()


class Mdd(AdversarialRecipe):
    """Zhang et al. 2019, "Bridging Theory and Algorithm for Domain Adaptation", ICML, section 5.

    An auxiliary classifier f' behind `grad_reverse` learns to agree with the classifier on the
    source and to disagree on the target; the features learn to deny it that. Deviation: f' is an
    MLP of `discriminator_hidden` units on the mapper's output, whatever the head is.
    """

    name = "mdd"
    reads = AdversarialRecipe.reads | {"margin"}
    needs = frozenset({"classes"})

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        hidden = context.trial.discriminator_hidden
        self.adversary = nn.Sequential(
            nn.Linear(self.mapped_dim, hidden), nn.ReLU(), nn.Linear(hidden, context.task.out_dim)
        )

    def domain_losses(self, outputs: Outputs, batch: TrainBatch, progress: float) -> Losses:
        source, target = outputs["source"], outputs["target"]
        rows = torch.cat([source.mapped, target.mapped])
        scores = self.adversary(grad_reverse(rows, self.adversarial_lambda(progress)))
        of_source, of_target = scores.split([len(source.mapped), len(target.mapped)])
        return {
            "domain": disparity(
                of_source, of_target, source.out.argmax(1), target.out.argmax(1),
                self.trial.margin,
            )
        }  # fmt: skip
