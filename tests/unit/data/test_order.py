"""The stored order: shuffled once, by a fixed seed; ids keep the source's order."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from raytl.data.dataset import Dataset
from raytl.data.importers.base import ShardOptions
from raytl.data.schema import DatasetInfo
from raytl.data.shard import shard
from raytl.data.writer import Chunk, write_dataset
from raytl.modalities.image.column import ImageColumn
from raytl.tasks.columns import LabelColumn

CLASSES, ROWS = 12, 3000


def sorted_arrays(tmp_path: Path) -> tuple[str, str, ShardOptions]:
    labels = np.sort(np.arange(ROWS) % CLASSES)
    numbers = np.arange(ROWS)
    images = np.stack([numbers // 256, numbers % 256], axis=1).astype(np.uint8)
    np.savez(tmp_path / "a.npz", X=images.reshape(ROWS, 1, 2), y=labels)
    return "arrays", str(tmp_path / "a.npz"), ShardOptions(splits={"train": ("X", "y")})


def sorted_folders(tmp_path: Path) -> tuple[str, str, ShardOptions]:
    for label in range(CLASSES):
        folder = tmp_path / "in" / f"{label:02}"
        folder.mkdir(parents=True)
        for index in range(100):
            Image.new("RGB", (2, 2), (label, index, 0)).save(folder / f"{index:03}.png")
    return "image-folder", str(tmp_path / "in"), ShardOptions(size=2)


@pytest.mark.parametrize("source", [sorted_arrays, sorted_folders])
def test_any_leading_part_and_every_shard_holds_all_classes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: Callable[[Path], tuple[str, str, ShardOptions]],
) -> None:
    monkeypatch.setattr("raytl.data.shard.write_dataset", partial(write_dataset, shard_bytes=1200))
    kind, path, options = source(tmp_path)
    info = shard(kind, path, tmp_path / "d", options=options).info
    split = Dataset.open(tmp_path / "d").split("train")
    labels = split.all("label")
    assert set(labels[:1000].tolist()) == set(range(CLASSES))
    assert set(labels[:200].tolist()) == set(range(CLASSES))
    ends = np.cumsum([part.rows for part in info.splits["train"].shards])[:-1]
    assert len(ends)
    assert all(len(set(part.tolist())) == CLASSES for part in np.split(labels, ends))
    again = shard(kind, path, tmp_path / "again", options=options).info
    assert again.fingerprint == info.fingerprint


def test_ids_are_the_places_in_the_source(tmp_path: Path) -> None:
    kind, path, options = sorted_arrays(tmp_path)
    shard(kind, path, tmp_path / "d", options=options)
    split = Dataset.open(tmp_path / "d").split("train")
    pixels = split.read("image", range(ROWS)).reshape(ROWS, 2).astype(int)
    assert split.ids().tolist() == (pixels[:, 0] * 256 + pixels[:, 1]).tolist()
    assert sorted(split.ids().tolist()) == list(range(ROWS))


def test_rows_left_out_leave_no_gap_in_the_ids(tmp_path: Path) -> None:
    _, path, _ = sorted_folders(tmp_path)
    for name in ("000", "050"):
        (tmp_path / "in" / "03" / f"{name}.png").write_bytes(b"")
    options = ShardOptions(size=2, skip_bad=True)
    shard("image-folder", path, tmp_path / "d", options=options)
    split = Dataset.open(tmp_path / "d").split("train")
    order = np.argsort(split.ids())
    assert split.ids()[order].tolist() == list(range(1198))
    images, labels = split.read("image", order), split.read("label", order)
    assert images[:, 0, 0, 0].tolist() == labels.tolist() == sorted(labels.tolist())
    assert images[300:398, 0, 0, 1].tolist() == [*range(1, 50), *range(51, 100)]


def test_gaps_are_closed_over_shards_and_splits(tmp_path: Path) -> None:
    def chunk(places: list[int]) -> Chunk:
        numbers = np.array(places)
        images = numbers.astype(np.uint8).reshape(-1, 1, 1, 1)
        return Chunk({"image": images, "label": numbers % 2}, numbers)

    columns = {
        "image": ImageColumn(shape=(1, 1, 1), dtype="uint8"),
        "label": LabelColumn(classes=("a", "b")),
    }

    info: DatasetInfo = write_dataset(
        tmp_path / "d", columns,
        {"train": [chunk([9, 2]), chunk([5, 0])], "test": [chunk([1, 0])]}, {}, shard_bytes=2,
    )  # fmt: skip
    assert len(info.splits["train"].shards) == 2
    dataset = Dataset.open(tmp_path / "d")
    assert dataset.split("train").ids().tolist() == [3, 1, 2, 0]
    assert dataset.split("train").read("image", range(4)).ravel().tolist() == [9, 2, 5, 0]
    assert dataset.split("test").ids().tolist() == [5, 4]


def test_predictions_are_written_in_the_source_order(
    tmp_path: Path,
) -> None:
    from raytl.training.pretrain import pretrain
    from raytl.verbs import predict

    shard("digits", None, tmp_path / "d", options=ShardOptions())
    pretrain(tmp_path / "d", "small_cnn", tmp_path / "net", epochs=1, batch_size=512)
    predict(tmp_path / "net", tmp_path / "d", out=tmp_path / "p.csv")
    ids = [line.split(",")[0] for line in (tmp_path / "p.csv").read_text().splitlines()[1:]]
    assert ids == [str(k) for k in range(1000, 1797)]
