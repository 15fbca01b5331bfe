"""Folders that `datasets` saved."""

import io
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile
from unit.data.importing import in_order, sharded, written

from raytl.data.dataset import Dataset
from raytl.data.shard import shard, shard_options
from raytl.data.writer import write_dataset
from raytl.errors import ConfigError, DataError
from raytl.modalities.audio.column import AudioColumn
from raytl.tasks.columns import LabelColumn, ValueColumn

datasets = pytest.importorskip("datasets", reason="raytl[datasets] is not installed")


def test_features_say_what_columns_are(tmp_path: Path) -> None:
    features = datasets.Features(
        {
            "picture": datasets.Image(),
            "words": datasets.Value("string"),
            "size": datasets.Value("int32"),
            "kind": datasets.ClassLabel(names=["zebra", "ant"]),
        }
    )
    rows = {
        "picture": [Image.new("RGB", (4, 4), (i, 0, 0)) for i in (9, 7)],
        "words": ["one", "two"], "size": [5, 6], "kind": [1, 0],
    }  # fmt: skip
    part = datasets.Dataset.from_dict(rows, features)
    datasets.DatasetDict({"train": part, "test": part.select([1, 0])}).save_to_disk(tmp_path / "h")
    sharded("huggingface", tmp_path / "h", tmp_path / "d", size=4)
    dataset = Dataset.open(tmp_path / "d")
    assert dataset.columns["kind"] == LabelColumn(classes=("zebra", "ant"))
    images, texts, table, labels = in_order(
        tmp_path / "d", "test", "picture", "words", "table", "kind"
    )
    assert images[:, 0, 0, 0].tolist() == [7, 9]
    assert texts.tolist() == ["two", "one"] and table.tolist() == [[6.0], [5.0]]
    assert labels.tolist() == [0, 1]


def test_sounds_and_values(tmp_path: Path) -> None:
    file = io.BytesIO()
    wavfile.write(file, 8000, np.arange(5, dtype=np.int16))
    cell = {"bytes": file.getvalue(), "path": "0.wav"}
    part = datasets.Dataset.from_dict({"sound": [cell] * 2, "score": [0.5, 1.5]})
    part.cast_column("sound", datasets.Audio(decode=False)).save_to_disk(tmp_path / "h")
    sharded("huggingface", tmp_path / "h", tmp_path / "d", target="score")
    columns = Dataset.open(tmp_path / "d").columns
    assert isinstance(columns["sound"], AudioColumn) and isinstance(columns["score"], ValueColumn)
    assert in_order(tmp_path / "d", "train", "sound")[0][0].tolist() == [0, 1, 2, 3, 4]


def test_shards_take_their_own_pictures_along(tmp_path: Path) -> None:
    rows = {"picture": [Image.new("RGB", (4, 4), (i, 0, 0)) for i in range(12)], "y": [0, 1] * 6}
    part = datasets.Dataset.from_dict(rows).cast_column("picture", datasets.Image())
    part.save_to_disk(tmp_path / "h")
    sent: list[bytes] = []

    def each(do: Callable[[Any], Any], what: Iterable[Any]) -> Iterator[Any]:
        for one in what:
            sent.append(pickle.dumps(one))
            yield do(pickle.loads(sent[-1]))

    options = shard_options(target="y", size=4)
    alone = shard("huggingface", str(tmp_path / "h"), tmp_path / "a", options=options)
    many = partial(write_dataset, shard_bytes=4 * 48)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("raytl.data.shard.write_dataset", many)
        report = shard(
            "huggingface", str(tmp_path / "h"), tmp_path / "b", options=options, each=each
        )
    assert len(report.info.splits["train"].shards) == len(sent) == 3
    assert [content.count(b"PNG") for content in sent] == [4, 4, 4]
    found = [in_order(tmp_path / name, "train", "picture")[0] for name in ("a", "b")]
    assert (found[0] == found[1]).all() and alone.info.splits["train"].rows == 12


def test_folders_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        sharded("huggingface", tmp_path / "none", tmp_path / "d")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="cannot be read as a folder of Dataset.save_to_disk"):
        sharded("huggingface", tmp_path / "empty", tmp_path / "d")
    written(tmp_path / "h/state.json", "{")
    written(tmp_path / "h/dataset_info.json", "{")
    with pytest.raises(DataError, match="cannot be read as a folder of Dataset.save_to_disk"):
        sharded("huggingface", tmp_path / "h", tmp_path / "d")
    datasets.Dataset.from_dict({"x": [1, 2]}).save_to_disk(tmp_path / "g")
    with pytest.raises(ConfigError, match="--target: name the column"):
        sharded("huggingface", tmp_path / "g", tmp_path / "d")


def test_without_the_package_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ConfigError, match=r"install raytl\[datasets\]"):
        sharded("huggingface", tmp_path, tmp_path / "d")
