"""A model's predictions of rows, and the Arrow file that keeps them.

Legend: N rows, K classes, M statistics of a row.
"""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow.fs import FileSystem, LocalFileSystem

from raytl.errors import CorruptError

FILE_NAME = "predictions.arrow"
# The columns of several numbers a row, by the field
LISTS = {"p_NK": "p", "statistics_NM": "statistics"}
PICTURE = "picture"
COLUMNS = {"id", "target", "predicted", "group", PICTURE, *LISTS.values()}


@dataclass(frozen=True)
class Predictions:
    """What was predicted of each row: ids (int64, (N,)), true and predicted classes (int64) or
    values (float64), (N,), of a classification the probabilities (float32, (N, K)), and the number
    of the group that it belongs to (a patient, say; int64, (N,)), where rows are not drawn one by
    one.

    Of tasks whose answers are larger than that (masks, say) no answer is kept but statistics
    (float64, (N, M)) of answer and target, which are all that a score needs; the target is then 0,
    or NO_LABEL where a row has none. A few rows may have a picture, PNG bytes, others None."""

    id_N: np.ndarray
    target_N: np.ndarray
    predicted_N: np.ndarray | None
    p_NK: np.ndarray | None = None
    group_N: np.ndarray | None = None
    statistics_NM: np.ndarray | None = None
    picture_N: np.ndarray | None = None

    def given(self, reads: str) -> np.ndarray:
        """Return what a metric reads of each row, as `Metric.reads` calls it: classes or values,
        (N,), probabilities, (N, K), or statistics, (N, M)."""
        found: np.ndarray | None = getattr(self, _field(reads))
        assert found is not None, f"these predictions have no {reads}"
        return found

    def only(self, reads: str) -> "Predictions":
        """Return what a metric reads, as `given` takes it, without what others read: rows of a
        thousand classes have a thousand probabilities."""
        others: dict[str, Any] = dict.fromkeys(LISTS.keys() - {_field(reads)})
        return replace(self, picture_N=None, **others)

    def cut(self, which: np.ndarray) -> "Predictions":
        """Return some of the rows, by numbers or a mask."""
        found: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{n: of[which] for n, of in found.items() if of is not None})

    def write(self, file: Path) -> None:
        """Write one record batch with a column for each array that is there."""
        arrays = {"id": self.id_N, "target": self.target_N, "predicted": self.predicted_N}
        columns = {name: pa.array(array) for name, array in arrays.items() if array is not None}
        for field, name in LISTS.items():
            numbers = getattr(self, field)
            if numbers is not None:
                flat = pa.array(np.ascontiguousarray(numbers).reshape(-1))
                columns[name] = pa.FixedSizeListArray.from_arrays(flat, numbers.shape[1])
        if self.group_N is not None:
            columns["group"] = pa.array(self.group_N)
        if self.picture_N is not None:
            columns[PICTURE] = pa.array(self.picture_N.tolist(), pa.binary())
        batch = pa.record_batch(columns)
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)

    @classmethod
    def read(cls, path: Path | str, filesystem: FileSystem | None = None) -> "Predictions":
        """Read what `write` wrote. Raises CorruptError where it is not there, not whole, or of a
        version that wrote other columns."""
        try:
            with (filesystem or LocalFileSystem()).open_input_file(str(path)) as file:
                batch = pa.ipc.open_file(file).read_all().to_batches()[0]
                names = set(batch.schema.names)
                if names - COLUMNS:
                    raise CorruptError(
                        f"{path}: written by another version, with a column "
                        f"'{min(names - COLUMNS)}'; a run of another version is reported and "
                        "exported by that version"
                    )
                plain = names - {PICTURE, *LISTS.values()}
                arrays: dict[str, Any] = {f"{name}_N": _array(batch.column(name)) for name in plain}
                lists = {field: _lists(batch, name) for field, name in LISTS.items()}
                if PICTURE in names:
                    arrays["picture_N"] = _objects(batch.column(PICTURE).to_pylist())
                return cls(**{"predicted_N": None} | arrays | lists)
        except (OSError, ValueError, IndexError, TypeError, KeyError, pa.ArrowException) as error:
            raise CorruptError(f"{path}: cannot read the predictions: {error}") from None


def _field(reads: str) -> str:
    if reads in ("classes", "values"):
        return "predicted_N"
    return "p_NK" if reads == "probabilities" else "statistics_NM"


def _array(column: pa.Array) -> np.ndarray:
    return np.array(np.from_dlpack(column))  # a copy: the file is closed then


def _objects(values: list[Any]) -> np.ndarray:
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found


def _lists(batch: pa.RecordBatch, name: str) -> np.ndarray | None:
    if name not in batch.schema.names:
        return None
    column = batch.column(name)
    return _array(column.flatten()).reshape(len(column), column.type.list_size)
