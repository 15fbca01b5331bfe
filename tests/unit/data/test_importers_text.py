"""Lines of text, files by class, folders of classes."""

from pathlib import Path
from typing import Any

import pytest
from unit.data.importing import in_order, sharded, written

from raytl.data.dataset import Dataset
from raytl.errors import ConfigError, DataError
from raytl.tasks.columns import LabelColumn, ValueColumn


def texts(out: Path, split: str = "train") -> list[tuple[str, int]]:
    found, labels = in_order(out, split, "text", "label")
    return list(zip(found.tolist(), labels.tolist(), strict=True))


def test_lines_end_with_a_label(tmp_path: Path) -> None:
    # U+0085 ends a line for Python's splitlines, and must not here.
    source = written(tmp_path / "a.txt", "good\x85 day \t1\r\n\nwith\ttab\t0\n")
    report = sharded("text-lines", source, tmp_path / "d")
    assert texts(tmp_path / "d") == [("good\x85 day", 1), ("with\ttab", 0)]
    assert "1 blank lines are left out" in report.notes


def test_or_begin_with_one_and_have_another_delimiter(tmp_path: Path) -> None:
    written(tmp_path / "a.txt", b"ham|caf\xe9|x\nspam|y\n")
    written(tmp_path / "b.txt", b"ham|z\n")
    sharded(
        "text-lines", tmp_path, tmp_path / "d", splits={"train": "a.txt", "test": "b.txt"},
        delimiter="|", label_first=True, encoding="latin-1",
    )  # fmt: skip
    assert texts(tmp_path / "d") == [("café|x", 0), ("y", 1)]
    assert texts(tmp_path / "d", "test") == [("z", 0)]


def test_labels_may_be_values(tmp_path: Path) -> None:
    source = written(tmp_path / "a.txt", "fair\t2.5\nfine\t4\n")
    sharded("text-lines", source, tmp_path / "d")
    assert isinstance(Dataset.open(tmp_path / "d").columns["label"], ValueColumn)


def test_a_file_for_each_class(tmp_path: Path) -> None:
    written(tmp_path / "rt.pos", "fine\ngreat\n")
    written(tmp_path / "rt.neg", "bad\n")
    files = {"pos": "rt.pos", "neg": "rt.neg"}
    sharded("text-lines", tmp_path, tmp_path / "d", class_files=files)
    assert Dataset.open(tmp_path / "d").columns["label"] == LabelColumn(classes=("pos", "neg"))
    assert texts(tmp_path / "d") == [("fine", 0), ("great", 0), ("bad", 1)]


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for name in ("neg", "pos"):
            written(tmp_path / "in" / split / name / "1.txt", f"{split} {name}\nsecond line\n")
    sharded("text-lines", tmp_path / "in", tmp_path / "d")
    assert texts(tmp_path / "d", "test")[1] == ("test pos\nsecond line", 1)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"", {}, "has no text"),
        (b"a\t1\nb\n", {}, r"a\.txt, line 2: a text and a label with a tab between"),
        (b"a\t1\nb\xff\t0\n", {}, r"a\.txt, line 2: byte 1 is no utf-8.*--encoding latin-1"),
        (b"a\t1\nb\t1\n", {}, "one class alone"),
        (b"a\t1\nb\t\n", {}, r"a\.txt, line 2: the target 'label' is missing"),
        (b"a\tx\nb\ty\n", {"task": "regression"}, "line 1: .* must be a number"),
    ],
)
def test_lines_that_cannot_be_used(
    tmp_path: Path, content: bytes, options: Any, message: str
) -> None:
    source = written(tmp_path / "a.txt", content)
    with pytest.raises(DataError, match=message):
        sharded("text-lines", source, tmp_path / "d", **options)


def test_the_line_of_a_bad_byte_is_told_in_whole_files_too(tmp_path: Path) -> None:
    written(tmp_path / "in/a/1.txt", b"fine\nb\xffd")
    written(tmp_path / "in/b/1.txt", b"fine")
    with pytest.raises(DataError, match=r"a/1\.txt, line 2: byte 1"):
        sharded("text-lines", tmp_path / "in", tmp_path / "d")


def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    source = written(tmp_path / "a.txt", "a\t1\nb\t0\n")
    with pytest.raises(ConfigError, match="SOURCE is the folder of the files"):
        sharded("text-lines", source, tmp_path / "d", class_files={"a": "a.txt"})
    with pytest.raises(ConfigError, match="--label-first: means nothing with --class-file"):
        sharded("text-lines", None, tmp_path / "d", class_files={"a": "x"}, label_first=True)
    with pytest.raises(ConfigError, match="name a file"):
        sharded("text-lines", None, tmp_path / "d")
    with pytest.raises(DataError, match="no such file"):
        sharded("text-lines", tmp_path / "none.txt", tmp_path / "d")


@pytest.mark.parametrize("encoding", [None, "utf-16"])
def test_lines_of_utf_16_are_told(tmp_path: Path, encoding: str | None) -> None:
    source = written(tmp_path / "a.txt", "good\t1\nbad\t0\n".encode("utf-16"))
    options = {"encoding": encoding} if encoding else {}
    with pytest.raises(DataError, match=r"a\.txt, line 1: .* as UTF-16 does; save the file as"):
        sharded("text-lines", source, tmp_path / "d", **options)
