"""Tables of many Parquet files: what is large is sorted by shard, and read there alone."""

import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from importing import in_order, sharded
from PIL import Image
from scipy.io import wavfile

from raytl.data.importers import parquet_files
from raytl.data.importers.packed import Packed
from raytl.data.shard import shard, shard_options
from raytl.data.writer import write_dataset
from raytl.errors import ConfigError, DataError

FILES, ROWS, GROUP = 3, 20, 7


def picture(row: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((6, 6, 3), row, np.uint8)).save(buffer, "png")
    return buffer.getvalue()


def sound(row: int) -> bytes:
    buffer = io.BytesIO()
    wavfile.write(buffer, 8000, np.full(50 + row, row, np.int16))
    return buffer.getvalue()


def columns(first: int, count: int = ROWS) -> dict[str, Any]:
    rows = range(first, first + count)
    return {
        "picture": [{"bytes": picture(row), "path": f"{row}.png"} for row in rows],
        "said": [sound(row) for row in rows],
        "words": [f"row {row} ä" for row in rows],
        "size": [float(row) for row in rows],
        "kind": [row % 3 for row in rows],
        "who": [f"p{row // 5}" for row in rows],
    }


def write(folder: Path, name: str, **of: Any) -> None:
    folder.mkdir(exist_ok=True)
    table = pa.table(of)
    features = {
        "picture": {"_type": "Image"}, "said": {"_type": "Audio"},
        "words": {"_type": "Value", "dtype": "string"}, "size": {"_type": "Value"},
        "kind": {"_type": "ClassLabel", "names": ["a", "b", "c"]}, "who": {"_type": "Value"},
    }  # fmt: skip
    held = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(held), folder / name, row_group_size=GROUP)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three files of three row groups each, each group read by itself, shards of a few rows."""
    for number in range(FILES):
        write(tmp_path / "in", f"train-{number:05d}.parquet", **columns(number * ROWS))
    monkeypatch.setattr(parquet_files, "UNIT_BYTES", 1)
    small = partial(write_dataset, shard_bytes=1500)
    monkeypatch.setattr("raytl.data.shard.write_dataset", small)
    return tmp_path / "in"


def test_rows_come_from_all_row_groups_and_what_they_are_from_hugging_face(
    files: Path, tmp_path: Path
) -> None:
    report = sharded("table", files, tmp_path / "out", size=6, group="who")
    images, sounds, texts, labels = in_order(
        tmp_path / "out", "train", "picture", "said", "words", "kind"
    )
    every = range(FILES * ROWS)
    assert images[:, 0, 0, 0].tolist() == list(every)
    assert [len(of) for of in sounds] == [50 + row for row in every]
    assert texts.tolist() == [f"row {row} ä" for row in every]
    assert labels.tolist() == [row % 3 for row in every]
    assert report.info.columns["kind"].model_dump()["classes"] == ("a", "b", "c")
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir())[-1] == ".json"
    assert not (tmp_path / "out" / "begun").exists()


def test_the_same_bytes_whoever_writes_and_however_units_are_cut(
    files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = shard_options(size=6, test=0.2, where=["kind=b", "kind=c"])
    found = set()
    for name, each, unit in [("a", None, 1), ("b", map, 1), ("c", None, 2**30)]:
        monkeypatch.setattr(parquet_files, "UNIT_BYTES", unit)
        report = shard("table", str(files), tmp_path / name, options=options, each=each)
        found.add(report.info.fingerprint)
        assert {s: i.rows for s, i in report.info.splits.items()} == {"train": 32, "test": 8}
    assert len(found) == 1


def test_patterns_name_splits(files: Path, tmp_path: Path) -> None:
    write(files, "test-00000.parquet", **columns(100, 5))
    splits = {"train": "train-{00000..00002}.parquet", "test": "test-*.parquet"}
    report = sharded("table", files, tmp_path / "out", splits=splits, size=6, drop=["said"])
    assert {s: i.rows for s, i in report.info.splits.items()} == {"train": 60, "test": 5}
    (texts,) = in_order(tmp_path / "out", "test", "words")
    assert texts[0] == "row 100 ä"


def test_a_file_that_two_splits_name_is_refused(files: Path, tmp_path: Path) -> None:
    splits = {"train": "train-*.parquet", "test": "train-{00002..00002}.parquet"}
    with pytest.raises(DataError, match=r"train-00002\.parquet: stands in two splits, train"):
        sharded("table", files, tmp_path / "out", splits=splits, size=6)


def test_files_without_rows_are_counted_too(files: Path, tmp_path: Path) -> None:
    kinds = {"size": pa.float64(), "kind": pa.int64()}
    for name, rows in [("a0", 0), ("a1", 3), ("b0", 2), ("b1", 0)]:
        of = {n: pa.array([rows + r for r in range(rows)], kind) for n, kind in kinds.items()}
        pq.write_table(pa.table(of), files / f"{name}.parquet")
    splits = {"train": "a*.parquet", "test": "b*.parquet"}
    sharded("table", files, tmp_path / "out", splits=splits, target="size", task="regression")
    assert in_order(tmp_path / "out", "train", "size")[0].tolist() == [3, 4, 5]
    assert in_order(tmp_path / "out", "test", "size")[0].tolist() == [2, 3]


def test_bad_cells_are_named_and_left_out(files: Path, tmp_path: Path) -> None:
    of = columns(0)
    of["picture"][3] = {"bytes": b"no picture", "path": "x"}
    of["picture"][9] = None
    write(files, "train-00000.parquet", **of)
    with pytest.raises(DataError, match=r"train-00000\.parquet, row [39]: .*--skip-bad"):
        sharded("table", files, tmp_path / "out", size=6)
    report = sharded("table", files, tmp_path / "out", size=6, skip_bad=True)
    assert sorted(text.split("/")[-1][:26] for text in report.skipped) == [
        "train-00000.parquet, row 3", "train-00000.parquet, row 9",
    ]  # fmt: skip
    (texts,) = in_order(tmp_path / "out", "train", "words")
    assert len(texts) == 58 and texts[3] == "row 4 ä"


@pytest.mark.parametrize(
    ("name", "of", "options", "message"),
    [
        ("train-00001.parquet", {"words": ["a"]}, {}, "lacks 'kind'"),
        ("train-00001.parquet", columns(0) | {"size": ["a"] * ROWS}, {}, "'size' has string, but"),
        ("train-00001.parquet", columns(0) | {"words": [None, "a"] * (ROWS // 2)}, {},
         r"train-00001\.parquet, row 0: column 'words' has no text \(10 such"),
        ("train-00001.parquet", {n: v[:0] for n, v in columns(0).items()}, {}, "has null, but"),
        (None, {}, {"text": ["size"]}, "column 'size' has double, which is no text"),
        (None, {}, {"drop": ["said"], "image": "said"}, "both --drop and --image"),
    ],
)  # fmt: skip
def test_files_of_no_use(
    files: Path, tmp_path: Path, name: str | None, of: Any, options: Any, message: str
) -> None:
    if name is not None:
        write(files, name, **of)
    with pytest.raises((DataError, ConfigError), match=message):
        sharded("table", files, tmp_path / "out", size=6, **options)
    assert not (tmp_path / "out").exists()


def test_files_that_are_no_parquet(files: Path, tmp_path: Path) -> None:
    whole = (files / "train-00001.parquet").read_bytes()
    (files / "train-00001.parquet").write_bytes(whole[:-9])
    with pytest.raises(DataError, match=r"train-00001\.parquet: is no Parquet file"):
        sharded("table", files, tmp_path / "out", size=6)
    with pytest.raises(DataError, match="no-.*fits no such file"):
        sharded("table", f"{files}/no-*.parquet", tmp_path / "out")
    with pytest.raises(ConfigError, match="braces hold a run"):
        sharded("table", f"{files}/{{x}}.parquet", tmp_path / "out")


def test_a_column_that_no_option_names_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    rows = pa.table({"file": [b"x", b"y"], "y": ["a", "b"], "x": [1, 2]})
    pq.write_table(rows, tmp_path / "in" / "a.parquet")
    with pytest.raises(DataError, match="column 'file' has binary.*--image"):
        sharded("table", tmp_path / "in", tmp_path / "out", target="y")


def test_each_file_names_the_classes_of_its_own_numbers(tmp_path: Path) -> None:
    def put(name: str, names: list[str] | None, kinds: list[int]) -> None:
        features = {"kind": {"_type": "ClassLabel", "names": names}, "size": {"_type": "Value"}}
        table = pa.table({"kind": kinds, "size": [float(kind) for kind in kinds]})
        if names is not None:
            held = {"huggingface": json.dumps({"info": {"features": features}})}
            table = table.replace_schema_metadata(held)
        pq.write_table(table, tmp_path / name)

    put("train-0.parquet", ["a", "b", "c"], [0, 1, 2, 2])
    put("test-0.parquet", ["a", "c"], [0, 1])
    put("test-1.parquet", None, [1, 2])  # says nothing: as the first that does
    splits = {"train": "train-*.parquet", "test": "test-*.parquet"}
    report = sharded("table", tmp_path, tmp_path / "out", splits=splits)
    assert report.info.columns["kind"].model_dump()["classes"] == ("a", "b", "c")
    assert in_order(tmp_path / "out", "test", "kind")[0].tolist() == [0, 2, 1, 2]
    report = sharded("table", tmp_path, tmp_path / "other", splits=splits, target="size",
                     task="regression", category=["kind"])  # fmt: skip
    assert report.info.columns["table"].model_dump()["fields"][0]["categories"] == ("a", "b", "c")
    assert in_order(tmp_path / "other", "test", "table")[0][:, 0].tolist() == [0, 2, 1, 2]


def test_more_bytes_of_files_than_offsets_count_are_taken_by_chunk() -> None:
    size = 64 * 2**20  # 40 chunks of one buffer: 2.5 GiB to who puts them together
    offsets = np.array([0, size - 2, size - 1, size], np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.zeros(size, np.uint8))]
    chunk = pa.Array.from_buffers(pa.binary(), 3, buffers)
    cells = pa.chunked_array([chunk] * 40)
    taken = Packed(cells, str).of(np.array([118, 1, 119, 4]))
    assert taken.load() == [(name, b"\0") for name in ("118", "1", "119", "4")]
    assert Packed(cells, str).of(np.array([], np.int64)).load() == []


def test_files_may_differ_in_what_may_be_missing_and_in_the_order_of_columns(
    tmp_path: Path,
) -> None:
    (tmp_path / "in").mkdir()
    of = {"size": pa.array([1.5, 2.5, 3.5, 4.5]), "kind": pa.array(["a", "b", "a", "b"])}
    for number, (names, missing) in enumerate(
        [(("size", "kind"), True), (("kind", "size"), False)]
    ):
        schema = pa.schema([pa.field(name, of[name].type, nullable=missing) for name in names])
        table = pa.table([of[name] for name in names], schema=schema)
        pq.write_table(table, tmp_path / "in" / f"{number}.parquet")
    sharded("table", tmp_path / "in", tmp_path / "out", target="kind")
    rows, labels = in_order(tmp_path / "out", "train", "table", "kind")
    assert rows.ravel().tolist() == [1.5, 2.5, 3.5, 4.5] * 2
    assert labels.tolist() == [0, 1, 0, 1] * 2
