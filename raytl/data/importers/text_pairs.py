"""Pairs of sentences: two files, one a language, line by line.

Legend: N rows.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from raytl.config import nearest
from raytl.data.importers.arranging import arranged, how_to_cut
from raytl.data.importers.base import Imported, ShardOptions
from raytl.data.importers.inputs import text_input
from raytl.data.importers.opened_files import opened, reading
from raytl.data.importers.split_rows import rows_of
from raytl.data.importers.targets import sentence_column
from raytl.data.importers.text_lines import decoded_line
from raytl.errors import ConfigError, DataError
from raytl.folders import printable

INPUT, TARGET = "text", "sentence"


@dataclass
class _Pairs:
    """Sentences and what they become; how many pairs were left out."""

    texts: list[str] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)
    empty: int = 0


def read_text_pairs(source: str | None, options: ShardOptions) -> Imported:
    """Read files of `--split NAME=INPUT,TARGET`, line n of one the pair of line n of the other;
    files may be gzipped, SOURCE is their folder.

    Lines end with a line feed alone, blanks around a sentence are cut, and a pair of which either
    is empty is left out. Raises DataError for files of unequal numbers of lines, or without a pair,
    and with file and line for bytes that are no text in `--encoding` (UTF-8).
    """
    found = {name: _pairs(*files, options) for name, files in _files(source, options).items()}
    every = list(found.values())
    text = text_input(pa.array([t for of in every for t in of.texts], pa.large_string()))
    sentences = np.array([*(s for of in every for s in of.sentences), None], dtype=object)[:-1]
    ends = np.cumsum([0, *(len(of.texts) for of in every)])
    rows = {
        name: rows_of({INPUT: text}, np.arange(start, end), {TARGET: sentences}, None, options)
        for name, start, end in zip(found, ends[:-1], ends[1:], strict=True)
    }
    out = arranged({INPUT: text.column, TARGET: sentence_column(sentences)}, rows, options)
    empty = sum(of.empty for of in every)
    out.notes += [f"{empty} pairs with an empty line are left out"] if empty else []
    out.notes += how_to_cut(out, options)
    return out


def _files(source: str | None, options: ShardOptions) -> dict[str, tuple[Path, Path]]:
    example = "e.g. --split train=train.en,train.de"
    if not options.splits:
        raise ConfigError(f"shard text-pairs: name two files for each split, {example}")
    if source is not None and not Path(source).is_dir():
        raise ConfigError(
            f"shard text-pairs: SOURCE is the folder of the files, but {source} is none; leave it "
            "out"
        )
    found = {}
    for name, given in options.splits.items():
        both = given.split(",")
        if len(both) != 2 or both[0] == both[1] or not all(both):
            raise ConfigError(f"--split {name}={given}: two files were expected, {example}")
        found[name] = (Path(source or "") / both[0], Path(source or "") / both[1])
    return found


def _pairs(text_file: Path, sentence_file: Path, options: ShardOptions) -> _Pairs:
    texts, sentences = (_lines(file, options) for file in (text_file, sentence_file))
    if len(texts) != len(sentences):
        raise DataError(
            f"line n of both files must be a pair, but {printable(text_file)} has {len(texts)} "
            f"lines and {printable(sentence_file)} {len(sentences)}; give files of equal length"
        )
    out = _Pairs()
    for text, sentence in zip(texts, sentences, strict=True):
        if text and sentence:
            out.texts.append(text)
            out.sentences.append(sentence)
        else:
            out.empty += 1
    if out.texts and out.texts == out.sentences:
        raise DataError(
            f"{printable(text_file)} and {printable(sentence_file)}: every sentence is its text "
            "again; give the other language's file"
        )
    if not out.texts:
        raise DataError(
            f"{printable(text_file)} and {printable(sentence_file)}: there is no pair of lines "
            "with text in both; give other files"
        )
    return out


def _lines(file: Path, options: ShardOptions) -> list[str]:
    if not file.is_file():
        what = "is a folder" if file.is_dir() else "no such file"
        there = sorted(path.name for path in file.parent.glob("*")) if not file.exists() else []
        raise DataError(
            f"{printable(file)}: {what}; "
            + (nearest(file.name, there[:200]) if there else "give a file of lines")
        )
    with reading(file), opened(file) as lines:
        return [
            decoded_line(printable(file), number, content, options).strip()
            for number, content in enumerate(lines, 1)
        ]
