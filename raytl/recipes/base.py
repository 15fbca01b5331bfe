"""The protocol of recipes.

Legend: B batch, C channels, H height, W width, D features, K classes.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raytl.config import TrialConfig
from raytl.data.domains import TrainBatch
from raytl.data.feed import Batch
from raytl.errors import ConfigError
from raytl.models.transfer_model import TransferModel, TransferOutput
from raytl.ranks import all_rows

Stream = Literal["source", "target", "labelled"]
Losses = dict[str, Tensor]
Outputs = dict[str, TransferOutput]


@dataclass
class Teacher:
    """A network that comments on the student's rows, which it sees as they are stored, through its
    own transform. Frozen and in eval mode from here on, as nobody puts it in another: batch-norm
    statistics stay as they are and dropout is off."""

    network: TransferModel
    num_classes: int | None  # None: it has no head
    transform: Callable[[Tensor], Tensor]  # stored rows → what the network reads

    def __post_init__(self) -> None:
        self.network.requires_grad_(False).eval()

    @torch.no_grad()
    def __call__(self, batch: Batch) -> TransferOutput:
        """Return the outputs for all rows of the batch."""
        out = self.network(self.transform(batch.x if batch.stored is None else batch.stored))
        parts = (out.features, out.mapped, out.logits)
        return TransferOutput(*(all_rows(of_rows, len(batch.id)) for of_rows in parts))


@dataclass(frozen=True)
class Context:
    """What a recipe may need to know of the trial when it is built."""

    trial: TrialConfig
    model: TransferModel
    num_classes: int
    num_source_classes: int | None = None
    teacher: Teacher | None = None
    source_rows: int | None = None  # of the source domain, that the trial learns from
    # domain ("source", "target") → its dataset's row ids are below that
    id_bounds: Mapping[str, int] | None = None


class Recipe(nn.Module, ABC):
    """What is trained, with which losses, on which streams of batches.

    A recipe is a module so that what it adds to the transfer model (a domain discriminator, say)
    is moved, optimised and saved with it.
    """

    name: ClassVar[str]
    freezes: ClassVar[Literal["as configured", "all", "nothing"]] = "as configured"
    fresh_backbone: ClassVar[bool] = False  # the source model's architecture with random weights
    shares_classes: ClassVar[bool] = True  # source and target rows pass through one head
    trains_all: ClassVar[bool] = True  # in every step, all that is not held has a gradient
    uses_student: ClassVar[bool] = False  # the source model teaches another architecture
    pulls_to_start: ClassVar[bool] = False  # adds the pull of `l2_sp`, for which decay makes room
    vectorises: ClassVar[bool] = False  # losses are pure functions that torch.func.vmap takes

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.trial = context.trial
        self.mapped_dim = context.model.mapper.out_dim
        self.num_classes = context.num_classes

    @classmethod
    @abstractmethod
    def streams(cls, labelled: bool, has_source: bool) -> tuple[Stream, ...]:
        """Return which streams the recipe reads: the labelled source domain, the unlabelled
        target, the labelled target. `labelled`: whether any target label may be used.

        Raises ConfigError where the recipe makes no sense under that regime.
        """

    @classmethod
    def judged_after(cls, trial: TrialConfig) -> float:
        """Return the fraction of the training, in [0, 1], after which a trial may be compared with
        others and stopped early: by then it does what it will be judged for."""
        return 0.0

    @abstractmethod
    def losses(self, model: TransferModel, batch: TrainBatch, progress: float) -> Losses:
        """Return the unweighted losses by name, from one forward pass.

        `batch` holds transformed images x_BCHW of each stream; `progress` = step / steps in [0, 1).
        """

    def total(self, losses: Losses, progress: float) -> Tensor:
        """Return the scalar that is minimised: the plain sum unless a recipe weighs its losses."""
        return torch.stack(list(losses.values())).sum()

    def held_blocks(self, model: TransferModel, progress: float) -> frozenset[int]:
        """Return the trainable blocks that stay frozen at this point of the training."""
        return frozenset()

    def scalars(self, progress: float) -> dict[str, float]:
        """Return schedule values worth logging, by name."""
        return {}

    def cross_entropy(self, logits_BK: Tensor, y_B: Tensor) -> Tensor:
        """Mean cross-entropy with the trial's label smoothing (Szegedy et al. 2016, section 7)."""
        return F.cross_entropy(logits_BK, y_B, label_smoothing=self.trial.label_smoothing)

    def task_loss(self, outputs: Outputs, batch: TrainBatch) -> Tensor:
        """Mean cross-entropy over the source rows and, where there are any, the labelled target
        rows, together."""
        pairs = [(outputs[name], getattr(batch, name)) for name in ("source", "labelled")
                 if name in outputs]  # fmt: skip
        logits = torch.cat([output.logits for output, _ in pairs])
        return self.cross_entropy(logits, torch.cat([stream.y for _, stream in pairs]))


def run_streams(model: TransferModel, batch: TrainBatch) -> Outputs:
    """Run every stream of the batch through the model in one forward pass and split the result.

    With several workers each runs its own rows, and all get the outputs of all rows.
    """
    streams = {"source": batch.source, "target": batch.target, "labelled": batch.labelled}
    present = {name: stream for name, stream in streams.items() if stream is not None}
    sizes = [len(stream.x) for stream in present.values()]
    num_source = len(batch.source.x) if batch.source is not None else 0
    out = model(torch.cat([stream.x for stream in present.values()]), num_source=num_source)
    parts = zip(out.features.split(sizes), out.mapped.split(sizes), out.logits.split(sizes),
                strict=True)  # fmt: skip
    return {
        name: TransferOutput(*(all_rows(of_rows, len(present[name].id)) for of_rows in part))
        for name, part in zip(present, parts, strict=True)
    }


def adaptation_streams(name: str, labelled: bool, has_source: bool) -> tuple[Stream, ...]:
    """Return both domains, and the target's labelled rows where there are any."""
    if not has_source:
        raise ConfigError(f"recipe {name} needs a source_domain to align the target with")
    return ("source", "target", "labelled") if labelled else ("source", "target")


def both_labelled_streams(name: str, labelled: bool, has_source: bool) -> tuple[Stream, ...]:
    """Return the labelled rows of both domains."""
    if not (labelled and has_source):
        raise ConfigError(f"recipe {name} needs a source_domain and some target labels")
    return ("source", "labelled")


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
        return {"task": self.task_loss(run_streams(model, batch), batch)}


class AdaptationRecipe(Recipe):
    """The source task and a loss between the domains. Reads the source domain, the unlabelled
    target, and the target's labelled rows where there are any: those join the task loss."""

    @classmethod
    def streams(cls, labelled: bool, has_source: bool) -> tuple[Stream, ...]:
        return adaptation_streams(cls.name, labelled, has_source)

    @abstractmethod
    def domain_losses(self, outputs: Outputs, batch: TrainBatch, progress: float) -> Losses:
        """Return what is added to the task loss, by name."""

    def losses(self, model: TransferModel, batch: TrainBatch, progress: float) -> Losses:
        outputs = run_streams(model, batch)
        task = {"task": self.task_loss(outputs, batch)}
        return task | self.domain_losses(outputs, batch, progress)


class AlignmentRecipe(AdaptationRecipe):
    """L = L_task + μ·L_alignment, with μ the trial's `alignment_lambda`."""

    def total(self, losses: Losses, progress: float) -> Tensor:
        return losses["task"] + self.trial.alignment_lambda * losses["alignment"]
