"""A saved model as an object that a program asks: `raytl.load(…).predict(rows)`."""

from collections.abc import Sequence
from typing import Any

from raytl.config.source_model import here
from raytl.data.raw.python_rows import python_rows
from raytl.training.answers import Answering, Said
from raytl.urls import Place


class LoadedModel:
    """A saved model, loaded once. It may be asked by several threads at once: nothing of it
    changes."""

    def __init__(self, model: Place, device: str = "cpu") -> None:
        """Raises ModelError where the model has no head, CorruptError where it is broken."""
        self._answering = Answering.open(here(model), device)

    @property
    def task(self) -> str:
        """What it does: classification, regression, …"""
        return self._answering.complete.task.name

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The classes that it tells apart, if it does."""
        return self._answering.complete.spec.classes

    @property
    def columns(self) -> dict[str, dict[str, Any]]:
        """What a row has: for each column its kind and what else there is to know."""
        columns = self._answering.reading.columns
        return {name: column.describe() for name, column in columns.items()}

    def predict(self, rows: Sequence[Any], *, paths: bool = True) -> list[dict[str, Any]]:
        """Return an answer to each row, in order: `predicted` and, of classes, `probability` and
        `probabilities` by class; or `mask` (PNG bytes), `boxes`, `sentence` or `forecast`.

        A row is a mapping from column to value, a table's fields among the columns; where one
        column alone is read, and no table, its value will do: see `data.raw.python_rows`. Without
        `paths` rows may not name files, as those of strangers should not. Raises DataError that
        names the first row that cannot be read.
        """
        raw = python_rows(list(rows), self._answering.reading, paths=paths)
        return [answer for said in self._answering.said(raw) for answer in self._answers(said)]

    def _answers(self, said: Said) -> list[dict[str, Any]]:
        columns = self._answering.columns_of(said)
        found = [
            dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)
        ]
        if said.predicted.p_BK is not None:
            classes = self.classes or ()
            for answer, p_K in zip(found, said.predicted.p_BK.tolist(), strict=True):
                answer["probabilities"] = dict(zip(classes, p_K, strict=True))
        return found
