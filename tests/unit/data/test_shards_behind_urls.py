"""Datasets behind a URL: the same rows as from a folder, each shard fetched once a node."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from s3_server import put, s3_bucket
from tests_support import write_images

from raytl.data.dataset import Dataset
from raytl.data.inspect_dataset import describe
from raytl.data.shard_files import FetchedShards
from raytl.errors import CorruptError, DataError
from raytl.modalities.image.column import ImageColumn
from raytl.remote_files import delete
from raytl.urls import Url

ROWS, SHARD_ROWS = 90, 10


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (ROWS, 4, 4, 1)).astype(np.uint8)
    write_images(
        tmp_path / "d", ImageColumn(shape=(4, 4, 1), dtype="uint8"), ("a", "b"),
        {"train": [(pixels, np.arange(ROWS) % 2)], "test": [(pixels[:20], np.arange(20) % 2)]},
        shard_bytes=16 * SHARD_ROWS,
    )  # fmt: skip
    return tmp_path / "d"


@pytest.fixture
def url(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Url]:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "cache"))
    with s3_bucket(monkeypatch) as bucket:
        put(folder, bucket / "data" / "d")
        yield bucket / "data" / "d"


def fetched(tmp_path: Path) -> list[Path]:
    return [
        file for file in (tmp_path / "cache" / "fetched").glob("*.arrow")
        if not file.stem.endswith(("-label", "-id"))
    ]  # fmt: skip


@pytest.mark.parametrize("limit", [10**9, 6000])
def test_rows_are_those_of_the_folder_however_small_the_cache_is(
    folder: Path, url: Url, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setenv("RAYTL_SHARD_CACHE_BYTES", str(limit))
    here, there = Dataset.open(folder), Dataset.open(url)
    there.ensure_verified()
    assert there.fingerprint == here.fingerprint
    ours, theirs = here.split("train"), there.split("train")
    assert theirs.ids().tolist() == ours.ids().tolist()
    assert theirs.all("label").tolist() == ours.all("label").tolist()
    generator = np.random.default_rng(1)
    for count in (0, 1, 7, 40, ROWS):
        rows = generator.integers(0, ROWS, count)
        assert (theirs.read("image", rows) == ours.read("image", rows)).all()
        assert theirs.read("image", rows).dtype == np.uint8
    assert (theirs.all("image") == ours.all("image")).all()


def test_only_the_shards_that_are_read_are_fetched(url: Url, tmp_path: Path) -> None:
    split = Dataset.open(url).split("train")
    split.ids(), split.all("label")
    assert fetched(tmp_path) == []
    split.read("image", [0, 5, 25])
    assert len(fetched(tmp_path)) == 2


def test_a_cache_smaller_than_the_dataset_keeps_its_limit(
    url: Url, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYTL_SHARD_CACHE_BYTES", "6000")
    split = Dataset.open(url).split("train")
    for start in range(0, ROWS, 5):
        split.read("image", range(start, start + 5))
        assert sum(file.stat().st_size for file in fetched(tmp_path)) <= 6000
    assert len(fetched(tmp_path)) < ROWS // SHARD_ROWS


def test_a_read_over_many_shards_fetches_each_once_and_has_few_at_hand(
    url: Url, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYTL_SHARD_CACHE_BYTES", "6000")
    monkeypatch.setattr("raytl.data.dataset.FETCHERS", 2)
    split, fetches, at_once = Dataset.open(url).split("train"), [], []
    fetch, batches = FetchedShards._fetch, FetchedShards.batches

    def fetch_counted(self: Any, shard: Any, to: Path) -> None:
        fetches.append(shard.file)
        fetch(self, shard, to)

    def batches_counted(self: Any, shards: Any) -> Any:
        at_once.append(len(shards))
        return batches(self, shards)

    monkeypatch.setattr(FetchedShards, "_fetch", fetch_counted)
    monkeypatch.setattr(FetchedShards, "batches", batches_counted)
    split.read("image", range(0, ROWS, SHARD_ROWS))
    assert len(fetches) == len(set(fetches)) == ROWS // SHARD_ROWS
    assert max(at_once) == 2


def test_rows_that_are_held_are_read_once(url: Url, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYTL_SHARD_CACHE_BYTES", "6000")
    split, rows = Dataset.open(url).split("train"), np.array([85, 3, 42])
    before = split.read("image", rows)
    assert (split.held(rows).read("image", rows) == before).all()
    monkeypatch.setattr(FetchedShards, "batches", lambda *_: pytest.fail("read again"))
    assert (split.held(np.sort(rows)).read("image", rows[:2]) == before[:2]).all()


def test_a_split_is_opened_anew_in_another_process(url: Url) -> None:
    split = Dataset.open(url).split("train")
    before = split.read("image", [3, 1])
    again = pickle.loads(pickle.dumps(split))
    assert (again.read("image", [3, 1]) == before).all()
    assert len(pickle.dumps(split)) < 10_000


def test_on_another_node_it_is_that_nodes_cache_which_keeps_the_copies(
    url: Url, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = Dataset.open(url).split("train")
    split.read("image", [0])
    assert split.kept
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "there" / "cache"))
    monkeypatch.setenv("RAYTL_SHARD_CACHE_BYTES", "6000")
    again = pickle.loads(pickle.dumps(split))
    assert not again.kept
    again.all("image")
    assert len(fetched(tmp_path)) == 1
    found = fetched(tmp_path / "there")
    assert found and sum(file.stat().st_size for file in found) <= 6000


def test_another_reader_fetches_nothing(url: Url, tmp_path: Path) -> None:
    Dataset.open(url).split("train").all("image")
    for file in (url / of.file for of in Dataset.open(url).info.splits["train"].shards):
        delete(file)
    assert len(Dataset.open(url).split("train").all("image")) == ROWS


def test_a_shard_that_is_not_what_was_written_is_no_row(
    folder: Path, url: Url, tmp_path: Path
) -> None:
    shard = folder / Dataset.open(folder).info.splits["train"].shards[0].file
    content = bytearray(shard.read_bytes())
    content[content.index(b"ARROW1", 10) - 200] ^= 1
    shard.write_bytes(content)
    put(folder, url)
    Dataset.open(url).ensure_verified()  # its size is right
    with pytest.raises(CorruptError, match=r"s3://bucket/data/d/train-00000.*SHA-256"):
        Dataset.open(url).split("train").read("image", [0])
    assert fetched(tmp_path) == []
    with pytest.raises(CorruptError, match="SHA-256"):
        describe(Dataset.open(url))


def test_a_missing_shard_is_found_before_anything_starts(url: Url) -> None:
    delete(url / Dataset.open(url).info.splits["train"].shards[1].file)
    with pytest.raises(CorruptError, match="train-00001.*is missing"):
        Dataset.open(url).ensure_verified()
    with pytest.raises(CorruptError, match="train-00001.*is missing"):
        Dataset.open(url).split("train").read("image", [15])


def test_no_dataset_behind_the_url(url: Url) -> None:
    with pytest.raises(DataError, match=r"s3://bucket/data/none: no dataset here"):
        Dataset.open(Url(url.replace("/data/d", "/data/none")))
