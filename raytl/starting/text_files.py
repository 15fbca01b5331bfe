"""Files of texts: lines with a label, a file a class, a file a language."""

import re
from collections import defaultdict
from itertools import islice
from pathlib import Path
from typing import Any

from raytl.data.importers.opened_files import opened
from raytl.data.split_names import parts_of
from raytl.errors import ConfigError, DataError
from raytl.folders import printable
from raytl.starting.raw import Raw, Wanted
from raytl.starting.table_files import TABLES, encoding_of, taken_for

LOOKED_AT = 500  # lines by which it is told whether they have labels
MOST_LABELS = 100
LANGUAGE = re.compile(r"[a-z]{2}([_-][A-Za-z]{2,4})?")  # as in train.en and train.zh-Hans
KNOWN_SUFFIXES = (*TABLES, ".ts", ".py", ".md", ".js", ".gz")  # which are no classes or languages


def text_file(path: Path, wanted: Wanted) -> Raw | None:
    """Return a file whose lines are a text, a tab and a label, or the label first; None where they
    are not."""
    encoding = encoding_of(path)
    if encoding == "utf-16":  # lines end with a byte that is half a letter there
        raise DataError(f"{printable(path)}: is UTF-16; save it as UTF-8")
    try:
        with opened(path) as file:
            lines = [
                line.decode(encoding or "utf-8", "replace").strip(" \r\n")
                for line in islice(file, LOOKED_AT)
            ]
    except (OSError, EOFError) as error:
        raise DataError(f"{printable(path)}: cannot be read: {error}") from None
    lines = [line for line in lines if line.strip()]
    if not lines:
        raise DataError(f"{printable(path)}: the file has no text; give one with lines")
    if any("\t" not in line for line in lines):
        return None
    last = {line.rpartition("\t")[2] for line in lines}
    first = {line.partition("\t")[0] for line in lines}
    options: dict[str, Any] = {} if encoding is None else {"encoding": encoding}
    if len(first) < len(last):
        options["label_first"] = True
    labels = min(first, last, key=len)
    if len(labels) > min(MOST_LABELS, len(lines) / 2) or len(lines[0].split("\t")) > 2:
        return None
    what = "lines of a text and a label"
    notes = taken_for(printable(path.name), encoding)
    return Raw("text-lines", str(path), options, what, notes).with_test_of(["train"])


def class_files(path: Path) -> Raw | None:
    """Return the files of texts that differ in what their names end in, which is their class:
    rt-polarity.pos and rt-polarity.neg. None where `path` is no such."""
    beside = sorted(
        file
        for file in path.parent.iterdir()
        if file.is_file() and file.stem == path.stem and file.suffix not in ("", *KNOWN_SUFFIXES)
    )
    if len(beside) < 2 or path not in beside or not all(map(_is_text, beside)):
        return None
    encodings = {file: told for file in beside if (told := encoding_of(file)) is not None}
    options: dict[str, Any] = {
        "class_files": {file.suffix.removeprefix("."): file.name for file in beside}
    }
    notes: tuple[str, ...] = ()
    if encodings:
        first, options["encoding"] = next(iter(encodings.items()))
        notes = taken_for(printable(first.name), options["encoding"])
    what = "a file of lines for each of " + ", ".join(options["class_files"])
    return Raw("text-lines", str(path.parent), options, what, notes).with_test_of(["train"])


def _is_text(path: Path) -> bool:
    with path.open("rb") as file:
        return b"\0" not in file.read(2**16)


def text_pairs(root: Path, files: list[Path], folders: list[Path], wanted: Wanted) -> Raw | None:
    """Return files of two languages, line n of one the pair of line n of the other; None where
    there are no such. Raises ConfigError where which way to translate is not said."""
    of_stem: dict[str, dict[str, str]] = defaultdict(dict)
    for file in files:
        stem, _, language = file.name.removesuffix(".gz").rpartition(".")
        if stem and LANGUAGE.fullmatch(language) and f".{language}" not in KNOWN_SUFFIXES:
            of_stem[stem][language] = file.name
    pairs = {stem: names for stem, names in of_stem.items() if len(names) > 1}
    if not pairs:
        return None
    languages = sorted(next(iter(pairs.values())))
    if len(languages) > 2 or any(sorted(names) != languages for names in pairs.values()):
        told = ", ".join(sorted({name for names in pairs.values() for name in names}))
        raise ConfigError(
            f"{printable(root)}: pairs are of two languages, the same in every split, but there "
            f"are {told}; name the files (raytl shard text-pairs --help)"
        )
    if wanted.target not in languages:
        first, second = languages
        raise ConfigError(
            f"{printable(root)}: pairs of {first} and {second}; say which is to be written with "
            f"--target {first} or --target {second}"
        )
    source = next(language for language in languages if language != wanted.target)
    splits = {
        re.sub(r"[^A-Za-z0-9_-]+", "_", stem): f"{names[source]},{names[str(wanted.target)]}"
        for stem, names in pairs.items()
    }
    parts = parts_of(splits)
    if parts.train is None:
        raise ConfigError(
            f"{printable(root)}: none of {', '.join(splits)} is called train; name the files of "
            "each split (raytl shard text-pairs --help)"
        )
    what = f"pairs of texts, {source} to {wanted.target}"
    return Raw("text-pairs", str(root), {"splits": splits}, what).with_test_of(splits)
