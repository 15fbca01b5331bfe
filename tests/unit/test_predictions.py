"""Predictions are read back as they were written, or not at all."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raytl.errors import CorruptError
from raytl.predictions import FILE_NAME, Predictions
from raytl.sweeping.kept.storage import RunStorage

PROBABILITIES = np.linspace(0, 1, 15, dtype=np.float32).reshape(5, 3)


def made() -> Predictions:
    rows = np.arange(5)
    return Predictions(rows, rows % 2, rows % 3, PROBABILITIES)


def test_they_are_read_back(tmp_path: Path) -> None:
    made().write(tmp_path / FILE_NAME)
    found = Predictions.read(tmp_path / FILE_NAME)
    assert found.predicted_N.tolist() == [0, 1, 2, 0, 1]
    assert found.p_NK is not None and found.p_NK.dtype == np.float32
    assert np.array_equal(found.p_NK, PROBABILITIES)
    assert found.group_N is None


def test_of_one_metric_what_others_read_is_left_out() -> None:
    assert made().only("classes").p_NK is None
    assert made().only("probabilities").p_NK is PROBABILITIES
    counts = Predictions(np.arange(5), np.zeros(5, np.int64), None, statistics_NM=np.ones((5, 2)))
    assert counts.only("pixels").statistics_NM is not None


def test_values_have_no_probabilities_and_groups_are_kept(tmp_path: Path) -> None:
    rows = np.arange(3)
    written = Predictions(rows, rows + 0.5, rows - 0.25, group_N=np.array([2, 2, 0]))
    written.write(tmp_path / FILE_NAME)
    found = Predictions.read(tmp_path / FILE_NAME)
    assert found.target_N.tolist() == [0.5, 1.5, 2.5]
    assert found.predicted_N.tolist() == [-0.25, 0.75, 1.75]
    assert found.p_NK is None and found.group_N is not None
    assert found.group_N.tolist() == [2, 2, 0]


@pytest.mark.parametrize("content", [b"", b"no arrow file" * 99])
def test_broken_ones_are_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(CorruptError, match="cannot read the predictions"):
        Predictions.read(tmp_path / FILE_NAME)


def test_those_of_a_version_with_other_columns_are_refused_in_one_line(tmp_path: Path) -> None:
    columns = {name: np.arange(3) for name in ("id", "target", "predicted", "confidence")}
    batch = pa.record_batch({name: pa.array(values) for name, values in columns.items()})
    file = tmp_path / FILE_NAME
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    said = "written by another version, with a column 'confidence'; a run of another version is"
    with pytest.raises(CorruptError, match=said) as caught:
        Predictions.read(file)
    assert len(str(caught.value).splitlines()) == 1


def test_a_confirmed_trial_has_those_of_its_last_checkpoint(tmp_path: Path) -> None:
    storage = RunStorage(tmp_path)
    with pytest.raises(CorruptError, match="trial: the trial's checkpoint is missing"):
        storage.predictions("trial")
    folder = storage.trial("trial")
    folder.save({}, [{"epoch": 1}], lambda folder: None, last=False)
    with pytest.raises(CorruptError, match="cannot read the predictions"):
        storage.predictions("trial")
    folder.save(
        {}, [{"epoch": 1}, {"epoch": 2}], lambda at: made().write(at / FILE_NAME), last=True
    )
    assert storage.predictions("trial").id_N.tolist() == [0, 1, 2, 3, 4]
