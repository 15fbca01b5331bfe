"""What a model says of raw rows, which have no target.

Legend: N rows, B rows at a time.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raytl.config import TASK_FACTS, TaskName
from raytl.data.fitting import Fitted
from raytl.data.raw.pictures import frame_of
from raytl.data.raw.reading import raw_reading, raw_rows
from raytl.data.raw.rows import RawReading, RawRows
from raytl.data.stored import Chunk
from raytl.errors import DataError
from raytl.modalities.base import Transform
from raytl.modalities.image.column import ImageColumn
from raytl.models.source_folder import CompleteModel, load_complete_model
from raytl.rows import Given
from raytl.tasks.base import Predicted
from raytl.training.evaluation import rows_at_a_time

REMEDY = "; mend or remove it, or give --skip-bad"


@dataclass(frozen=True)
class Answers:
    """`rows` hold what `columns` name, in order: what to call each, and predicted class and
    probability, predicted value, or what else the `task` says, as `Task.encoded` has it.
    `left_out`: what is wrong with rows that were skipped; `notes`: what else should be known."""

    task: TaskName
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]
    left_out: list[str]
    notes: list[str]


@dataclass(frozen=True)
class Said:
    """What is said of some rows, numbered as the raw rows are."""

    numbers: list[int]
    predicted: Predicted
    encoded: list[Any]  # as `Task.encoded` has them, of a task that gives no numbers


@dataclass(frozen=True)
class Answering:
    """A saved model, and how raw rows become its own."""

    complete: CompleteModel
    reading: RawReading
    device: torch.device

    @classmethod
    def open(cls, model: Path, device: str = "cpu") -> "Answering":
        """Load a model. Raises ModelError where it has no head, CorruptError where it is broken."""
        return cls.of(load_complete_model(model), device)

    @classmethod
    def of(cls, complete: CompleteModel, device: str = "cpu") -> "Answering":
        """Return the same of a model in memory, which is moved to the device."""
        place = torch.device(device)
        complete.model.to(place).eval()
        return cls(complete, raw_reading(complete.spec.rows, complete.transforms), place)

    def answer(self, rows: RawRows, *, skip_bad: bool = False) -> Answers:
        """Predict raw rows. Raises DataError for a bad one, which `skip_bad` leaves out, and where
        none is left."""
        left_out: list[str] = []
        found: list[tuple[Any, ...]] = []
        for said in self.said(rows, left_out, skip_bad=skip_bad, remedy=REMEDY):
            names = [rows.names[number] for number in said.numbers]
            found += zip(names, *self.columns_of(said).values(), strict=True)
        if not found:
            raise DataError(f"none of {len(rows.names)} rows can be read: {left_out[0]}")
        columns = (rows.called, *self.named())
        some = ", ".join(rows.skipped[:3]) + (", …" if len(rows.skipped) > 3 else "")
        skipped = [f"left aside ({len(rows.skipped)}): {some}"] if rows.skipped else []
        notes = [*self.reading.notes, *skipped]
        return Answers(self.complete.task.name, columns, found, left_out, notes)

    def named(self) -> tuple[str, ...]:
        """What columns are called that `columns_of` gives."""
        task = self.complete.task
        if "numbers" not in task.gives:
            return (TASK_FACTS[task.name].answer,)
        return ("predicted",) if "values" in task.gives else ("predicted", "probability")

    def columns_of(self, said: Said) -> dict[str, list[Any]]:
        """Return what a person reads of an answer."""
        if "numbers" not in self.complete.task.gives:
            return dict(zip(self.named(), [said.encoded], strict=True))
        answers = said.predicted.answer.tolist()
        if said.predicted.p_BK is None:
            return dict(zip(self.named(), [answers], strict=True))
        classes = self.complete.spec.classes
        assert classes is not None
        names = [classes[k] for k in answers]
        likely = said.predicted.p_BK.amax(1).tolist()
        return dict(zip(self.named(), [names, likely], strict=True))

    def said(
        self,
        rows: RawRows,
        left_out: list[str] | None = None,
        *,
        skip_bad: bool = False,
        remedy: str = "",
    ) -> Iterator[Said]:
        """Yield what is said of the rows, some at a time; see `RawRows.read`."""
        of_rows = rows.columns
        transforms = {
            name: transform.for_column(of_rows[name])
            for name, transform in self.complete.transforms.items()
        }
        task, head = self.complete.task, self.complete.model.head
        most = rows_at_a_time(task, head)
        told = [] if left_out is None else left_out
        for chunk in rows.read(told, skip_bad=skip_bad, remedy=remedy):
            for start in range(0, len(chunk.places_N), most):
                own = slice(start, start + most)
                said = task.taken_back(
                    self._predicted(chunk, own, transforms), self._fitted(chunk, own)
                )
                encoded = [] if "numbers" in task.gives else task.encoded(said)
                yield Said(chunk.places_N[own].tolist(), said, encoded)

    def _fitted(self, chunk: Chunk, own: slice) -> list[Fitted]:
        """Return how the rows' images are fitted, none where they are not or there are several."""
        if len(self.reading.columns) > 1:
            return []
        frames = {
            name: frame_of(column, self.reading)
            for name, column in self.reading.columns.items()
            if isinstance(column, ImageColumn)
        }
        return [
            Fitted(shape, frame)
            for name, frame in frames.items()
            if frame is not None
            for shape in chunk.shapes[name][own]
        ]

    @torch.inference_mode()
    def _predicted(
        self, chunk: Chunk, own: slice, transforms: Mapping[str, Transform]
    ) -> Predicted:
        given = {
            name: Given(transform.prepare(chunk.values[name][own])).to(self.device)
            for name, transform in transforms.items()
        }
        output = self.complete.model(given)
        said = self.complete.task.predict(output.out, output.head)
        check_finite(said)
        return said


def check_finite(said: Predicted) -> None:
    """Raise DataError where a prediction is not finite."""
    for numbers in (said.p_BK, said.answer):
        if isinstance(numbers, torch.Tensor) and not bool(np.isfinite(numbers.cpu().numpy()).all()):
            raise DataError(
                "a prediction is not finite; look for values far from those of training rows"
            )


def predict_raw(model: Path, path: Path, *, skip_bad: bool = False) -> Answers:
    """Predict the raw rows at a path: see `data.raw.reading.raw_rows`. Raises as that and as
    `Answering.open` and `answer`."""
    answering = Answering.open(model)
    return answering.answer(raw_rows(path, answering.reading), skip_bad=skip_bad)
