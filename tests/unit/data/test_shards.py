"""Datasets: written whole, read by index, and noticed when broken."""

import errno
from pathlib import Path

import numpy as np
import pytest
from feed_support import image_feed
from tests_support import write_images

from raytl.data.dataset import Dataset
from raytl.data.importers.base import ShardOptions
from raytl.data.schema import DatasetInfo
from raytl.data.shard import shard
from raytl.errors import ConfigError, CorruptError, DataError, RaytlError, UserError
from raytl.modalities.image.column import ImageColumn

IMAGE = ImageColumn(shape=(4, 4, 1), dtype="uint8")


def write(out: Path, labels: list[int] | None = None, force: bool = False) -> DatasetInfo:
    rows = np.arange(10)
    images = np.broadcast_to(rows[:, None, None, None], (10, 4, 4, 1)).astype(np.uint8)
    y = np.array(labels) if labels else rows % 2
    splits = {"train": [(images, y)], "test": [(images[:3], y[:3])]}
    return write_images(out, IMAGE, ("a", "b"), splits, shard_bytes=64, force=force)


def test_rows_come_back_by_index(tmp_path: Path) -> None:
    info = write(tmp_path / "d")
    assert len(info.splits["train"].shards) == 3
    split = Dataset.open(tmp_path / "d").split("train")
    assert split.read("image", [9, 0, 5])[:, 0, 0, 0].tolist() == [9, 0, 5]
    assert split.read("label", [9, 0, 5]).tolist() == [1, 0, 1]
    assert Dataset.open(tmp_path / "d").split("test").ids().tolist() == [10, 11, 12]


def test_feed_is_seeded_covers_each_epoch_and_resumes(tmp_path: Path) -> None:
    write(tmp_path / "d")
    dataset = Dataset.open(tmp_path / "d")

    def ids(start: int, count: int) -> list[list[int]]:
        feed = image_feed(dataset, labelled=False, batch_size=4, seed=7, kind="resident")
        batches = feed.train_batches(start)
        found = [next(batches) for _ in range(count)]
        assert all(batch.target is None for batch in found)
        return [batch.id.tolist() for batch in found]

    first = ids(0, 5)
    assert sorted([row for batch in first for row in batch][:10]) == list(range(10))
    assert ids(3, 2) == first[3:]


def test_broken_bytes_are_noticed(tmp_path: Path) -> None:
    write(tmp_path / "d")
    file = sorted((tmp_path / "d").glob("train*.arrow"))[0]
    whole = file.read_bytes()
    changed = bytearray(whole)
    changed[len(whole) // 2] ^= 1
    file.write_bytes(changed)
    with pytest.raises(CorruptError, match="SHA-256"):
        Dataset.open(tmp_path / "d").verify()
    file.write_bytes(whole[:-9])
    with pytest.raises(CorruptError, match=f"has {len(whole) - 9} bytes, expected {len(whole)}"):
        Dataset.open(tmp_path / "d")
    file.unlink()
    with pytest.raises(CorruptError, match="is missing"):
        Dataset.open(tmp_path / "d")


def test_labels_out_of_range_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 2 has 5"):
        write(tmp_path / "d", labels=[0, 1, 5, 0, 0, 0, 0, 0, 0, 0])
    assert list(tmp_path.iterdir()) == []


def test_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("raytl.data.writer.save_batch", full)
    with pytest.raises(RaytlError, match="the disk is full") as caught:
        write(tmp_path / "d")
    assert caught.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def test_existing_folder_and_killed_run(tmp_path: Path) -> None:
    (tmp_path / ".d.partial").mkdir()
    (tmp_path / ".d.partial" / "left").touch()
    write(tmp_path / "d")
    assert [p.name for p in tmp_path.iterdir()] == ["d"]
    with pytest.raises(UserError, match="exists already"):
        write(tmp_path / "d")
    write(tmp_path / "d", force=True)


def test_unknown_split_and_no_dataset(tmp_path: Path) -> None:
    write(tmp_path / "d")
    with pytest.raises(DataError, match="did you mean 'train'"):
        Dataset.open(tmp_path / "d").split("trian")
    with pytest.raises(DataError, match="no dataset here"):
        Dataset.open(tmp_path)


def test_image_that_does_not_decode(tmp_path: Path) -> None:
    folder = tmp_path / "in" / "train" / "ants"
    folder.mkdir(parents=True)
    (folder / "bad.jpg").write_bytes(b"not a jpeg")
    (tmp_path / "in" / "train" / "bees").mkdir()
    with pytest.raises(DataError, match=r"bad\.jpg: does not decode"):
        shard("image-folder", str(tmp_path / "in"), tmp_path / "d", options=ShardOptions(size=8))
    assert not (tmp_path / "d").exists()


def test_options_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--rows means nothing"):
        shard("digits", None, tmp_path / "d", options=ShardOptions(rows=30))
    with pytest.raises(ConfigError, match="unknown kind 'mnst'; did you mean 'mnist'"):
        shard("mnst", None, tmp_path / "d", options=ShardOptions())
