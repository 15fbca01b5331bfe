"""From a path to the rows that are there, by what a model reads."""

import re
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from raytl.data.importers.class_folders import files_below
from raytl.data.importers.csv_files import CSV
from raytl.data.importers.listing import below
from raytl.data.importers.options import ShardOptions
from raytl.data.importers.table_files import JSON, PARQUET
from raytl.data.raw import pictures, sounds
from raytl.data.raw.pictures import image_rows
from raytl.data.raw.rows import RawReading, RawRows
from raytl.data.raw.series import of_steps, of_ts
from raytl.data.raw.sounds import sound_rows
from raytl.data.raw.stored_as import StoredRows, stored_columns, stored_options
from raytl.data.raw.tables import table_rows
from raytl.data.raw.texts import lines_of, text_rows
from raytl.errors import DataError
from raytl.folders import printable
from raytl.modalities.audio.column import AudioColumn
from raytl.modalities.audio.transform import AudioTransform
from raytl.modalities.base import Transform
from raytl.modalities.column import Column
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.image.transform import ImageTransform
from raytl.modalities.series.column import SeriesColumn
from raytl.modalities.series.transform import SeriesTransform
from raytl.modalities.table.column import TableColumn
from raytl.modalities.table.transform import TableTransform
from raytl.modalities.text.column import TextColumn

TABLES = (*(suffix for suffix in CSV if suffix != ".txt"), *JSON, *PARQUET)
TAKES = {
    "image": "an image or a folder of images",
    "audio": "a .wav file or a folder of them",
    "text": "a .txt file, a line a row",
    "series": "a .ts file",
}


def raw_reading(rows: StoredRows | None, transforms: Mapping[str, Transform]) -> RawReading:
    """Return how raw files become rows for a model's `transforms`, by column: as it says of its
    training `rows`; where it says nothing, as the transforms have it."""
    stored = stored_columns(rows)
    columns = {name: stored.get(name) or _column_of(of) for name, of in transforms.items()}
    notes = [
        f"column '{name}': it is not known how its images were fitted; they are stretched"
        for name, column in columns.items()
        if isinstance(column, ImageColumn) and name not in stored
    ]
    if rows is None:
        options = ShardOptions(no_header=_is_numbered(columns))
        return RawReading(columns, "image-folder", options, tuple(notes))
    return RawReading(columns, rows.kind, stored_options(rows), tuple(notes))


def _is_numbered(columns: Mapping[str, Column]) -> bool:
    """Whether a table's fields are called as those of files without a first line of names are."""
    names = [f.name for c in columns.values() if isinstance(c, TableColumn) for f in c.fields]
    return bool(names) and all(re.fullmatch(r"c\d+", name) for name in names)


def _column_of(transform: Transform) -> Column:
    """Return a column whose rows a transform reads as they are."""
    if isinstance(transform, ImageTransform):
        channels, height, width = transform.input_shape
        return ImageColumn(shape=(height, width, channels), dtype="uint8")
    if isinstance(transform, AudioTransform):
        return AudioColumn(rate=transform.facts()["spectrogram"]["rate"])
    if isinstance(transform, SeriesTransform):
        return SeriesColumn(channels=transform.channels)
    return transform.column if isinstance(transform, TableTransform) else TextColumn()


def raw_rows(path: Path, reading: RawReading) -> RawRows:
    """Return the rows at a path: a table with the columns that the model reads, or of a model of
    one column its own kind of file, or a folder of such.

    Raises DataError where nothing is there that the model reads.
    """
    column, suffix = reading.only, _suffix(path)
    if not path.exists():
        raise DataError(f"{printable(path)}: no such file or folder; give {_taken(reading)}")
    if isinstance(column, SeriesColumn) and not path.is_dir():
        if suffix in TABLES:
            return of_steps(path, next(iter(reading.columns)), column, reading)
        return _numbered(column, of_ts(path, column, reading), reading)
    if suffix in TABLES and not path.is_dir():
        return table_rows(path, reading)
    if isinstance(column, ImageColumn):
        found, skipped = _files(path, pictures.EXTENSIONS, reading)
        inputs: Any = image_rows(column, list(found.values()), reading)
    elif isinstance(column, AudioColumn):
        found, skipped = _files(path, sounds.EXTENSIONS, reading)
        inputs = sound_rows(column, list(found.values()))
    elif isinstance(column, TextColumn) and path.is_file():
        return _numbered(column, text_rows(lines_of(path, reading.options)), reading)
    else:
        raise DataError(f"{printable(path)}: the model does not read this; give {_taken(reading)}")
    return RawRows("file", list(found), {next(iter(reading.columns)): inputs}, skipped)


def _numbered(column: Column, one: Any, reading: RawReading) -> RawRows:
    names = [str(row) for row in range(len(one.items))]
    return RawRows("row", names, {next(iter(reading.columns)): one})


def _files(
    path: Path, extensions: Set[str], reading: RawReading
) -> tuple[dict[str, Path], list[str]]:
    """Return files by what to call them, those of a folder by their path in it, and which were
    left aside."""
    if not path.is_dir():
        return {path.name: path}, []
    skipped: list[str] = []
    found: dict[str, Path] = {}
    for file in files_below(path, set(), skipped):
        assert isinstance(file, Path)
        if file.suffix.lower() in extensions:
            found[printable(below(file, path))] = file
        else:
            skipped.append(f"{printable(file)}: no {reading.only.kind if reading.only else 'row'}")
    if not found:
        raise DataError(
            f"{printable(path)}: no file in it ends in {', '.join(sorted(extensions))}; give "
            + _taken(reading)
        )
    return found, skipped


def _suffix(path: Path) -> str:
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _taken(reading: RawReading) -> str:
    """Return what a model takes, in words."""
    listed = ", ".join(_listed(name, column) for name, column in reading.columns.items())
    own = TAKES.get(reading.only.kind) if reading.only is not None else None
    table = f"a .csv, .parquet or .jsonl file with {listed}"
    return table if own is None else f"{own}, or {table}"


def _listed(name: str, column: Column) -> str:
    return f"the table's fields ('{name}')" if column.kind == "table" else f"a column '{name}'"
