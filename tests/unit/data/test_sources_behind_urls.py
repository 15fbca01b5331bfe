"""Sources behind URLs: what is found there is what a folder would hold, and refused alike."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from importing import in_order, sharded, written
from PIL import Image
from s3_server import put, s3_bucket

from raytl.data.importers.many_files import files_named
from raytl.errors import ConfigError, DataError, UserError
from raytl.urls import Url


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Url]:
    with s3_bucket(monkeypatch) as url:
        yield url


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((4, 4, 3), value, np.uint8)).save(buffer, "png")
    return buffer.getvalue()


def test_folders_of_classes_and_what_stands_beside_them(bucket: Url, tmp_path: Path) -> None:
    for split in ("train", "val"):
        for row in range(6):
            written(tmp_path / "in" / split / "ab"[row % 2] / "more" / f"{row}.png", png(row))
    for stray in ("train/a/notes.txt", "train/stray.png", "top.png", "train/b/.c", "empty/x"):
        written(tmp_path / "in" / stray, png(9))
    put(tmp_path / "in", bucket / "in")
    here = sharded("image-folder", tmp_path / "in", tmp_path / "here", size=4)
    there = sharded("image-folder", bucket / "in", tmp_path / "there", size=4)
    assert there.info.fingerprint == here.info.fingerprint
    shown = [text.replace("s3://bucket", str(tmp_path)) for text in there.skipped]
    assert shown == here.skipped and len(shown) == 5


def test_images_without_a_class(bucket: Url, tmp_path: Path) -> None:
    for name in ("train/1.png", "train/more/2.png", "test/a/3.png", "top.png"):
        written(tmp_path / "in" / name, png(len(name)))
    put(tmp_path / "in", bucket / "in")
    options = {"size": 4, "unlabelled": True, "classes": "a,b"}
    here = sharded("image-folder", tmp_path / "in", tmp_path / "here", **options)
    there = sharded("image-folder", bucket / "in", tmp_path / "there", **options)
    assert there.info.fingerprint == here.info.fingerprint
    assert [text.rpartition("/")[2] for text in there.skipped] == ["top.png: in no split's folder"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], r"s3://bucket/in: no such folder"),
        (["a/1.png"], "two class folders or more, got"),
        (["train/a/1.png", "train/b/1.png", "val/a/1.png"], "which val lacks"),
    ],
)
def test_layouts_that_make_no_classes(
    bucket: Url, tmp_path: Path, files: list[str], message: str
) -> None:
    for name in files:
        written(tmp_path / "in" / name, png(1))
    put(tmp_path / "in", bucket / "in")
    with pytest.raises(DataError, match=message):
        sharded("image-folder", bucket / "in", tmp_path / "out", size=4)


def test_many_files_by_folder_braces_and_stars(bucket: Url, tmp_path: Path) -> None:
    there = ("x-08.tar", "x-09.tar", "x-10.tar", "b/y.tar", "b/c/z.tar", ".h/y.tar", "notes.txt")
    for name in (f"a/{name}" for name in there):
        written(tmp_path / "in" / name, name)
    put(tmp_path / "in", bucket / "in")
    for given, names in [
        ("a", [".h/y.tar", "b/c/z.tar", "b/y.tar", "x-08.tar", "x-09.tar", "x-10.tar"]),
        ("a/x-*.tar", ["x-08.tar", "x-09.tar", "x-10.tar"]),
        ("a/x-{09..10}.tar", ["x-09.tar", "x-10.tar"]),
        ("a/{b/y,x-08}.tar", ["b/y.tar", "x-08.tar"]),
        ("a/x-10.tar", ["x-10.tar"]),
        ("a/*.tar", ["x-08.tar", "x-09.tar", "x-10.tar"]),
        ("a/*/*.tar", ["b/y.tar"]),
        ("a/*/c/[xz].tar", ["b/c/z.tar"]),
        ("a/.*/*.tar", [".h/y.tar"]),
        ("a/**/y.tar", ["b/y.tar"]),
        ("a/**/[yz].tar", ["b/c/z.tar", "b/y.tar"]),
        ("a/b/**", ["b/c/z.tar", "b/y.tar"]),
    ]:
        for base in (bucket / "in", tmp_path / "in"):
            found = files_named(str(base / given), frozenset([".tar"]))
            assert [file.name.partition("/in/a/")[2] for file in found] == names
            assert all(file.bytes and file.stamp for file in found)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("a/none", "s3://bucket/in/a/none: no such file is there"),
        ("a/*.npz", "fits no such file"), ("a/notes.txt", "is a file of another kind"),
        ("a/x-{08..12}.tar", r"x-09\.tar: no such file is there"),
        ("a/x-{08,08}.tar", "named twice"), ("a/x-{8}.tar", "braces hold a run or names"),
        ("a/x-{0..9999999}.tar", "must go up, by 1,000,000"),
        ("a/x-{0..9999}{0..9999}.tar", "names 100,000,000 files"),
    ],
)  # fmt: skip
def test_many_files_of_no_use(bucket: Url, tmp_path: Path, given: str, message: str) -> None:
    for name in ("a/x-08.tar", "a/notes.txt"):
        written(tmp_path / "in" / name, name)
    put(tmp_path / "in", bucket / "in")
    with pytest.raises((DataError, ConfigError), match=message):
        files_named(str(bucket / "in" / given), frozenset([".tar"]))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("../1.png", r"t\.csv, line 2: the path '\.\./1\.png' leaves the folder s3://bucket/in"),
        ("/1.png", "leaves the folder"),
        ("s3://key:word@bucket/1.png", r"t\.csv, line 2: a URL must hold no credentials"),
        ("none.png", r"s3://bucket/in/none\.png: no such file; .*--skip-bad"),
    ],
)
def test_paths_in_tables_of_no_use(bucket: Url, tmp_path: Path, path: str, message: str) -> None:
    written(tmp_path / "in" / "t.csv", f"file,y\n{path},a\n{path},b\n")
    put(tmp_path / "in", bucket / "in")
    with pytest.raises(DataError, match=message):
        sharded("table", bucket / "in" / "t.csv", tmp_path / "out", image="file", target="y")


def test_a_broken_table_is_named_by_its_url(bucket: Url, tmp_path: Path) -> None:
    written(tmp_path / "in" / "t.csv", "a,y\n1\n")
    put(tmp_path / "in", bucket / "in")
    with pytest.raises(DataError, match=r"^s3://bucket/in/t\.csv, line 2: 2 columns"):
        sharded("table", bucket / "in" / "t.csv", tmp_path / "out", target="y")


def test_splits_are_files_in_a_folder_behind_a_url(bucket: Url, tmp_path: Path) -> None:
    for name, rows in (("train", "1,a\n2,b\n3,a\n"), ("test", "4,b\n")):
        written(tmp_path / "in" / f"{name}.csv", f"x,y\n{rows}")
    put(tmp_path / "in", bucket / "in")
    splits = {"train": "train.csv", "test": "test.csv"}
    report = sharded("table", bucket / "in", tmp_path / "out", target="y", splits=splits)
    assert {name: part.rows for name, part in report.info.splits.items()} == {"train": 3, "test": 1}
    assert in_order(tmp_path / "out", "test", "table")[0].tolist() == [[4.0]]


def test_broken_tars_and_parquet_files_are_named_by_their_urls(bucket: Url, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    with tarfile.open(tmp_path / "in" / "a.tar", "w") as archive:
        info = tarfile.TarInfo("a.png")
        info.size = 4000
        archive.addfile(info, io.BytesIO(bytes(4000)))
    pq.write_table(pa.table({"x": range(999), "y": ["a"] * 999}), tmp_path / "in" / "a.parquet")
    for name, cut in (("a.tar", 2000), ("a.parquet", 1500)):
        content = (tmp_path / "in" / name).read_bytes()
        (tmp_path / "in" / name).write_bytes(content[:cut])
    put(tmp_path / "in", bucket / "in")
    given: Any
    for kind, given, message in [
        ("webdataset", bucket / "in", r"s3://bucket/in/a\.tar: is truncated"),
        ("table", bucket / "in" / "*.parquet", r"s3://bucket/in/a\.parquet: is no Parquet file"),
    ]:
        options = {} if kind == "webdataset" else {"target": "y"}
        with pytest.raises(DataError, match=message):
            sharded(kind, given, tmp_path / "out", **options)


def test_credentials_in_a_source_are_refused(tmp_path: Path) -> None:
    for kind in ("image-folder", "table", "webdataset", "audio-folder"):
        with pytest.raises(UserError, match="credentials"):
            sharded(kind, "s3://key:word@bucket/in", tmp_path / "out")


def test_names_with_what_means_something_in_a_url(bucket: Url, tmp_path: Path) -> None:
    for row, name in enumerate(("a/photo#1.png", "a/what?.png", "b/100%.png", "b/x.png")):
        written(tmp_path / "in" / name, png(row))
    written(tmp_path / "in" / "rows#2.csv", "file,y\na/photo#1.png,p\na/what?.png,q\n")
    put(tmp_path / "in", bucket / "in")
    for kind, source, of in (
        ("image-folder", "in", {}),
        ("table", "in/rows#2.csv", {"target": "y", "image": "file"}),
    ):
        here = sharded(kind, tmp_path / source, tmp_path / f"here-{kind}", size=4, **of)
        there = sharded(kind, bucket / source, tmp_path / f"there-{kind}", size=4, **of)
        assert there.info.fingerprint == here.info.fingerprint
