"""Shards that are not what `dataset.json` says never reach a trial, and are read once to know."""

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pydantic import TypeAdapter
from tests_support import write_images

from raytl.data import verification
from raytl.data.columns import AnyColumn
from raytl.data.dataset import Dataset
from raytl.data.schema import FILE_NAME, SplitInfo, fingerprint_of
from raytl.errors import CorruptError, DataError, RaytlError
from raytl.modalities.column import Column
from raytl.modalities.image.column import ImageColumn

SHARD = "train-00000-of-00001.arrow"
COLUMN = TypeAdapter(AnyColumn)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A dataset of three classes, and a cache folder of its own."""
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "cache"))
    images = np.arange(6 * 8, dtype=np.uint8).reshape(6, 2, 4, 1)
    splits = {"train": [(images, np.arange(6) % 3)], "test": [(images[:2], np.array([0, 1]))]}
    image = ImageColumn(shape=(2, 4, 1), dtype="uint8")
    write_images(tmp_path / "d", image, ("a", "b", "c"), splits)
    return tmp_path / "d"


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files whose SHA-256 was computed."""
    names: list[str] = []
    compute = verification.sha256_of

    def noted(path: Path) -> str:
        names.append(path.name)
        return compute(path)

    monkeypatch.setattr(verification, "sha256_of", noted)
    return names


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def rewrite(folder: Path, change: Callable[[dict[str, Any]], Any], sign: bool = False) -> None:
    """Change `dataset.json`; `sign` computes the fingerprint anew, as a careful forger would."""
    data = json.loads((folder / FILE_NAME).read_text())
    change(data)
    if sign:
        columns = {n: COLUMN.validate_python(of) for n, of in data["columns"].items()}
        splits = {n: SplitInfo.model_validate(s) for n, s in data["splits"].items()}
        data["fingerprint"] = fingerprint_of(columns, splits)
    (folder / FILE_NAME).write_text(json.dumps(data))


def replace_shard(folder: Path, batch: pa.RecordBatch, count: int = 1) -> None:
    """Write another shard and sign it."""
    with pa.OSFile(str(folder / SHARD), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as out:
        for _ in range(count):
            out.write_batch(batch)
    content = (folder / SHARD).read_bytes()

    def change(data: dict[str, Any]) -> None:
        shard = data["splits"]["train"]["shards"][0]
        shard["sha256"] = hashlib.sha256(content).hexdigest()
        shard["bytes"] = len(content)

    rewrite(folder, change, sign=True)


def test_a_shard_is_hashed_once_for_all_readers(folder: Path, hashed: list[str]) -> None:
    for _ in range(3):
        Dataset.open(folder).split("train").all("label")
    assert hashed == [SHARD]
    Dataset.open(folder).ensure_verified()
    assert sorted(hashed) == ["test-00000-of-00001.arrow", SHARD]
    link = folder.with_name("link")
    link.symlink_to(folder)
    Dataset.open(link).split("train").all("label")
    assert len(hashed) == 2
    Dataset.open(folder).verify()  # what `inspect` does: always anew
    assert len(hashed) == 4


def test_readers_at_once_hash_once(folder: Path, hashed: list[str]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: Dataset.open(folder).split("train").all("label"), range(8)))
    assert hashed == [SHARD]


def test_another_copy_or_a_changed_file_is_verified_anew(folder: Path, hashed: list[str]) -> None:
    Dataset.open(folder).split("train").all("label")
    stat = (folder / SHARD).stat()
    flip(folder / SHARD)
    os.utime(folder / SHARD, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as cp -p would leave it
    for _ in range(2):
        with pytest.raises(CorruptError, match=f"{SHARD}: SHA-256 .* as written; copy or shard"):
            Dataset.open(folder).split("train").read("image", [0])
    flip(folder / SHARD)
    Dataset.open(folder).split("train").read("image", [0])
    assert hashed == 4 * [SHARD]


def test_a_cache_that_cannot_be_written_costs_time_alone(
    folder: Path, hashed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(folder / SHARD / "no folder"))
    for _ in range(2):
        assert Dataset.open(folder).split("train").all("label").tolist() == [0, 1, 2, 0, 1, 2]
    assert hashed == [SHARD, SHARD]


@pytest.mark.parametrize("content", ["", "[1]", "{", '{"a": 1}'])
def test_a_broken_memory_is_no_memory(folder: Path, hashed: list[str], content: str) -> None:
    Dataset.open(folder).ensure_verified()
    memory = next((folder.parent / "cache" / "verified").glob("*.json"))
    memory.write_text(content)
    Dataset.open(folder).ensure_verified()
    assert len(hashed) == 4


def batch(**columns: Any) -> pa.RecordBatch:
    images = np.zeros((6, 2, 4, 1), np.uint8)
    plain = {
        "id": pa.array(np.arange(6)),
        "image": pa.FixedShapeTensorArray.from_numpy_ndarray(images),
        "label": pa.array(np.arange(6) % 3),
    } | columns
    return pa.record_batch({name: column for name, column in plain.items() if column is not None})


TALL = pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((6, 4, 2, 1), np.uint8))
FLOATS = pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((6, 2, 4, 1), np.float32))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"image": TALL}, r"column image must be .*\[2,4,1\].* by dataset\.json, got .*\[4,2,1\]"),
        ({"image": FLOATS}, "column image must be .*uint8.*, got .*float"),
        ({"label": None}, "column label must be int64 by dataset.json, got nothing"),
        ({"more": pa.array(range(6))}, "column more must be nothing by dataset.json, got int64"),
        ({"id": pa.array(np.arange(6, dtype=np.int32))}, "column id must be int64 .* got int32"),
        ({"label": pa.array([0, 1, 2, None, 1, 2])}, "rows without a value"),
        ({"label": pa.array([0, 1, 2, 3, 1, 2])}, r"0\.\.2 for the 3 classes .* but row 3 has 3"),
        ({"label": pa.array([0, 1, 2, -1, 1, 2])}, "row 3 has -1"),
    ],
)
def test_a_signed_shard_of_another_kind(
    folder: Path, columns: dict[str, Any], message: str
) -> None:
    replace_shard(folder, batch(**columns))
    with pytest.raises(CorruptError, match=message) as caught:
        Dataset.open(folder).split("train").all("label")
    assert "shard the dataset again" in str(caught.value)


def test_a_signed_shard_of_other_rows_or_no_arrow(folder: Path) -> None:
    replace_shard(folder, batch().slice(0, 4))
    with pytest.raises(CorruptError, match="has 4 rows, expected 6"):
        Dataset.open(folder).split("train").all("label")
    replace_shard(folder, batch(), count=2)
    with pytest.raises(CorruptError, match="has 2 record batches, expected 1"):
        Dataset.open(folder).split("train").all("label")
    replace_shard(folder, batch(), count=0)
    with pytest.raises(CorruptError, match="has 0 record batches, expected 1"):
        Dataset.open(folder).split("train").all("label")


def of_train(data: dict[str, Any]) -> Any:
    return data["splits"]["train"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("columns"), "columns: Field required"),
        (lambda d: d.pop("splits"), "splits: Field required"),
        (lambda d: d.update(splits={}), "splits: .*at least 1"),
        (lambda d: d.update(columns={}), "columns: .*at least 1"),
        (lambda d: d["columns"].pop("label"), "fingerprint .*by hand"),
        (lambda d: d["columns"].pop("image"), "fingerprint .*by hand"),
        (lambda d: d["columns"].update(image=d["columns"]["label"]), "fingerprint .*by hand"),
        (lambda d: d["columns"].update(image={"kind": "smell"}), "columns.image: .*'smell'"),
        (lambda d: d["columns"].update(image={}), "columns.image: .*'kind'"),
        (lambda d: d["columns"].update({"a b": d["columns"]["label"]}), "columns.a b: a column's"),
        (lambda d: d["columns"].update(id=d["columns"]["label"]), "columns.id: .*and not id"),
        (
            lambda d: d["columns"]["label"].update(classes=[]),
            ": columns.label.classes: .*at least 1",
        ),
        (lambda d: d["columns"]["image"].update(shape=[0, 4, 1]), ": columns.image.shape.0: "),
        (lambda d: d["columns"]["image"].update(dtype="object"), ": columns.image.dtype: "),
        (lambda d: of_train(d).update(rows=7), r"splits.train: .*add up to rows=7, got 6"),
        (lambda d: of_train(d).update(rows=-6), "splits.train.rows: .*greater than 0"),
        (lambda d: of_train(d).update(rows=float("nan")), "splits.train.rows"),
        (lambda d: of_train(d).update(shards=[]), "splits.train.shards: .*at least 1"),
        (lambda d: of_train(d)["shards"][0].update(bytes=-1), "shards.0.bytes: .*greater than 0"),
        (lambda d: of_train(d)["shards"][0].update(sha256="0"), "shards.0.sha256"),
        (lambda d: of_train(d)["shards"][0].update(file="../x.arrow"), "shards.0.file"),
        (
            lambda d: of_train(d).update(shards=of_train(d)["shards"] * 2, rows=12),
            f"a shard must be listed once, but {SHARD} is listed 2 times",
        ),
        (
            lambda d: d["splits"].update(test=of_train(d)),
            f"a shard must be listed once, but {SHARD} is listed 2 times",
        ),
        (lambda d: d["splits"].update({"../x": of_train(d)}), r"splits.\.\./x.*letters"),
        (lambda d: d["columns"]["label"].update(classes=["a", "b"]), "fingerprint .*by hand"),
        (lambda d: d.update(fingerprint="0"), "fingerprint"),
    ],
)
def test_a_dataset_json_that_does_not_hold(
    folder: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    rewrite(folder, change)
    with pytest.raises(CorruptError, match=message) as caught:
        Dataset.open(folder)
    text = str(caught.value)
    assert FILE_NAME in text and "shard the dataset again" in text and "Value error" not in text
    assert len(text.splitlines()) == 1


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff\xfe", b"[" * 100_000, b"[]", b"null", b"{" + b'"a":1,' * 3, b"1" * 5000],
)
def test_a_dataset_json_that_is_none(folder: Path, content: bytes) -> None:
    (folder / FILE_NAME).write_bytes(content)
    with pytest.raises((CorruptError, DataError), match=FILE_NAME):
        Dataset.open(folder)


def test_fewer_classes_than_labels_even_where_signed(folder: Path) -> None:
    Dataset.open(folder).ensure_verified()
    rewrite(folder, lambda d: d["columns"]["label"].update(classes=["a", "b"]), sign=True)
    with pytest.raises(CorruptError, match=r"0\.\.1 for the 2 classes .* but row 2 has 2"):
        Dataset.open(folder).split("train").all("label")


def test_datasets_of_the_first_release_load(folder: Path) -> None:
    """A `dataset.json` as raytl 0.1.0 wrote it, fingerprint and all."""
    found = json.loads((folder / FILE_NAME).read_text())
    shards = found["splits"]["train"]["shards"]
    old = {
        "format_version": 1,
        "task": "classification",
        "columns": {
            "image": {"kind": "image", "shape": [2, 4, 1], "dtype": "uint8"},
            "label": {"kind": "label", "classes": ["a", "b", "c"]},
        },
        "splits": {"train": {"rows": 6, "shards": shards}},
        "origin": {"kind": "arrays", "source": "a.npz"},
    }
    content = {"columns": old["columns"], "shards": {"train": [shards[0]["sha256"]]}}
    text = json.dumps(content, sort_keys=True).encode()
    old["fingerprint"] = hashlib.sha256(text).hexdigest()
    (folder / FILE_NAME).write_text(json.dumps(old))
    assert Dataset.open(folder).split("train").all("label").tolist() == [0, 1, 2, 0, 1, 2]


def test_preflight_finds_a_flipped_byte_with_its_place(
    domains: tuple[Path, Path], tiny_study: Callable[..., Any]
) -> None:
    from raytl.sweeping.preflight import preflight

    flip(next(domains[1].glob("test-*.arrow")))
    with pytest.raises(RaytlError, match="target_domain.dataset: .*test-.*SHA-256"):
        preflight(tiny_study())


def test_what_columns_are_is_digested_once_for_all_shards(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, pixels = ImageColumn(shape=(2, 2, 1), dtype="uint8"), np.zeros((9, 2, 2, 1), np.uint8)
    out = folder.parent / "many"
    write_images(out, image, ("a",), {"train": [(pixels, np.zeros(9, np.int64))]}, shard_bytes=12)
    dataset, asked = Dataset.open(out), list[Column]()
    known = verification.column_facts

    def noted(column: Column) -> dict[str, Any]:
        asked.append(column)
        return known(column)

    monkeypatch.setattr(verification, "column_facts", noted)
    dataset.ensure_verified()
    asked.clear()
    assert len(dataset.split("train").info.shards) > 1
    for _ in range(3):
        dataset.split("train").ids()
        dataset.split("train").all("label")
    assert len(asked) == len(dataset.columns)
