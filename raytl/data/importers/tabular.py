"""Tables of somebody's columns to a dataset: numbers and categories, texts, images, sounds.

Legend: N rows of all splits.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from raytl.data.importers.arranging import arranged, how_to_cut
from raytl.data.importers.base import Imported, ShardOptions
from raytl.data.importers.cells import Cells, is_stored_file
from raytl.data.importers.decoding import how_fitted
from raytl.data.importers.encoded import Encoded
from raytl.data.importers.far_columns import image_cells, sound_cells, text_cells
from raytl.data.importers.inputs import Input, array_input, image_input, text_input
from raytl.data.importers.joined import Joined, all_there, by_line, join, kept
from raytl.data.importers.packed import Packed
from raytl.data.importers.parquet_files import ParquetRows
from raytl.data.importers.roles import TABLE, Roles, pattern_columns, roles_of
from raytl.data.importers.sounds import sound_input
from raytl.data.importers.split_rows import rows_of
from raytl.data.importers.table_files import Table
from raytl.data.importers.targets import target_of
from raytl.data.importers.words import is_text, named_files, words_of
from raytl.data.stored import Each
from raytl.errors import ConfigError, DataError
from raytl.modalities.table.infer import infer

FREE_TEXT = 50  # so many different words, most rows their own, are hardly categories


def tabular(
    tables: Mapping[str, Table],
    options: ShardOptions,
    each: Each,
    known_classes: tuple[str, ...] | None = None,
    source: ParquetRows | None = None,
) -> Imported:
    """Return the dataset that tables, one a split, make by the parts that options give to columns.

    `known_classes`: those that the source declares for the target. `source`: where the columns are
    that tables have not in memory. Raises ConfigError for options
    that name what is not there, DataError for rows that cannot be used.
    """
    joined = kept(join(tables), options)
    names = joined.rows.column_names if source is None else source.schema.names
    roles = roles_of(names, options, joined.name)
    called = roles.called()
    target = target_of(
        roles.target,
        words_of(joined.rows[roles.target], roles.target),
        options,
        joined.place,
        known_classes,
    )
    groups = None if roles.group is None else all_there(joined, roles.group, "--group")
    splits = _splits(joined, roles)
    far = {} if source is None else _far(joined, source, roles, options, each)
    inputs, notes = _inputs(joined, roles, called, options, each, far)
    targets = {called[roles.target]: target.values}
    rows = {
        name: rows_of(inputs, numbers, targets, groups, options) for name, numbers in splits.items()
    }
    columns = {name: one.column for name, one in inputs.items()}
    columns[called[roles.target]] = target.column
    found = arranged(columns, rows, options, called.get(roles.group or "", "group"))
    renamed = [f"column '{name}' is called '{to}'" for name, to in called.items() if name != to]
    patterns = [f"column '{given}'" for given in roles.media.values() if "{" in given]
    renamed = [note for note in renamed if not note.startswith(tuple(patterns) or "\0")]
    found.notes += [*target.notes, *notes, *renamed, *how_to_cut(found, options)]
    return found


def _splits(joined: Joined, roles: Roles) -> dict[str, np.ndarray]:
    """Return the numbers of each split's rows."""
    if roles.split is None:
        parts = {n: np.flatnonzero(joined.table_of == i) for i, n in enumerate(joined.tables)}
    elif len(joined.tables) > 1:
        raise ConfigError("--split-column: the files are splits already; leave one of them out")
    else:
        words = all_there(joined, roles.split, "--split-column")
        if len(np.unique(words)) > 20:
            raise ConfigError(
                f"--split-column: '{roles.split}' has {len(np.unique(words))} different values, "
                f"such as '{words[0]}'; name a column of splits, as train and test"
            )
        parts = {str(name): np.flatnonzero(words == name) for name in np.unique(words)}
    empty = next((name for name, numbers in parts.items() if not len(numbers)), None)
    if empty is not None:
        raise ConfigError(f"split {empty}: --where leaves no row in it; leave the split out")
    return dict(sorted(parts.items(), key=lambda part: part[0] != "train"))


def _inputs(
    joined: Joined,
    roles: Roles,
    called: Mapping[str, str],
    options: ShardOptions,
    each: Each,
    far: Mapping[str, Input],
) -> tuple[dict[str, Input], list[str]]:
    inputs: dict[str, Input] = {}
    notes: list[str] = []
    for kind, given in roles.media.items():
        if given in far:
            one = far[given]
        elif kind == "image":
            one = image_input(_files(joined, given), options)
        else:
            one = sound_input(_files(joined, given), options, each)
        inputs[called[given]] = one
        notes += how_fitted(options) if kind == "image" else one.notes
    for name in roles.texts:
        inputs[called[name]] = far[name] if name in far else text_input(_texts(joined, name))
    if roles.fields:
        fields, told = _table(joined, roles.fields, options)
        inputs[TABLE] = fields
        notes += told
    if not inputs:
        raise ConfigError(f"{joined.name}: there is no column to learn from beside the target")
    return inputs, notes


def _far(
    joined: Joined, source: ParquetRows, roles: Roles, options: ShardOptions, each: Each
) -> dict[str, Input]:
    """Return the columns that are not in memory."""
    found = {}
    for kind, given in roles.media.items():
        if "{" not in given and is_stored_file(source.schema.field(given).type):
            cells = Cells(source, given, joined.numbers)
            image = kind == "image"
            found[given] = (
                image_cells(cells, options) if image else sound_cells(cells, options, each)
            )
    for name in roles.texts:
        found[name] = text_cells(Cells(source, name, joined.numbers), joined.place, each)
    return found


def _files(joined: Joined, given: str) -> Sequence[Encoded] | Packed:
    if "{" not in given and is_stored_file(joined.rows.schema.field(given).type):
        return _stored_files(joined, given)
    names = pattern_columns(given) or [given]
    columns = {name: words_of(joined.rows[name], name) for name in names}
    return named_files(given, columns, names, joined.folder, joined.place)


def _stored_files(joined: Joined, name: str) -> Packed:
    """Return the files whose bytes stand in a column, as `datasets` keeps images and sounds."""
    packed = Packed(joined.rows[name], joined.place)
    missing = packed.missing()
    if len(missing):
        place = joined.place(int(missing[0]))
        raise DataError(f"{place}: column '{name}' has no file; drop the row")
    return packed


def _texts(joined: Joined, name: str) -> pa.ChunkedArray:
    column = joined.rows[name]
    if not is_text(column.type):
        raise DataError(f"--text: column '{name}' has {column.type}, which is no text")
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy()))
        raise DataError(
            f"{joined.place(row)}: column '{name}' has no text ({column.null_count} such rows); "
            "drop them, or make the texts empty"
        )
    return column.cast(pa.large_string())


def _table(joined: Joined, names: Sequence[str], options: ShardOptions) -> tuple[Input, list[str]]:
    overrides: dict[str, Any] = dict.fromkeys(options.number, "number")
    overrides |= dict.fromkeys(options.category, "category")
    try:
        column, values = infer(joined.rows.select(names), overrides)
    except DataError as error:
        raise DataError(by_line(joined, str(error))) from None
    notes = []
    for field in column.fields:
        count = len(field.categories)
        if count > FREE_TEXT and count > len(values) / 2 and field.name not in overrides:
            notes.append(
                f"column '{field.name}' is taken for a category of {count} in {len(values)} rows; "
                f"--text or --drop {field.name} says otherwise"
            )
    return array_input(column, values), notes
