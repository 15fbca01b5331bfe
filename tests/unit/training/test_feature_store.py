"""Files of features: of one shape and of unequal sizes, in any order, float32 and bfloat16."""

from pathlib import Path

import numpy as np
import pytest
import torch

from raytl.rows import Padded, Rows, padded
from raytl.training.entry_files import OFFSETS, VALUES
from raytl.training.feature_store import (
    Encoded,
    Features,
    FeatureWriter,
    StoredType,
    decode,
    encode,
)

SIZES = (3, 0, 5, 1, 2, 0)
CHUNKS = [range(0, 2), range(2, 3), range(3, 6)]


def ragged(dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    if dtype == torch.float32:
        return [torch.randn(size, 4, generator=generator) for size in SIZES]
    return [torch.randint(-9, 9, (size, 4), generator=generator, dtype=dtype) for size in SIZES]


def store(folder: Path, rows: list[torch.Tensor], dtype: StoredType = "float32") -> Features:
    """Write padded rows by chunks, the last one first, each padded to its own longest."""
    writer = FeatureWriter(folder)
    writer.begin(encode(padded(rows[:1]), dtype), len(rows))
    for chunk in reversed(CHUNKS):
        writer.put(chunk, encode(padded([rows[i] for i in chunk]), dtype))
    writer.finish(CHUNKS)
    return Features.open(folder)


def test_rows_of_unequal_sizes_come_back_padded_to_the_longest_asked_for(tmp_path: Path) -> None:
    rows, stored = ragged(), store(tmp_path, ragged())
    for numbers in ([4, 0], [3], [2, 2, 1], [5, 3, 4, 0], list(range(6))):
        found = stored.rows(np.array(numbers))
        expected = padded([rows[i] for i in numbers])
        assert isinstance(found, Padded)
        assert torch.equal(found.values, expected.values)
        assert torch.equal(found.sizes, expected.sizes) and found.sizes.dtype == torch.int64


def test_rows_without_a_position_and_no_rows_at_all_are_read(tmp_path: Path) -> None:
    stored = store(tmp_path, ragged())
    empty = stored.rows(np.array([1, 5]))
    assert isinstance(empty, Padded) and empty.values.shape == (2, 0, 4)
    nobody = stored.rows(np.array([], dtype=np.int64))
    assert isinstance(nobody, Padded)
    assert nobody.values.shape == (0, 0, 4) and nobody.sizes.shape == (0, 1)


def test_what_stands_behind_a_row_is_not_stored(tmp_path: Path) -> None:
    rows = Padded(torch.tensor([[1.0, 2.0, 9.0], [3.0, 9.0, 9.0]]), torch.tensor([[2], [1]]))
    found = encode(rows, "float32")
    assert found.values.tolist() == [1.0, 2.0, 3.0]
    assert found.sizes is not None and found.sizes.tolist() == [2, 1] and found.nbytes == 12


def test_rows_of_one_shape_are_one_array(tmp_path: Path) -> None:
    rows = torch.randn(6, 2, 3)
    writer = FeatureWriter(tmp_path)
    writer.begin(encode(rows[:1], "float32"), 6)
    for chunk in reversed(CHUNKS):
        writer.put(chunk, encode(rows[chunk.start : chunk.stop], "float32"))
    writer.finish(CHUNKS)
    stored = Features.open(tmp_path)
    assert stored.offsets is None and stored.values.shape == (6, 2, 3)
    assert torch.equal(_plain(stored.rows(np.array([4, 4, 0]))), rows[[4, 4, 0]])
    assert not list(tmp_path.glob("*-*.npy"))


def _plain(rows: Rows) -> torch.Tensor:
    assert isinstance(rows, torch.Tensor)
    return rows


def test_what_is_read_may_be_changed(tmp_path: Path) -> None:
    stored = store(tmp_path, ragged())
    found = stored.rows(np.array([0]))
    assert isinstance(found, Padded)
    found.values.zero_()
    again = stored.rows(np.array([0]))
    assert isinstance(again, Padded) and again.values.any()


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64, torch.bool])
def test_whole_numbers_come_back_as_int32_whatever_the_stored_type(dtype: torch.dtype) -> None:
    values = torch.tensor([[0, 1], [1, 1]]).to(dtype)
    for stored in ("float32", "bfloat16"):
        found = decode(encode(values, stored).values)
        assert found.dtype == torch.int32 and found.tolist() == [[0, 1], [1, 1]]


def test_tokens_of_unequal_lengths_come_back_as_they_were(tmp_path: Path) -> None:
    rows = ragged(torch.int32)
    found = store(tmp_path, rows).rows(np.arange(6))
    assert isinstance(found, Padded)
    assert found.values.dtype == torch.int32 and torch.equal(found.values, padded(rows).values)


def test_bfloat16_takes_half_and_keeps_three_digits(tmp_path: Path) -> None:
    rows = ragged()
    stored = store(tmp_path, rows, "bfloat16")
    assert stored.values.itemsize == 2
    found = stored.rows(np.arange(6))
    assert isinstance(found, Padded) and found.values.dtype == torch.float32
    expected = padded(rows).values
    assert torch.equal(found.values, expected.bfloat16().float())
    torch.testing.assert_close(found.values, expected, rtol=2**-8, atol=0)


def test_joining_the_chunks_leaves_no_part_behind_and_may_be_done_twice(tmp_path: Path) -> None:
    store(tmp_path, ragged())
    assert sorted(path.name for path in tmp_path.iterdir()) == [VALUES, OFFSETS]
    FeatureWriter(tmp_path).finish(CHUNKS)
    assert np.load(tmp_path / OFFSETS).tolist() == [0, 3, 3, 8, 9, 11, 11]


def test_a_chunk_that_is_written_again_replaces_what_was_there(tmp_path: Path) -> None:
    rows, writer = ragged(), FeatureWriter(tmp_path)
    for chunk in CHUNKS:
        wrong = [torch.zeros(7, 4) for _ in chunk]
        writer.put(chunk, encode(padded(wrong), "float32"))
    found = store(tmp_path, rows).rows(np.arange(6))
    assert isinstance(found, Padded) and torch.equal(found.values, padded(rows).values)


def test_bytes_are_those_of_the_positions_that_there_are() -> None:
    assert encode(padded(ragged()), "float32").nbytes == sum(SIZES) * 4 * 4
    assert Encoded(np.zeros((3, 2), np.int16)).nbytes == 12


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_maps_with_their_channels_last_come_back_as_such(tmp_path: Path, dtype: StoredType) -> None:
    maps_BCHW = torch.arange(6 * 2 * 3 * 4).view(6, 2, 3, 4).float()
    encoded = encode(maps_BCHW, dtype, channels_last=True)
    assert encoded.values.shape == (6, 3, 4, 2)
    writer = FeatureWriter(tmp_path)
    writer.begin(encode(maps_BCHW[:1], dtype, channels_last=True), 6)
    writer.put(range(6), encoded)
    found = Features.open(tmp_path, channels_last=True).rows(np.array([4, 1]))
    assert isinstance(found, torch.Tensor)
    assert torch.equal(found, maps_BCHW[[4, 1]])
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_what_is_no_map_has_no_channels_to_put_last(tmp_path: Path) -> None:
    features_BD = torch.rand(3, 5)
    encoded = encode(features_BD, "float32", channels_last=True)
    assert encoded.values.shape == (3, 5)
    writer = FeatureWriter(tmp_path)
    writer.begin(encode(features_BD[:1], "float32", channels_last=True), 3)
    writer.put(range(3), encoded)
    found = Features.open(tmp_path, channels_last=True).rows(np.arange(3))
    assert isinstance(found, torch.Tensor) and torch.equal(found, features_BD)
