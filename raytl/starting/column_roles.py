"""Which part each column of a table has: text, image, sound, group, split, field, or none."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.types as kinds

from raytl.data.importers.cells import is_stored_file
from raytl.data.importers.features import features_of
from raytl.data.importers.image_folder import EXTENSIONS as IMAGES
from raytl.data.importers.roles import MEDIA, pattern_columns
from raytl.data.importers.sounds import EXTENSIONS as SOUNDS
from raytl.data.importers.table_files import Table
from raytl.data.importers.tabular import FREE_TEXT
from raytl.data.importers.words import is_text, words_of
from raytl.data.split_names import parts_of
from raytl.errors import ConfigError, DataError
from raytl.modalities.table.texts import DATE, MISSING, NUMBER, WRITTEN
from raytl.modalities.text.tokens import UNSPACED
from raytl.starting.media_folders import SIZED_BY, sizes_of, stored_side
from raytl.starting.raw import Raw

GROUPS = ("group", "patient", "patient_id", "subject", "subject_id", "speaker", "speaker_id")
LEAST_GROUPS = 4  # to learn from, to be selected by, and two to be tested on
NUMBERS_OF_ROWS = ("id", "idx", "index", "row", "row_id", "sample_id", "uid", "unnamed: 0", "")
COUNTED = 20  # rows from which 0, 1, 2, … is no chance
HAS_DATES = "has dates"
LETTERS = 5  # of a script without spaces: two words or more
TRIED = 200  # rows by which a column of files is told


@dataclass
class ColumnRoles:
    """`options`: of `raytl shard table`, but for the target. `splits`: those that a column names,
    if one does."""

    options: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    splits: dict[str, str] = field(default_factory=dict)
    dropped: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    times: list[str] = field(default_factory=list)  # left out; each row has its own
    groups: int | None = None  # how many there are


def roles_of_columns(table: Table, target: str) -> ColumnRoles:
    """Return the part of every column but the target's, as far as it is another than that of a
    number or a category. Raises ConfigError for rows of times and the target alone."""
    out = ColumnRoles()
    for name in table.rows.column_names:
        if name != target:
            _role(table, name, out)
    if out.texts:
        out.options["text"] = tuple(out.texts)
    else:
        _keep_fields(table, target, out)
    if out.dropped:
        out.options["drop"] = tuple(out.dropped)
    if "image" in out.options or "audio" in out.options:
        out.options["skip_bad"] = True
    if out.times and _has_numbers(table, target):
        _tell_series(table, target, out)
    return out


def _keep_fields(table: Table, target: str, out: ColumnRoles) -> None:
    """Say of strings that they are fields, where Hugging Face's `datasets` wrote them: they would
    be texts."""
    media = [str(out.options[kind]) for kind in MEDIA if kind in out.options]
    taken = {target, *out.dropped, *media, *(name for of in media for name in pattern_columns(of))}
    taken |= {str(out.options[part]) for part in ("group", "split_column") if part in out.options}
    for name in features_of(table.rows.schema):
        if name in table.rows.column_names and name not in taken and is_text(table.rows[name].type):
            kind = "number" if _has_numbers(table, name) else "category"
            out.options[kind] = (*out.options.get(kind, ()), name)


def _has_numbers(table: Table, name: str) -> bool:
    try:
        words = words_of(table.rows[name], name)
    except DataError:
        return False
    return all(word is None or NUMBER.fullmatch(word.strip()) for word in words)


def _tell_series(table: Table, target: str, out: ColumnRoles) -> None:
    steps = {"horizon": 5, "window": 60, "test": 0.2}
    series = Raw("series", table.name, {"time": out.times[0], "target": target} | steps, "a series")
    how = f"`{series.command('OUT')}` makes rows of them, for `raytl new OUT`"
    if len(out.dropped) == table.rows.num_columns - 1:
        raise ConfigError(
            f"{table.name}: beside {target} there are times alone; to forecast a series, {how}"
        )
    out.notes.append(f"rows are learnt from one by one; to forecast them as a series, {how}")


def _role(table: Table, name: str, out: ColumnRoles) -> None:
    column = table.rows[name]
    if (held := _stored_media(column)) is not None and "{" not in name:
        kind, side = held
        _take_media(kind, name, side, f"column {name} holds {kind}s", out)
        if out.options[kind] != name:
            out.dropped.append(name)
        return
    if kinds.is_temporal(column.type) or kinds.is_nested(column.type):
        out.dropped.append(name)
        out.notes.append(f"column {name} ({column.type}) is left out")
        if kinds.is_temporal(column.type) and len(column.unique()) == len(column):
            out.times.append(name)
        return
    try:
        words = words_of(column, name)
    except DataError:
        return  # the importer reads it, or says why not
    there = [word.strip() for word in words if word and word.strip().lower() not in MISSING]
    different = set(there)
    if not there:
        out.dropped.append(name)
        out.notes.append(f"column {name} is empty, so it is left out")
    elif name.lower() == "split" and parts_of(different).train is not None:
        out.options["split_column"] = name
        out.splits = dict.fromkeys(different, "")
    elif name.lower() in GROUPS and LEAST_GROUPS <= len(different) < len(words):
        if "group" in out.options:
            out.dropped.append(name)
            by = out.options["group"]
            out.notes.append(f"column {name} is left out, as rows of one {by} stay together")
            return
        out.options["group"], out.groups = name, len(different)
        out.notes.append(f"rows of one {name} stay in one split")
    elif (media := _files_named(table, name, there)) is not None:
        _take_media(*media, out)
    elif _numbers_rows(table.rows, name, words):
        out.dropped.append(name)
        out.notes.append(f"column {name} numbers the rows, so it is left out")
    elif is_text(column.type) and _is_free_text(there, different):
        out.texts.append(name)
    elif is_text(column.type) and (why := _of_no_use(there, different)) is not None:
        out.dropped.append(name)
        out.notes.append(f"column {name} {why}, so it is left out")
        if why == HAS_DATES and len(different) == len(words):
            out.times.append(name)


def row_numbers(rows: pa.Table) -> list[str]:
    """Return the columns that number the rows: whole numbers, or words under a name such as id."""
    return [
        name
        for name in rows.column_names
        if kinds.is_integer(rows[name].type)
        or (name.lower() in NUMBERS_OF_ROWS and is_text(rows[name].type))
        if _numbers_rows(rows, name, words_of(rows[name], name))
    ]


def _numbers_rows(rows: pa.Table, name: str, words: Sequence[str | None]) -> bool:
    """Whether words number the rows, by the column's name or by counting from 0 or 1 on; what
    counts and is all that there is beside the target is learnt from."""
    if name.lower() in NUMBERS_OF_ROWS and None not in words and len(set(words)) == len(words):
        return True
    if len(words) < COUNTED or words[0] not in ("0", "1") or rows.num_columns < 3:
        return False
    return all(word == str(number) for number, word in enumerate(words, int(words[0])))


def _is_free_text(words: Sequence[str], different: set[str]) -> bool:
    """Whether words are texts: most rows have their own, of two words or more, or of several
    letters of a script without spaces, and they are no numbers."""
    if len(different) <= min(FREE_TEXT, len(words) / 2):
        return False
    several = sum(" " in word or len(UNSPACED.findall(word)) >= LETTERS for word in words)
    return several > len(words) / 2


def _of_no_use(words: Sequence[str], different: set[str]) -> str | None:
    """Return why words are neither numbers nor categories to learn from; None where they may be."""
    if all(DATE.fullmatch(word) for word in different):
        return HAS_DATES
    numbers = sum(bool(NUMBER.fullmatch(word) or WRITTEN.fullmatch(word)) for word in different)
    many = len(different) > FREE_TEXT and len(different) > len(words) / 2
    return "has a word of its own in most rows" if many and numbers < len(different) / 2 else None


def _take_media(kind: str, given: str, side: int | None, note: str, out: ColumnRoles) -> None:
    if kind in out.options:
        out.notes.append(f"{note}; one column of them is read, {out.options[kind]}")
        return
    out.options[kind] = given
    if side is not None:
        out.options["size"] = side
    out.notes.append(note)


def _stored_media(column: pa.ChunkedArray) -> tuple[str, int | None] | None:
    """Return what a column's cells hold where they are files: images or sounds, and the side of
    stored images; None of other cells."""
    if not is_stored_file(column.type):
        return None
    every = (column[row].as_py() for row in range(0, len(column), len(column) // SIZED_BY or 1))
    cells = [cell if isinstance(cell, dict) else {"bytes": cell} for cell in every]
    held = [cell["bytes"] or cell.get("path") for cell in cells]
    files = [io.BytesIO(one) if isinstance(one, bytes) else one for one in held]
    if 2 * len(sizes_of(files)) > len(held):
        return "image", stored_side(files)
    return ("audio", None) if 2 * sum(map(_is_sound, held)) > len(held) else None


def _is_sound(held: bytes | str | None) -> bool:
    if isinstance(held, bytes):
        return held.startswith(b"RIFF")
    return Path(held or "").suffix.lower() in SOUNDS


def _files_named(
    table: Table, name: str, words: Sequence[str]
) -> tuple[str, str, int | None, str] | None:
    """Return which files a column names: images or sounds; the column, or the pattern of paths; the
    side of stored images; what to say. None where it names none."""
    if not isinstance(table.folder, Path):
        return None
    tried = list(dict.fromkeys(words))[:TRIED]
    for kind, suffixes in (("image", IMAGES), ("audio", SOUNDS)):
        if all(Path(word).suffix.lower() in suffixes for word in tried):
            paths = [table.folder / word for word in tried]
            side = stored_side(paths) if kind == "image" else None
            return kind, name, side, f"column {name} names files of {kind}s"
    if 2 * len(set(words)) <= len(words):  # few different words are no names of the rows' files
        return None
    return _by_pattern(table.folder, name, tried)


def _by_pattern(
    folder: Path, name: str, words: Sequence[str]
) -> tuple[str, str, int | None, str] | None:
    """Return images or sounds in a folder beside the table that are called as the column says."""
    if {*"{}"} & {*name} or any("/" in word or len(word) > 200 for word in words):
        return None
    found: list[tuple[str, str, list[Path]]] = []
    for beside in sorted(path for path in folder.iterdir() if path.is_dir()):
        for kind, suffixes in (("image", IMAGES), ("audio", SOUNDS)):
            for suffix in sorted(suffixes):
                paths = [beside / f"{word}{suffix}" for word in words]
                if paths and all(path.is_file() for path in paths):
                    found.append((kind, f"{beside.name}/{{{name}}}{suffix}", paths))
    if not found:
        return None
    kind, pattern, paths = found[0]
    others = ", ".join(other for _, other, _ in found[1:])
    note = f"files {pattern} are the {kind}s of the rows" + (
        f"; there are also {others}, another domain maybe" if others else ""
    )
    return kind, pattern, stored_side(paths) if kind == "image" else None, note
