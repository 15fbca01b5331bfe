"""Columns of images: what fits, and what is read back."""

import numpy as np
import pyarrow as pa
import pytest

from raytl.modalities.image.column import ImageColumn

COLUMN = ImageColumn(shape=(4, 3, 2), dtype="uint8")


def images(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (rows, 4, 3, 2), np.uint8)


def test_a_row_takes_as_many_bytes_as_its_pixels() -> None:
    assert COLUMN.row_bytes == 24
    assert ImageColumn(shape=(4, 3, 2), dtype="float32").row_bytes == 96


def test_shards_hold_tensors_of_one_shape() -> None:
    array = COLUMN.to_arrow(images(5))
    assert array.type == COLUMN.arrow_type == pa.fixed_shape_tensor(pa.uint8(), (4, 3, 2))
    assert array.to_numpy_ndarray().tolist() == images(5).tolist()
    turned = images(5).transpose(0, 1, 2, 3)[:, ::-1]  # no longer in one piece
    assert COLUMN.to_arrow(turned).to_numpy_ndarray().tolist() == turned.tolist()


@pytest.mark.parametrize("ends", [[7], [3, 7], [1, 2, 7]])
def test_rows_are_read_by_number_from_any_shard(ends: list[int]) -> None:
    stored = images(7)
    starts = [0, *ends[:-1]]
    shards = [COLUMN.to_arrow(stored[a:b]) for a, b in zip(starts, ends, strict=True)]
    read = COLUMN.reader(shards)
    for index in ([6, 0, 3, 3, 2], [], [1]):
        found = read(np.array(index, dtype=np.int64))
        assert found.dtype == np.uint8
        assert found.tolist() == stored[np.array(index, dtype=np.int64)].tolist()
    found = read(np.arange(7))
    found[:] = 0  # the caller's own
    assert read(np.arange(7)).tolist() == stored.tolist()


def test_what_does_not_fit_is_told() -> None:
    COLUMN.check(images(2))
    with pytest.raises(ValueError, match=r"must be \(4, 3, 2\) uint8.* got \(4, 3, 1\) uint8"):
        COLUMN.check(images(2)[..., :1])
    with pytest.raises(ValueError, match=r"got \(4, 3, 2\) int64; --size makes all of one shape"):
        COLUMN.check(images(2).astype(np.int64))
    floats = ImageColumn(shape=(4, 3, 2), dtype="float32")
    values = images(2).astype(np.float32)
    floats.check(values)
    values[1, 2, 0, 1] = np.nan
    with pytest.raises(ValueError, match="images must be finite, but there is a NaN or infinity"):
        floats.check(values)


def test_a_row_without_an_image_is_noticed() -> None:
    storage = pa.array([[0] * 24, None], pa.list_(pa.uint8(), 24))
    array = pa.ExtensionArray.from_storage(COLUMN.arrow_type, storage)
    with pytest.raises(ValueError, match="rows without a value"):
        COLUMN.verify(array)


def test_a_column_is_what_dataset_json_says() -> None:
    told = COLUMN.model_dump(mode="json")
    assert told == {"kind": "image", "shape": [4, 3, 2], "dtype": "uint8"}
    assert ImageColumn.model_validate(told) == COLUMN
    with pytest.raises(ValueError, match="greater than 0"):
        ImageColumn(shape=(0, 3, 2), dtype="uint8")
