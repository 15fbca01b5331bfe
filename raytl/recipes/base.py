"""The protocol of recipes.

Legend: B batch, D features, K numbers that a head gives.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from raytl.config import TrialConfig
from raytl.data.batch import Batch, TrainBatch
from raytl.errors import ConfigError
from raytl.models.branch import Branch
from raytl.models.transfer_model import Block, TransferModel, TransferOutput
from raytl.ranks import all_rows
from raytl.rows import join_given
from raytl.tasks.base import Task

Stream = Literal["source", "target", "labelled"]
Losses = dict[str, Tensor]
Outputs = dict[str, TransferOutput]
TEACHER = "teacher/"  # how the names of a teacher's branches begin among a batch's inputs


@dataclass
class Teacher:
    """A network that comments on the student's rows, which its own branches read. Frozen and in
    eval mode from here on, as nobody puts it in another: batch-norm statistics stay as they are and
    dropout is off."""

    network: TransferModel
    task: Task | None  # what its head was trained for; None: it has none, or it is not asked

    def __post_init__(self) -> None:
        self.network.requires_grad_(False).eval()

    @property
    def branches(self) -> dict[str, Branch]:
        """Its branches, as they are called among a batch's inputs."""
        return {f"{TEACHER}{name}": b for name, b in self.network.named_branches.items()}

    @torch.no_grad()
    def __call__(self, batch: Batch) -> TransferOutput:
        """Return the outputs for all rows of the batch, by the columns that they have."""
        branches = {name: f"{TEACHER}{name}" for name in self.network.columns}
        own = {n: batch.inputs[its] for n, its in branches.items() if its in batch.inputs}
        return self.network(own).of_all_rows(len(batch.id), own_out=False)


@dataclass(frozen=True)
class Context:
    """What a recipe may need to know of the trial when it is built."""

    trial: TrialConfig
    model: TransferModel
    task: Task
    source_task: Task | None = None  # of the source domain
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
    needs: ClassVar[frozenset[str]] = frozenset()  # what the task must give: see `Task.gives`
    freezes: ClassVar[Literal["as configured", "all", "nothing"]] = "as configured"
    fresh_backbone: ClassVar[bool] = False  # the source model's architecture with random weights
    shares_classes: ClassVar[bool] = True  # source and target rows pass through one head
    trains_all: ClassVar[bool] = True  # in every step, all that is not held has a gradient
    least_rows: ClassVar[int] = 1  # of each domain in a step, or there is no loss
    uses_student: ClassVar[bool] = False  # the source model teaches another architecture
    asks_teacher: ClassVar[bool] = False  # reads the teacher's answers, not its features alone
    pulls_to_start: ClassVar[bool] = False  # adds the pull of `l2_sp`, for which decay makes room
    # What a row's own series says again in the source model's place
    says_again: ClassVar[Literal["step", "season"] | None] = None
    # Keys of a trial that this recipe reads and not every one does
    reads: ClassVar[frozenset[str]] = frozenset()
    vectorises: ClassVar[bool] = False  # losses are pure functions that torch.func.vmap takes

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.trial = context.trial
        self.mapped_dim = context.model.mapper.out_dim
        self.task, self.source_task = context.task, context.source_task

    @classmethod
    @abstractmethod
    def streams(cls, labelled: bool, has_source: bool) -> tuple[Stream, ...]:
        """Return which streams the recipe reads: the labelled source domain, the unlabelled
        target, the labelled target. `labelled`: whether any target label may be used.

        Raises ConfigError where the recipe makes no sense under that regime.
        """

    @classmethod
    def teaches(cls, student: str | None) -> bool:
        """Return whether `student`, a source model of the study, is trained in the place of the
        trial's own, which teaches it."""
        return cls.uses_student and student is not None

    @classmethod
    def judged_after(cls, trial: TrialConfig) -> float:
        """Return the fraction of the training, in [0, 1], after which a trial may be compared with
        others and stopped early: by then it does what it will be judged for."""
        return 0.0

    @abstractmethod
    def losses(self, model: TransferModel, batch: TrainBatch, progress: float) -> Losses:
        """Return the unweighted losses by name, from one forward pass.

        `progress` = step / steps in [0, 1).
        """

    def total(self, losses: Losses, progress: float) -> Tensor:
        """Return the scalar that is minimised: the plain sum unless a recipe weighs its losses."""
        return torch.stack(list(losses.values())).sum()

    def held_blocks(self, model: TransferModel, progress: float) -> frozenset[Block]:
        """Return the trainable blocks that stay frozen at this point of the training."""
        return frozenset()

    def scalars(self, progress: float) -> dict[str, float]:
        """Return schedule values worth logging, by name."""
        return {}

    def row_losses(self, name: str, outputs: Outputs, batch: TrainBatch) -> Tensor:
        """Return the task's loss of each row of a labelled stream, (B,), with the trial's label
        smoothing and class weights."""
        given = outputs[name]
        return task_losses(
            self.task_of(name), self.trial, given.out, batch.streams[name], given.head
        )

    def task_of(self, name: str) -> Task:
        """Return the task as it weighs a stream's rows: those of the source domain by its own
        classes' counts."""
        return self._of_source if name == "source" else self.task

    @cached_property
    def _of_source(self) -> Task:
        return self.task if self.source_task is None else self.task.weighing_as(self.source_task)

    def task_loss(self, outputs: Outputs, batch: TrainBatch) -> Tensor:
        """Mean loss over the source rows and, where there are any, the labelled target rows,
        together."""
        names = [name for name in batch.streams if name != "target" and name in outputs]
        return torch.cat([self.row_losses(name, outputs, batch) for name in names]).mean()


def task_losses(task: Task, trial: TrialConfig, out: Any, stream: Batch, head: nn.Module) -> Tensor:
    """Return a task's loss of each row of a labelled stream, (B,), as the trial wants it, of what
    `head` gave. Where each worker has its own targets, all get the losses of all."""
    assert stream.target is not None
    loss_B = task.loss(
        out, stream.target, trial.label_smoothing, balanced=trial.class_weights == "balanced",
        head=head,
    )  # fmt: skip
    return all_rows(loss_B, len(stream.id)) if stream.own_target else loss_B


def targets_of(stream: Batch) -> Tensor:
    """Return the targets of a labelled stream."""
    assert isinstance(stream.target, Tensor)
    return stream.target


def run_streams(model: TransferModel, batch: TrainBatch) -> Outputs:
    """Run every stream of the batch through the model and split the result: in one forward pass,
    or, where domains have other columns, one for those that have the same.

    With several workers each runs its own rows, and all get the outputs of all rows.
    """
    outputs: Outputs = {}
    for streams in _alike(batch):
        outputs |= _run_together(model, streams)
    return {name: outputs[name] for name in batch.streams}


def _alike(batch: TrainBatch) -> list[dict[str, Batch]]:
    """Return the streams in groups that have the same branches."""
    groups: dict[tuple[str, ...], dict[str, Batch]] = {}
    for name, stream in batch.streams.items():
        groups.setdefault(tuple(stream.inputs), {})[name] = stream
    return list(groups.values())


def _run_together(model: TransferModel, streams: dict[str, Batch]) -> Outputs:
    every = list(streams.values())
    own = [branch for branch in model.columns if branch in every[0].inputs]
    inputs = {
        branch: join_given([model.branch(branch).transformed(s.inputs[branch]) for s in every])
        for branch in own
    }
    sizes = [stream.own_rows for stream in every]
    out = model(inputs, num_source=streams["source"].own_rows if "source" in streams else 0)
    maps = model.reads != "features"
    return {
        name: part.of_all_rows(len(stream.id), own_out=maps or stream.own_target)
        for (name, stream), part in zip(streams.items(), out.split(sizes), strict=True)
    }


def in_float32(features: Tensor) -> torch.autocast:
    """Return a context that computes in float32 also where training is in bfloat16, in which the
    difference of what is nearly the same is lost. Features that are bfloat16 want a `float()`."""
    return torch.autocast(features.device.type, enabled=False)


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
    """The task's loss on one labelled stream: the target's where it has labels, else the
    source's."""

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

    reads = frozenset({"alignment_lambda"})

    def total(self, losses: Losses, progress: float) -> Tensor:
        return losses["task"] + self.trial.alignment_lambda * losses["alignment"]
