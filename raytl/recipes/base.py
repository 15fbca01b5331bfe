"""The protocol of recipes.

Legend: B batch, C channels, H height, W width, D features, K classes.
"""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raytl.config import TrialConfig
from raytl.data.domains import TrainBatch
from raytl.errors import ConfigError
from raytl.models.transfer_model import TransferModel

Stream = Literal["source", "target", "labelled"]
Losses = dict[str, Tensor]


class Recipe(nn.Module, ABC):
    """What is trained, with which losses, on which streams of batches.

    A recipe is a module so that what it adds to the transfer model (a domain discriminator, say)
    is moved, optimised and saved with it.
    """

    name: ClassVar[str]
    freezes: ClassVar[Literal["as configured", "all", "nothing"]] = "as configured"
    fresh_backbone: ClassVar[bool] = False  # the source model's architecture with random weights

    def __init__(self, trial: TrialConfig, mapped_dim: int) -> None:
        """`mapped_dim`: width D of the mapper's output z_BD."""
        super().__init__()
        self.trial = trial
        self.mapped_dim = mapped_dim

    @classmethod
    @abstractmethod
    def streams(cls, labelled: bool, has_source: bool) -> tuple[Stream, ...]:
        """Return which streams the recipe reads: the labelled source domain, the unlabelled
        target, the labelled target. `labelled`: whether any target label may be used.

        Raises ConfigError where the recipe makes no sense under that regime.
        """

    @abstractmethod
    def losses(self, model: TransferModel, batch: TrainBatch, progress: float) -> Losses:
        """Return the unweighted losses by name, from one forward pass.

        `batch` holds transformed images x_BCHW of each stream; `progress` = step / steps in [0, 1).
        """

    def total(self, losses: Losses) -> Tensor:
        """Return the scalar that is minimised: the plain sum unless a recipe weighs its losses."""
        return torch.stack(list(losses.values())).sum()

    def scalars(self, progress: float) -> dict[str, float]:
        """Return schedule values worth logging, by name."""
        return {}

    def cross_entropy(self, logits_BK: Tensor, y_B: Tensor) -> Tensor:
        """Mean cross-entropy with the trial's label smoothing (Szegedy et al. 2016, section 7)."""
        return F.cross_entropy(logits_BK, y_B, label_smoothing=self.trial.label_smoothing)


class SupervisedRecipe(Recipe):
    """Cross-entropy on one labelled stream: the target's where it has labels, else the source's."""

    @classmethod
    def streams(cls, labelled: bool, has_source: bool) -> tuple[Stream, ...]:
        if labelled:
            return ("labelled",)
        if not has_source:
            raise ConfigError(f"recipe {cls.name} needs target labels or a source_domain")
        return ("source",)

    def losses(self, model: TransferModel, batch: TrainBatch, progress: float) -> Losses:
        examples = batch.labelled or batch.source
        assert examples is not None and examples.y is not None
        return {"task": self.cross_entropy(model(examples.x).logits, examples.y)}
