"""Tables of many Parquet files, here or behind URLs, which no process holds whole."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any

import pyarrow as pa

from raytl.data.importers.base import Imported, ShardOptions
from raytl.data.importers.cells import is_stored_file
from raytl.data.importers.features import by_kinds, class_names
from raytl.data.importers.joined import conditions
from raytl.data.importers.many_files import FileAt
from raytl.data.importers.parquet_files import ParquetRows, parquet_rows, read_columns
from raytl.data.importers.roles import Roles, pattern_columns, roles_of
from raytl.data.importers.table_files import Table
from raytl.data.importers.tabular import tabular
from raytl.data.stored import Each
from raytl.errors import ConfigError, DataError
from raytl.urls import Url

PARQUET = frozenset([".parquet", ".pq"])


def read_parquet_table(
    splits: Mapping[str, Sequence[FileAt]], options: ShardOptions, each: Each
) -> Imported:
    """Read numbers, categories, targets and groups into memory; texts, and images and sounds whose
    bytes are in the files, stay there until their shard is written. What `datasets` of Hugging Face
    wrote about the columns says what they are where the options do not.

    Raises as `tabular`, and DataError for files that cannot be read, or with other columns.
    """
    files = [file for part in splits.values() for file in part]
    source = parquet_rows(files, each)
    options = _by_features(source.features, options)
    what = files[0].name + (f" and {len(files) - 1} more" if len(files) > 1 else "")
    roles = roles_of(source.schema.names, options, what)
    rows = read_columns(source, _small(source.schema, roles, options, what), each)
    tables, start, counts = {}, 0, iter(source.counts)
    for name, part in splits.items():
        count = sum(islice(counts, len(part)))
        if not count:
            raise DataError(f"{part[0].name}: there are no rows; give files that have some")
        at = part[0].place
        folder = at.folder if isinstance(at, Url) else at.parent
        place = partial(_place, source, start)
        tables[name] = Table(what, rows.slice(start, count), folder, place=place)
        start += count
    return tabular(tables, options, each, _classes(source.features, options), source)


def _place(source: ParquetRows, start: int, row: int) -> str:
    return source.place(start + row)


def _small(schema: pa.Schema, roles: Roles, options: ShardOptions, what: str) -> list[str]:
    """Return the columns that are read into memory. Raises DataError for one that holds more than
    words and numbers, and that no option names."""
    media = {given for given in roles.media.values() if "{" not in given}
    paths = {name for given in roles.media.values() for name in pattern_columns(given)}
    paths |= {name for name in media if not is_stored_file(schema.field(name).type)}
    for name in roles.fields:
        kind = schema.field(name).type
        if is_stored_file(kind) or pa.types.is_nested(kind):
            raise DataError(
                f"{what}: column '{name}' has {str(kind)[:60]}, which is neither number nor "
                "category; --image or --audio says that it holds files, --drop leaves it out"
            )
    wanted = {roles.target, *roles.fields, *paths, *conditions(options)}
    wanted |= {name for name in (roles.group, roles.split) if name is not None}
    unknown = sorted(wanted - set(schema.names))
    if unknown:
        raise ConfigError(f"--where: {what} has no column '{unknown[0]}'")
    return [name for name in schema.names if name in wanted]


def _by_features(features: Mapping[str, Any], options: ShardOptions) -> ShardOptions:
    kinds = {}
    for name, feature in features.items():
        kind = feature.get("_type") if isinstance(feature, dict) else None
        text = kind == "Value" and feature.get("dtype") in ("string", "large_string")
        kinds[name] = "string" if text else str(kind)
    return by_kinds(kinds, options) if kinds else options


def _classes(features: Mapping[str, Any], options: ShardOptions) -> tuple[str, ...] | None:
    names = class_names(features).get(options.target or "")
    return None if names is None else tuple(names)
