"""Tables to predict: files of rows whose columns are the model's, or rows that a program has."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from raytl.data.importers.cells import is_stored_file
from raytl.data.importers.csv_files import with_own_delimiter
from raytl.data.importers.features import features_of
from raytl.data.importers.inputs import Bad, Input
from raytl.data.importers.joined import Joined, join
from raytl.data.importers.packed import Packed
from raytl.data.importers.roles import pattern_columns, plain_column
from raytl.data.importers.table_files import read_table_file
from raytl.data.importers.words import is_text, named_files, words_of
from raytl.data.raw.fields import field_rows, named_categories
from raytl.data.raw.pictures import image_rows
from raytl.data.raw.rows import RawReading, RawRows, with_bad
from raytl.data.raw.sounds import sound_rows
from raytl.data.raw.texts import text_rows
from raytl.errors import DataError, ModelError
from raytl.modalities.audio.column import AudioColumn
from raytl.modalities.column import Column
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.table.column import TableColumn
from raytl.modalities.text.column import TextColumn


def table_rows(path: Path, reading: RawReading) -> RawRows:
    """Return the rows of a CSV, Parquet or JSON-lines file. Raises DataError where it is none or
    lacks a column that the model reads, ModelError for columns that no table holds."""
    table = read_table_file(path, with_own_delimiter(path, reading.options), uneven=True)
    features = features_of(table.rows.schema)
    table = replace(table, rows=named_categories(table.rows, features, reading))
    joined = join({"rows": table})
    inputs = {
        name: with_bad(_input(name, column, joined, reading), table.uneven)
        for name, column in reading.columns.items()
    }
    count = len(joined.rows) + len(table.uneven)
    return RawRows("row", [str(row) for row in range(count)], inputs)


def _input(name: str, column: Column, joined: Joined, reading: RawReading) -> Input:
    if isinstance(column, TableColumn):
        fields = [field.name for field in column.fields]
        _need(fields, joined)
        cells = {field: joined.rows[field].to_pylist() for field in fields}
        return field_rows(column, cells, len(joined.rows), joined.place)
    if isinstance(column, TextColumn):
        return text_rows(_texts(_source(name, None, joined), joined))
    options = reading.options
    if isinstance(column, ImageColumn):
        return image_rows(column, _files(_source(name, options.image, joined), joined), reading)
    if isinstance(column, AudioColumn):
        return sound_rows(column, _files(_source(name, options.audio, joined), joined))
    raise ModelError(
        f"the model reads a {column.kind}, '{name}', beside other columns, which no table of raw "
        "rows holds; predict a dataset of them"
    )


def _source(name: str, given: str | None, joined: Joined) -> str:
    """Return what the file calls a column of the dataset; of files it may be a pattern. Raises
    DataError where it has none."""
    if given is not None and name in (plain_column(given), "image", "audio"):
        _need(pattern_columns(given) or [given], joined)
        return given
    found = [own for own in joined.rows.column_names if plain_column(own) == name]
    _need(found or [name], joined)
    return found[0]


def _need(names: Sequence[str], joined: Joined) -> None:
    there = joined.rows.column_names
    missing = [name for name in names if name not in there]
    if missing:
        more = f" (nor {len(missing) - 1} others)" if len(missing) > 1 else ""
        raise DataError(
            f"{joined.name}: has no column '{missing[0]}'{more}, which the model reads; it has "
            + ", ".join(there[:12])
            + (", …" if len(there) > 12 else "")
        )


def _texts(name: str, joined: Joined) -> list[str | Bad]:
    column = joined.rows[name]
    if not is_text(column.type):
        raise DataError(f"{joined.name}: column '{name}' has {column.type}, which is no text")
    return [
        text if text and text.strip() else Bad(f"{joined.place(row)}: column '{name}' has no text")
        for row, text in enumerate(column.to_pylist())
    ]


def _files(given: str, joined: Joined) -> list[Any]:
    """Return the file of each row: its bytes, or what its path or pattern names."""
    if "{" not in given and is_stored_file(joined.rows.schema.field(given).type):
        return _stored(given, joined)
    names = pattern_columns(given) or [given]
    columns = {name: words_of(joined.rows[name], name) for name in names}
    one = _each(columns, given, names, joined)
    return [one(row) for row in range(len(joined.rows))]


def _each(
    columns: Mapping[str, Sequence[str | None]], given: str, names: Sequence[str], joined: Joined
) -> Callable[[int], Any]:
    def file(row: int) -> Any:
        own = {name: [words[row]] for name, words in columns.items()}
        try:
            return named_files(
                given, own, names, lambda _: joined.folder(row), lambda _: joined.place(row)
            )[0]
        except DataError as error:
            return Bad(str(error))

    return file


def _stored(given: str, joined: Joined) -> list[Any]:
    packed = Packed(joined.rows[given], joined.place)
    missing = {int(row) for row in packed.missing()}
    cells: pa.ChunkedArray = packed.cells
    found: list[Any] = []
    for row, cell in enumerate(cells.to_pylist()):
        held = cell if isinstance(cell, dict) else {"bytes": cell}
        content = held.get("bytes")
        if row in missing:
            found.append(Bad(f"{joined.place(row)}: column '{given}' has no file"))
        else:
            found.append(
                (joined.place(row), content) if content is not None else Path(held["path"])
            )
    return found
