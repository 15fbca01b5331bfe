from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from raytl.modalities.text.column import TextColumn

COLUMN = TextColumn()


def texts(*values: object) -> np.ndarray:
    out = np.empty(len(values), dtype=object)
    out[:] = values
    return out


def mapped(path: Path, array: pa.Array) -> pa.Array:
    """Write an array as shards have it, and map it."""
    schema = pa.schema([("x", array.type)])
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, schema) as writer:
        writer.write_batch(pa.record_batch([array], schema=schema))
    return pa.ipc.open_file(pa.memory_map(str(path))).get_batch(0).column(0)


def test_rows_are_read_by_number_over_several_shards_in_the_order_asked_for(tmp_path: Path) -> None:
    rows = texts("Grüße", "", "b", "日本語", "🙂", "f")
    parts = [rows[:2], rows[2:2], rows[2:5], rows[5:]]
    arrays = [mapped(tmp_path / str(i), COLUMN.to_arrow(part)) for i, part in enumerate(parts)]
    read = COLUMN.reader(arrays)
    wanted = np.array([5, 0, 3, 3, 1, 4, 2])
    assert read(wanted).tolist() == rows[wanted].tolist()
    assert read(wanted).dtype == object
    assert read(np.array([], dtype=np.int64)).shape == (0,)


def test_what_is_read_is_a_copy() -> None:
    read = COLUMN.reader([COLUMN.to_arrow(texts("a", "b"))])
    read(np.array([0]))[0] = "changed"
    assert read(np.array([0])).tolist() == ["a"]


def test_texts_are_stored_with_wide_offsets() -> None:
    assert COLUMN.to_arrow(texts("a")).type == COLUMN.arrow_type == pa.large_string()


def test_unicode_and_empty_texts_are_taken() -> None:
    COLUMN.check(texts("", "ünï\u0000", "🙂"))


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (texts("a", None), "row 1: .* is None"),
        (texts("a", "b", 3), "row 2: .* of type int"),
        (texts("a", b"b"), "row 1: .* of type bytes"),
        (texts("fine", "x\ud83d"), "row 1: .*surrogate.*at character 1"),
        (np.array(["a", "b"]), "array of objects"),
        (texts("a").reshape(1, 1), "array of objects"),
        (["a"], "array of objects"),
    ],
)
def test_what_is_no_text_is_refused(bad: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        COLUMN.check(bad)


def test_stored_rows_without_a_text_are_refused() -> None:
    with pytest.raises(ValueError, match="without a value"):
        COLUMN.verify(pa.array(["a", None], pa.large_string()))


def test_stored_bytes_that_are_no_utf8_are_refused() -> None:
    raw = pa.array([b"fine", b"\xff\xfe"], pa.large_binary())
    array = pa.Array.from_buffers(pa.large_string(), 2, raw.buffers())
    COLUMN.verify(array[:1])
    with pytest.raises(ValueError, match="no UTF-8"):
        COLUMN.verify(array)


def test_a_row_takes_at_least_a_byte() -> None:
    assert TextColumn(mean_bytes=1).row_bytes >= 1
    assert TextColumn.model_validate(COLUMN.describe()) == COLUMN
