"""Datasets of version 1 load, with the fingerprint that they have always had."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests_support import write_images

from raytl.config import DomainConfig
from raytl.data.dataset import Dataset
from raytl.data.domain import Domain
from raytl.data.schema import FILE_NAME
from raytl.errors import CorruptError, DataError
from raytl.modalities.image.column import ImageColumn

CLASSES = ("a", "b", "c")


def written(out: Path) -> dict[str, Any]:
    """Write a dataset of images and labels; return its `dataset.json`."""
    images = np.arange(6 * 8, dtype=np.uint8).reshape(6, 2, 4, 1)
    splits = {"train": [(images, np.arange(6) % 3)], "test": [(images[:2], np.array([0, 1]))]}
    image = ImageColumn(shape=(2, 4, 1), dtype="uint8")
    write_images(out, image, CLASSES, splits, shard_bytes=2 * 8)
    return dict(json.loads((out / FILE_NAME).read_text()))


def as_version_1(found: dict[str, Any]) -> dict[str, Any]:
    """Return a `dataset.json` in the words of version 1, which knew neither nulls nor tasks but
    one."""
    columns = {
        "image": {"kind": "image", "shape": [2, 4, 1], "dtype": "uint8"},
        "label": {"kind": "label", "classes": list(CLASSES)},
    }
    kept = {name: found[name] for name in ("splits", "origin", "fingerprint")}
    return {"format_version": 1, "task": "classification", "columns": columns} | kept


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A folder as raytl 0.1 wrote it, three shards and one."""
    found = written(tmp_path / "d")
    assert found["format_version"] == 2 and list(found["columns"]) == ["image", "label"]
    (tmp_path / "d" / FILE_NAME).write_text(json.dumps(as_version_1(found)))
    return tmp_path / "d"


def test_sharded_again_it_is_cut_where_it_was(old: Path) -> None:
    """Of 8 bytes an image, 16 a shard: labels were never counted."""
    shards = Dataset.open(old).info.splits["train"].shards
    assert [shard.rows for shard in shards] == [2, 2, 2]


def test_it_has_the_same_fingerprint(old: Path, tmp_path: Path) -> None:
    new = written(tmp_path / "new")
    dataset = Dataset.open(old)
    assert dataset.fingerprint == new["fingerprint"]
    content = {
        "columns": json.loads((old / FILE_NAME).read_text())["columns"],
        "shards": {
            name: [shard["sha256"] for shard in split["shards"]]
            for name, split in new["splits"].items()
        },
    }
    text = json.dumps(content, sort_keys=True).encode()
    assert dataset.fingerprint == hashlib.sha256(text).hexdigest()


def test_its_rows_are_read_as_todays_are(old: Path, tmp_path: Path) -> None:
    written(tmp_path / "new")
    one, other = (Dataset.open(path) for path in (old, tmp_path / "new"))
    assert (one.inputs, one.targets, one.group) == (("image",), ("label",), None)
    assert one.columns == other.columns
    one.verify()
    for name in ("train", "test"):
        ours, theirs = one.split(name), other.split(name)
        assert np.array_equal(ours.all("image"), theirs.all("image"))
        assert np.array_equal(ours.all("label"), theirs.all("label"))
        assert np.array_equal(ours.ids(), theirs.ids())
    domain = Domain.open(DomainConfig(dataset=old))
    assert (domain.inputs, domain.target) == (("image",), "label")
    assert domain.targets("train").tolist() == [0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda d: d["columns"]["label"].update(classes=["a", "b"]), CorruptError, "by hand"),
        (lambda d: d["columns"]["image"].update(shape=[4, 2, 1]), CorruptError, "by hand"),
        (lambda d: d.update(format_version=3), DataError, "3 is none of 1, 2, those that this"),
        (lambda d: d.update(format_version="1"), DataError, "is none of 1, 2"),
        (lambda d: d.pop("format_version"), DataError, "None is none of 1, 2"),
        (lambda d: d.update(more=1), CorruptError, "more: "),
    ],
)
def test_one_that_does_not_hold_is_refused(
    old: Path, change: Callable[[dict[str, Any]], Any], error: type[Exception], message: str
) -> None:
    data = json.loads((old / FILE_NAME).read_text())
    change(data)
    (old / FILE_NAME).write_text(json.dumps(data))
    with pytest.raises(error, match=message) as caught:
        Dataset.open(old)
    assert FILE_NAME in str(caught.value)
