"""A source model with a head, loaded to predict rows that Python holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raytl.config.source_model import model_here
from raytl.errors import ConfigError
from raytl.models.source_spec import SourceSpec, check_head, read_spec
from raytl.packages import pandas
from raytl.urls import Place, place_of

if TYPE_CHECKING:
    import pandas as pd

    from raytl.data.raw.rows import RawRows
    from raytl.models.source_folder import CompleteModel
    from raytl.training.answers import Answering, Said
    from raytl.training.evaluation import Evaluation


def load(model: Path | str, device: str = "cpu") -> Loaded:
    """Load a model that has a head, such as a run's `best/`, to predict with.

    Args:
        model: The source model's folder or URL.
        device: Where it computes: cpu, cuda, cuda:1, …

    Returns:
        The model; `.predict(rows)` takes rows that Python holds.

    Raises:
        ModelError: There is no source model, or it has no head.
        ConfigError: There is no such device.
        CorruptError: Its files are not as they were written.

    Examples:
        >>> import numpy as np
        >>> model = raytl.load("sources/lenet")
        >>> model.predict(np.zeros((2, 28, 28), np.uint8)).columns[0]
        'predicted'
    """
    folder = model_here(place_of(model))
    check_head(read_spec(folder), folder)

    from raytl.models.source_folder import load_complete_model

    complete = load_complete_model(folder)
    try:
        complete.model.to(device).eval()
    except (RuntimeError, AssertionError) as error:  # the latter of torch without CUDA
        told = str(error).splitlines()[0]
        raise ConfigError(
            f"device={device!r}: {told[:160]}; give a device of this machine, such as cpu"
        ) from None
    return Loaded(folder, complete, device)


class Loaded:
    """A source model in memory, ready to predict. `raytl.load` makes it.

    Attributes:
        path: The source model's folder.
        spec: What it is: parts, task, classes, what it was trained on, score.
        model: The network, a torch module.

    Examples:
        >>> raytl.load("sources/lenet").reads
        {'image': 'image'}
    """

    def __init__(self, path: Path, complete: CompleteModel, device: str) -> None:
        self.path, self._complete, self._device = path, complete, device
        self.spec: SourceSpec = complete.spec
        self.model: Any = complete.model

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The classes that it predicts, if it does."""
        return self.spec.classes

    @property
    def reads(self) -> dict[str, str]:
        """The columns that it reads, with what each is: image, text, table, series or audio."""
        return {name: part.modality for name, part in self.spec.parts.items()}

    @property
    def task(self) -> str:
        """What it does: classification, regression, …"""
        return self._complete.task.name

    @property
    def columns(self) -> dict[str, dict[str, Any]]:
        """What a row of `answers` has: for each column its kind and what else there is to know."""
        columns = self._answering.reading.columns
        return {name: column.describe() for name, column in columns.items()}

    @cached_property
    def _answering(self) -> Answering:
        from raytl.training.answers import Answering

        return Answering.of(self._complete, self._device)

    def answers(self, rows: Sequence[Any], *, paths: bool = True) -> list[dict[str, Any]]:
        """Answer rows one by one, as a server does. Several threads may ask at once.

        Args:
            rows: A mapping each from column to value, a table's fields among the columns; where one
                column alone is read, and no table, its value will do: see `data.raw.python_rows`.
            paths: Whether rows may name files, as those of strangers should not.

        Returns:
            An answer to each, in order: `predicted` and, of classes, `probability` and
            `probabilities` by class; or `mask` (PNG bytes) or `boxes`, in the image's own pixels,
            `sentence` or `forecast`.

        Raises:
            DataError: A row cannot be read; the message has its number.
        """
        from raytl.data.raw.python_rows import python_rows

        raw = python_rows(rows, self._answering.reading, paths=paths)
        return [answer for said in self._answering.said(raw) for answer in self._each(said)]

    def _each(self, said: Said) -> list[dict[str, Any]]:
        columns = self._answering.columns_of(said)
        found = [
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        ]
        if said.predicted.p_BK is not None:
            classes = self.classes or ()
            for answer, p_K in zip(found, said.predicted.p_BK.tolist(), strict=True):
                answer["probabilities"] = dict(zip(classes, p_K, strict=True))
        return found

    def __repr__(self) -> str:
        parts = ", ".join(f"{name} ({kind})" for name, kind in self.reads.items())
        return f"Loaded({str(self.path)!r}): reads {parts}"

    def predict(self, rows: Any, *, split: str = "test") -> pd.DataFrame:
        """Predict rows.

        Args:
            rows: What `answers` takes, or a DataFrame, table of Arrow or Hugging Face dataset with
                the columns that the model reads, fields of a table by their names; of a model with
                one column also an array or tensor, rows first; numbers (N, F) of a table called c0,
                c1, …; or a path: what `raytl predict` takes, a dataset's folder or raw files.
            split: Of a dataset.

        Returns:
            A row for each: of classes `predicted`, `probability` and `p(CLASS)` of each; of values
            `predicted`; of others what the task calls its answer: masks (H, W) of class numbers and
            lists of boxes, in pixels of the images as they are given; sentences, steps to come.
            The index is that of a DataFrame, the path of files, the name of series, the id of a
            dataset's rows.

        Raises:
            DataError: A row cannot be read, the message has its number; or the rows lack a column
                that the model reads.
            ModelError: No such file holds what the model reads.
        """
        from raytl.data.raw.python_rows import python_rows
        from raytl.data.raw.reading import raw_rows
        from raytl.remote_files import there

        if isinstance(rows, str | Path):
            if there(place_of(rows) / "dataset.json"):
                return self._of_dataset(place_of(rows), split)
            raw = raw_rows(Path(rows), self._answering.reading)
        else:
            raw = python_rows(rows, self._answering.reading)
        said = [self._frame(said) for said in self._answering.said(raw)]
        found = pandas().concat(said, ignore_index=True)
        index = _index(rows, raw)
        return found if index is None else found.set_index(pandas().Index(index))

    def _frame(self, said: Said) -> pd.DataFrame:
        if "numbers" not in self._complete.task.gives:
            return self._answers([_answer(self.task, one) for one in said.encoded])
        p_BK = said.predicted.p_BK
        p_NK = None if p_BK is None else p_BK.cpu().numpy()
        return self._numbers(said.predicted.answer.cpu().numpy(), p_NK)

    def _of_dataset(self, place: Place, split: str) -> pd.DataFrame:
        from raytl.training.predict import Predictor

        found: Evaluation = Predictor.open(self.path, place, self._device).predict(split)
        said, task = found.predictions, self._complete.task
        if said.predicted_N is None:
            frame = self._answers([_answer(task.name, one) for one in found.answers])
        else:
            frame = self._numbers(said.predicted_N, said.p_NK)
        return frame.set_index(pandas().Index(said.id_N, name="id")).sort_index()

    def _answers(self, answers: list[Any]) -> pd.DataFrame:
        from raytl.config import TASK_FACTS

        series = pandas().Series(answers, dtype=object)
        return pandas().DataFrame({TASK_FACTS[self._complete.task.name].answer: series})

    def _numbers(self, predicted_N: Any, p_NK: Any) -> pd.DataFrame:
        classes = self.classes
        if classes is None:
            return pandas().DataFrame({"predicted": predicted_N})
        found = {"predicted": [classes[k] for k in predicted_N]}
        if p_NK is not None:
            found |= {"probability": p_NK.max(1)}
            found |= {f"p({name})": p_N for name, p_N in zip(classes, p_NK.T, strict=True)}
        return pandas().DataFrame(found)


def _index(rows: Any, raw: RawRows) -> Any:
    """Return what to call rows by: as their frame does, by file, or by series."""
    if raw.called == "series":
        return raw.names
    if raw.called == "file":
        folder = Path(rows)
        return [str(folder / name) if folder.is_dir() else str(folder) for name in raw.names]
    return rows.index if isinstance(rows, pandas().DataFrame) else None


def _answer(task: str, encoded: Any) -> Any:
    """Return an answer that was encoded for a file as Python has it: boxes, a mask, steps."""
    if task == "detection":
        return json.loads(encoded)
    if task == "segmentation":
        import io

        import numpy as np
        from PIL import Image

        return np.asarray(Image.open(io.BytesIO(encoded)))
    if task == "forecasting":
        return [float(step) for step in encoded.split()]
    return encoded
