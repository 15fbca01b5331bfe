"""Datasets of Hugging Face's `datasets`, as `save_to_disk` writes them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from raytl.data.importers.base import Imported, ShardOptions, need_source
from raytl.data.importers.features import by_kinds, class_names, named_classes
from raytl.data.importers.table_files import Table
from raytl.data.importers.tabular import tabular
from raytl.data.stored import Each
from raytl.errors import ConfigError, DataError
from raytl.folders import printable


def read_huggingface(source: str | None, options: ShardOptions, each: Each) -> Imported:
    """Read a folder that `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote; the parts of a
    DatasetDict are splits. The one ClassLabel is the target, images and sounds are such columns,
    strings are texts, numbers fields of a table; options say otherwise.

    Raises ConfigError where `datasets` is not installed, DataError for another folder.
    """
    root = Path(need_source(source))
    found = _load(root)
    parts = dict(found) if hasattr(found, "keys") else {"train": found}
    return read_parts(parts, f"{printable(root)} ", options, each)


def read_parts(parts: Mapping[str, Any], where: str, options: ShardOptions, each: Each) -> Imported:
    """Return the dataset that parts, one a split, make, each a `datasets.Dataset`. `where` goes
    before their names in what is said of their rows."""
    first = next(iter(parts.values()))
    options = by_kinds(_kinds(first.features), options)
    tables = {name: _table(f"{where}{name}", part) for name, part in parts.items()}
    return tabular(tables, options, each, _class_names(first.features, options))


def _load(root: Path) -> Any:
    try:
        import datasets
    except ImportError:
        raise ConfigError(
            "shard huggingface: needs the package datasets; install raytl[datasets]"
        ) from None
    if not root.is_dir():
        raise DataError(f"{printable(root)}: no such folder; give one of Dataset.save_to_disk")
    datasets.disable_progress_bars()
    try:
        return datasets.load_from_disk(str(root))
    except Exception as error:  # of every kind that broken JSON and Arrow bytes provoke
        told = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise DataError(
            f"{printable(root)}: cannot be read as a folder of Dataset.save_to_disk: {told}"
        ) from None


def _kinds(features: Any) -> dict[str, str]:
    """Return the class's name of each feature, "string" for strings."""
    return {
        name: "string"
        if getattr(feature, "dtype", "") in ("string", "large_string")
        else type(feature).__name__
        for name, feature in features.items()
    }


def _class_names(features: Any, options: ShardOptions) -> tuple[str, ...] | None:
    names = class_names(features).get(options.target or "")
    return None if names is None else tuple(names)


def _table(name: str, part: Any) -> Table:
    """Return a split as Arrow has it, class numbers as their names."""
    if not len(part):
        raise DataError(f"{name}: there are no rows; leave the split out")
    rows: pa.Table = part.with_format("arrow")[:]
    return Table(name, named_classes(rows, class_names(part.features)))
