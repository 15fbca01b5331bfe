"""Adversarial discriminative domain adaptation (ADDA).

Legend: S source rows, T target rows, D mapped features.
"""

import copy

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from raytl.config import TrialConfig
from raytl.data.batch import TrainBatch
from raytl.models.adversary import DomainDiscriminator
from raytl.models.transfer_model import TransferModel
from raytl.ranks import all_rows
from raytl.recipes.adversarial import scheduled_lambda
from raytl.recipes.base import Context, Losses, Recipe, Stream, adaptation_streams, run_streams


class Adda(Recipe):
    """Tzeng et al. 2017, "Adversarial Discriminative Domain Adaptation", CVPR, eq. 9.

    Until `probe_fraction` of the steps the network learns the source task. Then a copy of it
    becomes the fixed source encoder, and the network, from there on the target encoder, learns to
    make its target features look like source features: the GAN loss with inverted labels, times
    `adversarial_lambda`. Head and classifier stay as the first stage left them, but for labelled
    target rows. Deviations: one optimiser and one learning-rate schedule for both stages; λ rises
    over the second stage by `lambda_schedule`, as a discriminator that knows nothing yet would
    lead the encoder astray. Without `mapper.batch_norm` nothing holds the target features at the
    source's scale, and the encoder collapses (docs/benchmarks.md has the figures).
    """

    name = "adda"
    reads = frozenset(
        {"adversarial_lambda", "lambda_schedule", "discriminator_hidden", "probe_fraction"}
    )
    trains_all = False
    switched: Tensor

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.discriminator = DomainDiscriminator(
            self.mapped_dim, context.trial.discriminator_hidden
        )
        self.encoder = copy.deepcopy(context.model).requires_grad_(False)
        self.register_buffer("switched", torch.tensor(False))
        self._known_switched = False  # without asking the device in each step

    @classmethod
    def streams(cls, labelled: bool, has_source: bool) -> tuple[Stream, ...]:
        return adaptation_streams(cls.name, labelled, has_source)

    @classmethod
    def judged_after(cls, trial: TrialConfig) -> float:
        return trial.probe_fraction

    def train(self, mode: bool = True) -> "Adda":
        super().train(mode)
        self.encoder.eval()
        return self

    def losses(self, model: TransferModel, batch: TrainBatch, progress: float) -> Losses:
        if progress < self.trial.probe_fraction:
            outputs = run_streams(model, TrainBatch(source=batch.source, labelled=batch.labelled))
            return {"task": self.task_loss(outputs, batch)}
        if not self._known_switched:
            if not self.switched:
                self._switch(model)
            self._known_switched = True
        assert batch.source is not None
        rows = batch.source.own_rows
        with torch.no_grad():
            own_SD = self.encoder(batch.source.inputs, num_source=rows).mapped
            source_SD = all_rows(own_SD, len(batch.source.id))
        outputs = run_streams(model, TrainBatch(target=batch.target, labelled=batch.labelled))
        target_TD = outputs["target"].mapped
        losses = {
            "domain": self._discriminator_loss(source_SD, target_TD.detach()),
            "confusion": self._confusion_loss(target_TD),
        }
        return losses | ({"task": self.task_loss(outputs, batch)} if batch.labelled else {})

    def total(self, losses: Losses, progress: float) -> Tensor:
        weights = {"confusion": self._lambda(progress)}
        return torch.stack([weights.get(k, 1.0) * loss for k, loss in losses.items()]).sum()

    def scalars(self, progress: float) -> dict[str, float]:
        return {"adversarial_lambda": self._lambda(progress)}

    def _lambda(self, progress: float) -> float:
        start = self.trial.probe_fraction
        if progress < start:
            return 0.0
        return scheduled_lambda(self.trial, (progress - start) / (1.0 - start))

    def _switch(self, model: TransferModel) -> None:
        self.encoder.load_state_dict(model.state_dict())
        self.switched.fill_(True)

    def _discriminator_loss(self, source_SD: Tensor, target_TD: Tensor) -> Tensor:
        scores = self.discriminator(torch.cat([source_SD, target_TD]))
        domains = torch.cat([scores.new_zeros(len(source_SD)), scores.new_ones(len(target_TD))])
        return F.binary_cross_entropy_with_logits(scores, domains)

    def _confusion_loss(self, target_TD: Tensor) -> Tensor:
        fixed = {name: p.detach() for name, p in self.discriminator.named_parameters()}
        scores = functional_call(self.discriminator, fixed, (target_TD,))
        return F.binary_cross_entropy_with_logits(scores, torch.zeros_like(scores))
