"""Texts with a class or a value each: lines with a label, a file a class, or a folder a class."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from raytl.data.importers.arranging import arranged, how_to_cut
from raytl.data.importers.base import Imported, ShardOptions
from raytl.data.importers.class_folders import class_folders
from raytl.data.importers.inputs import text_input
from raytl.data.importers.opened_files import UTF_16_MARKS, not_decoded, opened, reading
from raytl.data.importers.split_rows import rows_of
from raytl.data.importers.table import split_files
from raytl.data.importers.targets import target_of
from raytl.errors import ConfigError, DataError
from raytl.folders import printable

EXTENSIONS = frozenset([".txt"])


@dataclass
class _Texts:
    """Texts, a label each, and where they stand."""

    texts: list[str] = field(default_factory=list)
    labels: list[str | None] = field(default_factory=list)
    places: list[tuple[str, int | None]] = field(default_factory=list)  # file, line from 1
    blank: int = 0  # lines that were left out

    def add(self, text: str, label: str | None, file: str, line: int | None) -> None:
        self.texts.append(text)
        self.labels.append(label)
        self.places.append((file, line))

    def place(self, row: int) -> str:
        """Return where a row stands."""
        file, line = self.places[row]
        return file if line is None else f"{file}, line {line}"


def read_text_lines(source: str | None, options: ShardOptions) -> Imported:
    """Read lines `text<TAB>label` of a file (or one each split, by `--split`), lines of a file for
    each class (`--class-file`), or files SOURCE/CLASS/text.txt and SOURCE/SPLIT/CLASS/text.txt.

    Lines end with a line feed alone, blank ones are left out, and blanks around a text are cut.
    Raises DataError with file and line for a line without a label, and for bytes that are no text
    in `--encoding` (UTF-8).
    """
    skipped: list[str] = []
    if options.class_files:
        _refuse_labels_of(options, "--class-file", ("splits", "delimiter", "label_first"))
        found = {"train": _of_class_files(source, options, options.class_files)}
    elif source is not None and Path(source).is_dir() and not options.splits:
        _refuse_labels_of(options, "a folder of classes", ("delimiter", "label_first"))
        return _made(*_of_folders(Path(source), options, skipped), options, skipped)
    else:
        files = split_files("text-lines", source, options)
        found = {name: _of_lines(path, options) for name, path in files.items()}
    return _made(found, None, options, skipped)


def _refuse_labels_of(options: ShardOptions, what: str, names: tuple[str, ...]) -> None:
    for name in names:
        if name in options.model_fields_set:
            flag = "--split" if name == "splits" else f"--{name.replace('_', '-')}"
            raise ConfigError(f"{flag}: means nothing with {what}; leave it out")


def _of_class_files(source: str | None, options: ShardOptions, files: Mapping[str, str]) -> _Texts:
    if source is not None and not Path(source).is_dir():
        raise ConfigError(
            f"--class-file: SOURCE is the folder of the files then, but {source} is none; leave it "
            "out"
        )
    out = _Texts()
    for name, given in files.items():
        path = Path(source or "") / given
        for line, text in _lines(path, options, out):
            out.add(text, name, printable(path), line)
    return out


def _of_folders(
    root: Path, options: ShardOptions, skipped: list[str]
) -> tuple[dict[str, _Texts], tuple[str, ...]]:
    classes, splits = class_folders(root, EXTENSIONS, "text", skipped)
    found = {}
    for name, items in splits.items():
        found[name] = _Texts()
        for path, label in items:
            assert isinstance(path, Path), "texts are read from this machine"
            with reading(path):
                content = path.read_bytes()
            text = decoded_line(printable(path), 1, content, options)
            found[name].add(text.strip(), classes[label], printable(path), None)
    return found, classes


def _of_lines(path: Path, options: ShardOptions) -> _Texts:
    out = _Texts()
    delimiter = options.delimiter or "\t"
    name = "tab" if delimiter == "\t" else f"'{delimiter}'"
    for line, content in _lines(path, options, out):
        if options.label_first:
            label, found, text = content.partition(delimiter)
        else:
            text, found, label = content.rpartition(delimiter)
        if not found:
            raise DataError(
                f"{printable(path)}, line {line}: a text and a label with a {name} between them "
                f"were expected, got '{content[:40]}'; --delimiter names another character"
            )
        out.add(text.strip(), label, printable(path), line)
    return out


def _lines(path: Path, options: ShardOptions, out: _Texts) -> Iterator[tuple[int, str]]:
    """Yield lines that are not blank with their numbers from 1, without blanks at their ends."""
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "no such file"
        raise DataError(f"{printable(path)}: {what}; give a file of lines")
    empty = True
    with reading(path), opened(path) as file:
        for number, content in enumerate(file, 1):
            text = decoded_line(printable(path), number, content, options).strip(" \r\n")
            if text.strip():
                empty = False
                yield number, text
            else:
                out.blank += 1
    if empty:
        raise DataError(f"{printable(path)}: the file has no text; give one with lines")


def refuse_utf_16(name: str, line: int, content: bytes) -> None:
    """Raise DataError for a line of UTF-16, whose line feeds are half a letter: it has the mark of
    its byte order in front, or bytes that are zero."""
    if (line == 1 and content.startswith(UTF_16_MARKS)) or b"\0" in content:
        raise DataError(
            f"{name}, line {line}: has bytes that no line of text has, as UTF-16 does; save the "
            "file as UTF-8"
        )


def decoded_line(name: str, line: int, content: bytes, options: ShardOptions) -> str:
    """Return bytes as text, `--encoding` or UTF-8; raises DataError with file, line and byte. The
    mark of the byte order in front of a file is left out."""
    encoding = options.encoding or "utf-8"
    if line == 1 and encoding.lower() in ("utf-8", "utf8"):
        content = content.removeprefix(b"\xef\xbb\xbf")
    refuse_utf_16(name, line, content)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line += content.count(b"\n", 0, error.start)
        byte = error.start - (content.rfind(b"\n", 0, error.start) + 1)
        raise not_decoded(name, line, byte, encoding) from None


def _made(
    found: Mapping[str, _Texts],
    classes: tuple[str, ...] | None,
    options: ShardOptions,
    skipped: list[str],
) -> Imported:
    every = _Texts()
    for part in found.values():
        every.texts += part.texts
        every.labels += part.labels
        every.places += part.places
        every.blank += part.blank
    known = classes or (tuple(options.class_files) if options.class_files else None)
    target = target_of("label", every.labels, options, every.place, known)
    ends = np.cumsum([0, *(len(part.texts) for part in found.values())])
    text = text_input(pa.array(every.texts, pa.large_string()))
    rows = {
        name: rows_of(
            {"text": text}, np.arange(start, end), {"label": target.values}, None, options
        )
        for name, start, end in zip(found, ends[:-1], ends[1:], strict=True)
    }
    out = arranged({"text": text.column, "label": target.column}, rows, options)
    out.skipped = skipped
    blank = [f"{every.blank} blank lines are left out"] if every.blank else []
    out.notes += [*target.notes, *blank, *how_to_cut(out, options)]
    return out
