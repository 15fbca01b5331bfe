"""A complete model as one module: tensors in, tensors out.

Legend: B batch, K numbers that the head gives, H height and W width of a mask or H steps to come.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from raytl.config import TaskName
from raytl.data.raw.pictures import frame_of
from raytl.data.raw.reading import raw_reading
from raytl.data.raw.rows import RawReading
from raytl.errors import ModelError
from raytl.exporting.fronts.base import BATCH, Front, Slot
from raytl.exporting.fronts.registry import front_of
from raytl.exporting.steady import steady
from raytl.modalities.base import Transform
from raytl.modalities.column import Column
from raytl.modalities.image.column import ImageColumn
from raytl.models.source_folder import CompleteModel, load_complete_model
from raytl.rows import Given
from raytl.tasks.base import Task
from raytl.tasks.forecasting import Forecasting
from raytl.tasks.map_heads import scaled
from raytl.tasks.regression import Regression
from raytl.tasks.segmentation import Segmentation

# Of outputs, as a share of the largest one where that is above 1; of values by the target's spread
TOLERANCE = 1e-4
ROUNDED = 1e-2  # of the spread, what float32 may lose of values that are large beside it

# What cannot be exported, and why
REFUSED: Mapping[TaskName, str] = {
    "detection": "boxes are read out of its head row by row, those that overlap dropped one after "
    "the other, which is no arithmetic of one tensor",
    "translation": "sentences are searched for word by word with a beam, which is a loop around "
    "the network and no network",
}
HOLDS: Mapping[TaskName, str] = {
    "classification": "logits of the classes; their softmax gives probabilities",
    "regression": "the value, in the target's unit",
    "segmentation": "logits of the classes for each pixel; the greatest says the pixel's class",
    "forecasting": "the steps to come, in the target's unit",
}


class Ending(nn.Module):
    """From what a head gives to a program's output."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task

    def forward(self, out: Tensor) -> Tensor:
        """(B, K) logits; (B,) a value; (B, K, H, W) logits of pixels; or (B, H) steps."""
        if isinstance(self.task, Segmentation):
            return scaled(out.float(), self.task.column.shape)
        if isinstance(self.task, Regression | Forecasting):
            in_unit = (self.task.mean + self.task.std * out.double()).float()
            return in_unit[:, 0] if isinstance(self.task, Regression) else in_unit
        return out.float()

    @property
    def slot(self) -> Slot:
        """What it gives."""
        task = self.task
        shape: tuple[int | str, ...] = (BATCH, task.out_dim)
        if isinstance(task, Segmentation):
            shape = (*shape, *task.column.shape)
        names = {"regression": "value", "forecasting": "steps"}
        if isinstance(task, Regression):
            shape = (BATCH,)
        return Slot(names.get(task.name, "logits"), "float32", shape, HOLDS[task.name])


class Whole(nn.Module):
    """Fronts → branches, fusion, mapper, head → ending, in eval mode. Inputs are the tensors of all
    slots in their order."""

    def __init__(self, complete: CompleteModel) -> None:
        """Raises ModelError for a task that cannot be exported."""
        super().__init__()
        task = complete.task
        if task.name in REFUSED:
            raise ModelError(
                f"a {task.name} cannot be exported: {REFUSED[task.name]}; use `raytl predict`, or "
                "raytl.load in a program of your own"
            )
        reading = raw_reading(complete.spec.rows, complete.transforms)
        self.columns = tuple(complete.model.columns)
        self.called = complete.spec.backbone
        names = slot_names(self.columns)
        self.fronts = nn.ModuleList(
            _front(names[name], transform, reading.columns[name], reading)
            for name, transform in complete.transforms.items()
        )
        self.model, self.ending = steady(complete.model), Ending(task)
        self.eval()

    @property
    def inputs(self) -> tuple[Slot, ...]:
        """What it takes."""
        return tuple(slot for front in self._fronts() for slot in front.slots)

    def _fronts(self) -> list[Front]:
        fronts = list(self.fronts)
        return [front for front in fronts if isinstance(front, Front)]

    def of_column(self) -> dict[str, Front]:
        """Return the fronts by the names of their columns."""
        return dict(zip(self.columns, self._fronts(), strict=True))

    def forward(self, *tensors: Tensor) -> Tensor:
        """Return the output of rows."""
        inputs, start = {}, 0
        for name, front in self.of_column().items():
            stop = start + len(front.slots)
            inputs[name] = Given(front(*tensors[start:stop]), transformed=True)
            start = stop
        return self.ending(self.model(inputs).out)


def _front(slot: str, transform: Transform, column: Column, reading: RawReading) -> Front:
    frame = frame_of(column, reading) if isinstance(column, ImageColumn) else None
    return front_of(slot, transform, column, frame)


def slot_names(columns: tuple[str, ...]) -> dict[str, str]:
    """Return what inputs of a program are called by column: names that every language takes, which
    differ."""
    plain = {name: "".join(c if c.isalnum() and c.isascii() else "_" for c in name)
             for name in columns}  # fmt: skip
    plain = {name: f"of_{to}" if to[0].isdigit() else to for name, to in plain.items()}
    twice = [name for name in plain if list(plain.values()).count(plain[name]) > 1]
    return plain | {name: f"{plain[name]}_{columns.index(name)}" for name in twice}


@dataclass(frozen=True)
class Trial:
    """Rows that are drawn, as a program is given them, and what raytl's own model says of them, of
    values the target's `mean` and spread `std`."""

    tensors: tuple[Tensor, ...]
    wanted: Tensor
    mean: float = 0.0
    std: float = 1.0

    @classmethod
    def of(cls, task: Task, tensors: tuple[Tensor, ...], wanted: Tensor) -> "Trial":
        """Return the trial of a model of `task`."""
        if isinstance(task, Regression | Forecasting):
            return cls(tensors, wanted, task.mean, task.std)
        return cls(tensors, wanted)


@torch.inference_mode()
def trial_rows(complete: CompleteModel, whole: Whole, rows: int, seed: int = 0) -> Trial:
    """Draw rows and run raytl's model on them, by its own transforms."""
    random = np.random.default_rng(seed)
    given, tensors = dict[str, Given](), list[Tensor]()
    for name, front in whole.of_column().items():
        of_slots, prepared = front.trial(rows, random)
        tensors += of_slots
        given[name] = Given(prepared)
    out = complete.model.eval()(given).out
    return Trial.of(complete.task, tuple(tensors), whole.ending(out))


def check_same(got: Tensor | np.ndarray, trial: Trial, what: str) -> float:
    """Return how far outputs lie from what raytl says, at most, in their own unit. Raises
    ModelError where that is more than TOLERANCE and what float32 rounds off."""
    wanted, found = trial.wanted.double(), torch.as_tensor(got).double()
    if found.shape != wanted.shape:
        raise ModelError(
            f"{what} gives {tuple(found.shape)} where raytl gives {tuple(wanted.shape)}; nothing "
            "was written"
        )
    apart, most = float((found - wanted).abs().max()), float(wanted.abs().max())
    largest = max(1.0, float((wanted - trial.mean).abs().max()) / trial.std)
    rounded = 4 * torch.finfo(torch.float32).eps * most / trial.std
    if not apart / trial.std <= TOLERANCE * largest + min(rounded, ROUNDED):
        values = trial.std != 1.0 or trial.mean != 0.0
        unit = f" of the target's spread, {trial.std:g}," if values else ","
        raise ModelError(
            f"{what} must give what raytl gives to {TOLERANCE:g}{unit} but differs by "
            f"{apart / trial.std:.2g}{' of it' if values else ''} beside outputs up to {most:.3g}; "
            "nothing was written"
        )
    return apart


def open_whole(path: Path) -> tuple[CompleteModel, Whole]:
    """Load a source model with a head as one module; raises as `load_complete_model` and
    `Whole`."""
    complete = load_complete_model(path)
    return complete, Whole(complete)


def facts_of(complete: CompleteModel) -> dict[str, Any]:
    """Return what a person wants to know of any exported model, ready for JSON."""
    spec = complete.spec
    classes = spec.classes
    return {
        "task": complete.task.name,
        **({} if classes is None else {"classes": list(classes)}),
        **({} if spec.score is None else {"score": spec.score}),
        **({} if spec.trained_on is None else {"trained_on": spec.trained_on}),
    }
