"""Tables: CSV, Parquet or JSON lines."""

from pathlib import Path

from raytl.data.importers.base import Imported, ShardOptions
from raytl.data.importers.table_files import read_table_file
from raytl.data.importers.tabular import tabular
from raytl.data.stored import Each
from raytl.errors import ConfigError


def read_table(source: str | None, options: ShardOptions, each: Each) -> Imported:
    """Read the file `source` as the split train, or each split's file of `--split`, relative to the
    folder `source` where one is given. Rows are put into splits by `--split-column` or `--test`."""
    tables = {
        name: read_table_file(path, options)
        for name, path in split_files("table", source, options).items()
    }
    return tabular(tables, options, each)


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
