"""`raytl shard text-pairs`, and sentences as the target of tables and lines."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raytl.data.dataset import Dataset
from raytl.data.shard import ShardReport, shard, shard_options
from raytl.errors import ConfigError, DataError
from raytl.tasks.sentence_column import SentenceColumn


def write(path: Path, *lines: str, ends: str = "\n") -> Path:
    content = "".join(f"{line}{ends}" for line in lines).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def made(folder: Path, kind: str = "text-pairs", **options: Any) -> tuple[Dataset, ShardReport]:
    source = options.pop("source", str(folder))
    report = shard(kind, source, folder / "out", options=shard_options(**options))
    return Dataset.open(folder / "out"), report


def stored(dataset: Dataset, split: str = "train", target: str = "sentence") -> dict[int, Any]:
    part = dataset.split(split)
    rows = np.arange(part.rows)
    texts, sentences = part.read("text", rows), part.read(target, rows)
    return {int(i): (texts[n], sentences[n]) for n, i in enumerate(part.ids())}


def test_line_n_of_one_file_is_the_pair_of_line_n_of_the_other(tmp_path: Path) -> None:
    write(tmp_path / "a.en", "one", " two  ", "three words here")
    write(tmp_path / "a.de.gz", "eins", "zwei", "drei Wörter hier", ends="\r\n")
    write(tmp_path / "t.en", "four")
    write(tmp_path / "t.de", "vier")
    dataset, report = made(tmp_path, splits={"train": "a.en,a.de.gz", "test": "t.en,t.de"})
    assert stored(dataset) == {
        0: ("one", "eins"), 1: ("two", "zwei"), 2: ("three words here", "drei Wörter hier"),
    }  # fmt: skip
    assert list(stored(dataset, "test").values()) == [("four", "vier")]
    assert isinstance(dataset.columns["sentence"], SentenceColumn) and not report.notes
    dataset.ensure_verified()


def test_pairs_with_an_empty_line_are_left_out_and_counted(tmp_path: Path) -> None:
    write(tmp_path / "a.en", "one", "", "three", "four")
    write(tmp_path / "a.de", "eins", "zwei", "  ", "vier")
    dataset, report = made(tmp_path, splits={"train": "a.en,a.de"})
    assert sorted(stored(dataset).values()) == [("four", "vier"), ("one", "eins")]
    assert "2 pairs with an empty line are left out" in report.notes


def test_a_test_split_is_cut_from_train(tmp_path: Path) -> None:
    write(tmp_path / "a.en", *(f"word {i}" for i in range(10)))
    write(tmp_path / "a.de", *(f"Wort {i}" for i in range(10)))
    dataset, _ = made(tmp_path, splits={"train": "a.en,a.de"}, test=0.2)
    kept, held = stored(dataset), stored(dataset, "test")
    assert (len(kept), len(held)) == (8, 2) and not set(kept.values()) & set(held.values())
    assert all(a.split()[1] == b.split()[1] for a, b in (kept | held).values())


def test_another_encoding_is_read_by_name(tmp_path: Path) -> None:
    write(tmp_path / "a.en", "one")
    (tmp_path / "a.de").write_bytes("für".encode("latin-1"))
    with pytest.raises(DataError, match=r"a.de, line 1.*utf-8"):
        made(tmp_path, splits={"train": "a.en,a.de"})
    dataset, _ = made(tmp_path, splits={"train": "a.en,a.de"}, encoding="latin-1")
    assert stored(dataset) == {0: ("one", "für")}


def test_files_that_are_no_pair_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.en", "one", "two")
    write(tmp_path / "a.de", "eins")
    write(tmp_path / "e.de", "", " ")
    (tmp_path / "broken.gz").write_bytes(b"no gzip")
    for files, text in (
        ("a.en,a.de", "a.en has 2 lines and .*a.de 1; give files of equal length"),
        ("a.en,e.de", "there is no pair of lines with text in both"),
        ("a.en,a.dee", r"a.dee: no such file; did you mean 'a.de'\?"),
        ("a.en,broken.gz", "broken.gz: no whole gzip file"),
        (f"a.en,{tmp_path}", "is a folder; give a file of lines"),
    ):
        with pytest.raises(DataError, match=text):
            made(tmp_path, splits={"train": files})


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({}, "shard text-pairs: name two files for each split, e.g. --split train=train.en"),
        ({"splits": {"train": "a.en"}}, "--split train=a.en: two files were expected"),
        ({"splits": {"train": "a,b,c"}}, "two files were expected"),
        ({"splits": {"train": "a.en,a.en"}}, "two files were expected"),
        ({"splits": {"train": "a,"}}, "two files were expected"),
        ({"splits": {"train": "a,b"}, "source": "nowhere"}, "SOURCE is the folder of the files"),
        ({"splits": {"train": "a,b"}, "label_first": True}, "--label-first means nothing to"),
    ],
)
def test_options_that_name_no_pairs_are_refused(
    tmp_path: Path, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        made(tmp_path, **options)


def test_a_column_of_a_table_is_a_target_of_sentences(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "text,said", "one,eins", "two,NA", "three,", "four,4")
    options: dict[str, Any] = {"target": "said", "task": "translation", "text": ["text"]}
    with pytest.raises(DataError, match=r"line 4.*'said' has no sentence \(1 such rows\)"):
        made(tmp_path, "table", source=str(file), **options)
    dataset, _ = made(tmp_path, "table", source=str(file), unlabelled=True, **options)
    found = stored(dataset, target="said")
    assert found == {0: ("one", "eins"), 1: ("two", "NA"), 2: ("three", None), 3: ("four", "4")}
    with pytest.raises(ConfigError, match="--classes names classes, but --task translation has"):
        made(tmp_path, "table", source=str(file), classes="a,b", **options)


def test_lines_of_two_sentences_are_pairs(tmp_path: Path) -> None:
    file = write(tmp_path / "a.tsv", *(f"word {i}\tWort {i}" for i in range(10)))
    dataset, _ = made(tmp_path, "text-lines", source=str(file), task="translation", test=0.3)
    assert len(stored(dataset, target="label")) == 7
    assert stored(dataset, "test", "label").popitem()[1][1].startswith("Wort ")


def test_a_target_without_any_sentence_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "text,said", "one,", "two,")
    with pytest.raises(DataError, match="the target 'said' has no sentence in any row"):
        made(
            tmp_path, "table", source=str(file), target="said", task="translation", text=["text"],
            unlabelled=True,
        )  # fmt: skip


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("named", [True, False])
def test_utf_16_is_refused_whether_it_is_named_or_marked(
    tmp_path: Path, encoding: str, named: bool
) -> None:
    for language in ("en", "de"):
        (tmp_path / f"a.{language}").write_bytes(
            f"{language} one\n{language} two\n".encode(encoding)
        )
    options = {"encoding": encoding} if named else {}
    with pytest.raises(
        DataError, match=r"a\.en, line 1: .* as UTF-16 does; save the file as UTF-8"
    ):
        made(tmp_path, splits={"train": "a.en,a.de"}, **options)


def test_a_language_that_is_the_other_one_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "a.en", "one", "two")
    write(tmp_path / "a.de", "one", "two ")
    with pytest.raises(DataError, match="every sentence is its text again"):
        made(tmp_path, splits={"train": "a.en,a.de"})


def test_one_pair_cannot_be_cut_and_no_class_is_spoken_of(tmp_path: Path) -> None:
    write(tmp_path / "a.en", "one")
    write(tmp_path / "a.de", "eins")
    with pytest.raises(DataError, match="of 1 labelled rows: that is 0, and a row must be on each"):
        made(tmp_path, splits={"train": "a.en,a.de"}, test=0.2)
