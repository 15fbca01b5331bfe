"""Tables: CSV, Parquet or JSON lines."""

from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from raytl.data.importers.base import Imported, ShardOptions
from raytl.data.importers.csv_files import CSV
from raytl.data.importers.many_files import files_of_splits, split_patterns
from raytl.data.importers.parquet_table import PARQUET, read_parquet_table
from raytl.data.importers.table_files import JSON, read_table_file
from raytl.data.importers.tabular import tabular
from raytl.data.stored import Each
from raytl.errors import ConfigError
from raytl.urls import Place, is_url, place_of


def read_table(source: str | None, options: ShardOptions, each: Each) -> Imported:
    """Read the file `source` as the split train, or each split's file of `--split`, relative to the
    folder `source` where one is given. Rows are put into splits by `--split-column` or `--test`.

    A folder, or a pattern such as part-*.parquet or part-{000..127}.parquet, means many Parquet
    files, which are not read into memory whole; see `read_parquet_table`.
    """
    patterns = split_patterns("table", source, options.splits)
    if any(map(_many, patterns.values())):
        return read_parquet_table(files_of_splits(patterns, PARQUET), options, each)
    files: Mapping[str, Place]
    if any(map(is_url, patterns.values())):
        files = {name: place_of(given) for name, given in patterns.items()}
    else:
        files = split_files("table", source, options)
    tables = {name: read_table_file(place, options) for name, place in files.items()}
    return tabular(tables, options, each)


def _many(given: str) -> bool:
    """Whether a pattern or a folder of Parquet files is meant, and no one file."""
    if "*" in given or "{" in given:
        return True
    if is_url(given):
        name = PurePosixPath(place_of(given).name.removesuffix(".gz"))
        return name.suffix.lower() not in (*CSV, *JSON, *PARQUET)
    return any(path.suffix in PARQUET for path in Path(given).rglob("*"))


def split_files(kind: str, source: str | None, options: ShardOptions) -> dict[str, Path]:
    """Return the file of each split. Raises ConfigError where none is named, or too many."""
    if not options.splits:
        if source is None:
            raise ConfigError(
                f"shard {kind}: name a file: SOURCE, or a split's each, e.g. --split train=FILE"
            )
        return {"train": Path(source)}
    if source is not None and not Path(source).is_dir():
        raise ConfigError(
            f"shard {kind}: with --split, SOURCE is the folder of the files, but {source} is none; "
            "leave it out"
        )
    return {name: Path(source or "") / given for name, given in options.splits.items()}
