"""A model's predictions of rows, and the Arrow file that keeps them.

Legend: N rows, K classes.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from pyarrow.fs import FileSystem, LocalFileSystem

from raytl.errors import CorruptError

FILE_NAME = "predictions.arrow"
PROBABILITIES = "p"
COLUMNS = {"id", "target", "predicted", PROBABILITIES, "group"}


@dataclass(frozen=True)
class Predictions:
    """What was predicted of each row: ids (int64, (N,)), true and predicted classes (int64) or
    values (float64), (N,), of a classification the probabilities (float32, (N, K)), and the number
    of the group that it belongs to (a patient, say; int64, (N,)), where rows are not drawn one by
    one."""

    id_N: np.ndarray
    target_N: np.ndarray
    predicted_N: np.ndarray
    p_NK: np.ndarray | None = None
    group_N: np.ndarray | None = None

    def given(self, reads: Literal["classes", "probabilities", "values"]) -> np.ndarray:
        """Return what a metric reads of each row: classes or values, (N,), or probabilities,
        (N, K)."""
        if reads != "probabilities":
            return self.predicted_N
        assert self.p_NK is not None, "values have no probabilities"
        return self.p_NK

    def cut(self, which: np.ndarray) -> "Predictions":
        """Return some of the rows, by numbers or a mask."""
        p_NK = None if self.p_NK is None else self.p_NK[which]
        group_N = None if self.group_N is None else self.group_N[which]
        return replace(
            self, id_N=self.id_N[which], target_N=self.target_N[which],
            predicted_N=self.predicted_N[which], p_NK=p_NK, group_N=group_N,
        )  # fmt: skip

    def write(self, file: Path) -> None:
        """Write one record batch with a column for each array that is there."""
        arrays = {"id": self.id_N, "target": self.target_N, "predicted": self.predicted_N}
        columns = {name: pa.array(array) for name, array in arrays.items()}
        if self.p_NK is not None:
            flat = pa.array(np.ascontiguousarray(self.p_NK).reshape(-1))
            columns[PROBABILITIES] = pa.FixedSizeListArray.from_arrays(flat, self.p_NK.shape[1])
        if self.group_N is not None:
            columns["group"] = pa.array(self.group_N)
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
                arrays = {
                    f"{name}_N": _array(batch.column(name)) for name in names - {PROBABILITIES}
                }
                return cls(**arrays, p_NK=_probabilities(batch))
        except (OSError, ValueError, IndexError, TypeError, KeyError, pa.ArrowException) as error:
            raise CorruptError(f"{path}: cannot read the predictions: {error}") from None


def _array(column: pa.Array) -> np.ndarray:
    return np.array(np.from_dlpack(column))  # a copy: the file is closed then


def _probabilities(batch: pa.RecordBatch) -> np.ndarray | None:
    if PROBABILITIES not in batch.schema.names:
        return None
    column = batch.column(PROBABILITIES)
    return _array(column.flatten()).reshape(len(column), column.type.list_size)
