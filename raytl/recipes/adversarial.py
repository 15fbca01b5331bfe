"""What the adversarial recipes share: λ and its schedule, and the discriminator's loss."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raytl.config import TrialConfig
from raytl.models.adversary import grad_reverse
from raytl.recipes.base import AdaptationRecipe


def ganin_factor(progress: float) -> float:
    """Return λ_p / λ = 2 / (1 + exp(-10 p)) - 1 for p in [0, 1] (Ganin et al. 2016, eq. 14)."""
    return 2.0 / (1.0 + math.exp(-10.0 * progress)) - 1.0


def scheduled_lambda(trial: TrialConfig, progress: float) -> float:
    """Return λ at `progress`, by the trial's schedule."""
    constant = trial.lambda_schedule == "constant"
    return trial.adversarial_lambda * (1.0 if constant else ganin_factor(progress))


class AdversarialRecipe(AdaptationRecipe):
    """L = L_task + λ·L_domain against an adversary behind `grad_reverse`. As in Ganin et al.'s
    experiments, λ scales only what reaches the features, not the adversary's own update."""

    reads = frozenset({"adversarial_lambda", "lambda_schedule", "discriminator_hidden"})

    def adversarial_lambda(self, progress: float) -> float:
        """Return λ at `progress`."""
        return scheduled_lambda(self.trial, progress)

    def scalars(self, progress: float) -> dict[str, float]:
        return {"adversarial_lambda": self.adversarial_lambda(progress)}


def domain_loss(
    discriminator: nn.Module,
    source: Tensor,
    target: Tensor,
    lambda_: float,
    weights_B: Tensor | None = None,
) -> Tensor:
    """Binary cross-entropy of the discriminator's logits, source 0 and target 1, its gradient to
    the rows reversed and times `lambda_`. `weights_B`: of the rows, source first; their mean is
    divided out."""
    scores = discriminator(grad_reverse(torch.cat([source, target]), lambda_))
    domains = torch.cat([scores.new_zeros(len(source)), scores.new_ones(len(target))])
    if weights_B is None:
        return F.binary_cross_entropy_with_logits(scores, domains)
    losses = F.binary_cross_entropy_with_logits(scores, domains, reduction="none")
    return (weights_B * losses).sum() / weights_B.sum()
