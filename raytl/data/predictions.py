"""A model's predictions of a split, row by row, and the Arrow file that keeps them.

Legend: N rows.
"""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow.fs import FileSystem, LocalFileSystem

from raytl.errors import CorruptError

FILE_NAME = "predictions.arrow"


@dataclass(frozen=True)
class Predictions:
    """What was predicted of each row: ids, true and predicted classes (int64, (N,)), the predicted
    class's probability (float32, (N,), in [0, 1]), and the number of the group that it belongs to
    (a patient, say; int64, (N,)), where rows are not drawn one by one."""

    id_N: np.ndarray
    target_N: np.ndarray
    predicted_N: np.ndarray
    confidence_N: np.ndarray | None = None
    group_N: np.ndarray | None = None

    def write(self, file: Path) -> None:
        """Write one record batch with a column for each array that is there."""
        arrays = {
            field.name.removesuffix("_N"): getattr(self, field.name) for field in fields(self)
        }
        batch = pa.record_batch({k: pa.array(v) for k, v in arrays.items() if v is not None})
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)

    @classmethod
    def read(cls, path: Path | str, filesystem: FileSystem | None = None) -> "Predictions":
        """Read what `write` wrote. Raises CorruptError where it is not there or not whole."""
        try:
            with (filesystem or LocalFileSystem()).open_input_file(str(path)) as file:
                batch = pa.ipc.open_file(file).read_all().to_batches()[0]
                return cls(**{f"{name}_N": _array(batch, name) for name in batch.schema.names})
        except (OSError, ValueError, IndexError, TypeError, pa.ArrowException) as error:
            raise CorruptError(f"{path}: cannot read the predictions: {error}") from None


def _array(batch: pa.RecordBatch, name: str) -> np.ndarray:
    return np.array(np.from_dlpack(batch.column(name)))  # a copy: the file is closed then
