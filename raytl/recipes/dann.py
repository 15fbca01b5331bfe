"""Domain-adversarial training (DANN).

Legend: B batch of all streams, S source rows, T target rows, L labelled target rows.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from raytl.config import TrialConfig
from raytl.data.domains import TrainBatch
from raytl.errors import ConfigError
from raytl.models.adversary import DomainDiscriminator, grad_reverse
from raytl.models.transfer_model import TransferModel
from raytl.recipes.base import Losses, Recipe, Stream


def ganin_factor(progress: float) -> float:
    """Return λ_p / λ = 2 / (1 + exp(-10 p)) - 1 for p in [0, 1] (Ganin et al. 2016, eq. 14)."""
    return 2.0 / (1.0 + math.exp(-10.0 * progress)) - 1.0


class Dann(Recipe):
    """Ganin et al. 2016, "Domain-Adversarial Training of Neural Networks", JMLR 17.

    The discriminator learns to tell source (0) from target (1) by the mapped features; the
    gradient that it sends back is reversed and scaled by λ, so that the features minimise
    L = L_task - λ·L_domain while the discriminator minimises L_domain (eq. 9 to 11). As in the
    paper's experiments, λ scales only what reaches the features, not the discriminator's own
    update. Deviations: the discriminator reads the mapper's output; where the target has labels,
    L_task is the mean over source and labelled target rows.
    """

    name = "dann"

    def __init__(self, trial: TrialConfig, mapped_dim: int) -> None:
        super().__init__(trial, mapped_dim)
        self.discriminator = DomainDiscriminator(mapped_dim, trial.discriminator_hidden)

    @classmethod
    def streams(cls, labelled: bool, has_source: bool) -> tuple[Stream, ...]:
        if not has_source:
            raise ConfigError("recipe dann needs a source_domain to align the target with")
        return ("source", "target", "labelled") if labelled else ("source", "target")

    def adversarial_lambda(self, progress: float) -> float:
        """Return λ at `progress`, by the trial's schedule."""
        constant = self.trial.lambda_schedule == "constant"
        return self.trial.adversarial_lambda * (1.0 if constant else ganin_factor(progress))

    def losses(self, model: TransferModel, batch: TrainBatch, progress: float) -> Losses:
        source, target, labelled = batch.source, batch.target, batch.labelled
        assert source is not None and source.y is not None and target is not None
        streams = [source, target] + ([labelled] if labelled else [])
        out = model(torch.cat([stream.x for stream in streams]))
        sizes = [len(stream.x) for stream in streams]
        logits, mapped = out.logits.split(sizes), out.mapped.split(sizes)

        task_logits, task_labels = [logits[0]], [source.y]
        if labelled is not None:
            assert labelled.y is not None
            task_logits, task_labels = [logits[0], logits[2]], [source.y, labelled.y]
        return {
            "task": self.cross_entropy(torch.cat(task_logits), torch.cat(task_labels)),
            "domain": self._domain_loss(mapped[0], mapped[1], self.adversarial_lambda(progress)),
        }

    def _domain_loss(self, source_SD: Tensor, target_TD: Tensor, lambda_: float) -> Tensor:
        scores = self.discriminator(grad_reverse(torch.cat([source_SD, target_TD]), lambda_))
        domains = torch.cat([scores.new_zeros(len(source_SD)), scores.new_ones(len(target_TD))])
        return F.binary_cross_entropy_with_logits(scores, domains)

    def scalars(self, progress: float) -> dict[str, float]:
        return {"adversarial_lambda": self.adversarial_lambda(progress)}
