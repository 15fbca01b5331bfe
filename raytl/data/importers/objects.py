"""Data that Python holds: DataFrames, arrays, Datasets of torch and Hugging Face."""

import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from raytl.data.importers.base import (
    CUTTING,
    FITTING,
    Imported,
    Importer,
    ShardOptions,
    refuse_unused,
)
from raytl.data.importers.frames import (
    categorical_columns,
    frame_table,
    is_frame,
    refuse_other_order,
    with_absolute_patterns,
)
from raytl.data.importers.huggingface import read_parts
from raytl.data.importers.pairs import LABEL, pair_of, read_pairs, targets_of
from raytl.data.importers.roles import pattern_columns
from raytl.data.importers.tabular import tabular
from raytl.data.importers.torch_datasets import read_dataset
from raytl.errors import ConfigError, DataError

TARGET = frozenset({"target", "task", "classes", "positive", "unlabelled"})
COLUMNS = frozenset(
    {"text", "image", "audio", "number", "category", "drop", "group", "skip_bad", "rate"}
)
OF_TABLES = FITTING | CUTTING | TARGET | COLUMNS | {"split_column", "where"}
USES = {
    "a table": OF_TABLES,
    "(X, y) of a table": OF_TABLES,
    "a Hugging Face dataset": OF_TABLES,
    "(X, y)": FITTING | CUTTING | TARGET | {"category"},
    "a Dataset of torch": FITTING | CUTTING | TARGET | {"category"},
}
KINDS = (
    "a DataFrame, (X, y) of arrays, a torch Dataset, a Hugging Face Dataset or DatasetDict, or "
    "{split: one of these}"
)


def kind_of(data: Any) -> str:
    """Return what an object is, as USES calls it. Raises DataError for what cannot be read."""
    if type(data).__module__.partition(".")[0] == "datasets":
        return "a Hugging Face dataset"
    if is_frame(data):
        return "a table"
    if isinstance(data, list | tuple) and len(data) == 2:
        return "(X, y) of a table" if is_frame(data[0]) else "(X, y)"
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(data, torch.utils.data.Dataset):
        return "a Dataset of torch"
    if isinstance(data, str | os.PathLike):
        raise DataError(
            f"{data}: is a path; a dataset's folder stands in a study as it is, and files become "
            "one by `raytl shard`"
        )
    shape = getattr(data, "shape", None)
    got = f"{type(data).__name__} {tuple(shape)}" if shape is not None else type(data).__name__
    raise DataError(f"data must be {KINDS}, got {got}")


def splits_of(data: Any) -> dict[str, Any]:
    """Return the object of each split: those of a mapping by name, else one named train. Raises
    DataError for a mapping of nothing, or whose names are no text."""
    if not isinstance(data, Mapping):
        return {"train": data}
    if not data:
        raise DataError(f"data must be {KINDS}, got an empty {type(data).__name__}")
    odd = next((name for name in data if not isinstance(name, str)), None)
    if odd is not None:
        raise DataError(f"splits must have names, such as train and test, got {odd!r:.40}")
    return dict(data)


def can_be_cut(data: Any) -> bool:
    """Whether a split test can be cut from data: they have a split train, and none named test."""
    return not isinstance(data, Mapping) or ("train" in data and "test" not in data)


def read_objects(splits: Mapping[str, Any], options: ShardOptions) -> Imported:
    """Return the dataset that objects, one a split, make.

    Raises ConfigError for options that mean nothing to such objects, DataError for objects of
    several kinds, and what the readers of each kind raise of their rows.
    """
    kinds = {name: kind_of(data) for name, data in splits.items()}
    kind = next(iter(kinds.values()))
    other = next((name for name, found in kinds.items() if found != kind), None)
    if other is not None:
        raise DataError(
            f"all splits must be of one kind, but {next(iter(kinds))} is {kind} and {other} is "
            f"{kinds[other]}"
        )
    refuse_unused(kind, Importer(_unread, USES[kind]), options)
    if kind == "a Hugging Face dataset":
        return _of_hugging_face(splits, options)
    if kind == "a table":
        options = _with_categorical(splits, options)
        tables = {name: frame_table(data, name, options) for name, data in splits.items()}
        return tabular(tables, with_absolute_patterns(options), map)
    if kind == "(X, y) of a table":
        return _of_frames(splits, options)
    if kind == "(X, y)":
        return read_pairs({n: pair_of(data, n) for n, data in splits.items()}, options, map)
    read = {name: read_dataset(data, name) for name, data in splits.items()}
    classes = {names for _, names in read.values()}
    if len(classes) > 1:
        raise DataError("all splits must have the same classes, in the same order, but differ")
    named = None if options.classes else classes.pop()
    return read_pairs({name: pair for name, (pair, _) in read.items()}, options, map, named)


def _of_frames(splits: Mapping[str, Any], options: ShardOptions) -> Imported:
    """Return the dataset of tables with their targets beside them."""
    options = options.model_copy(update={"target": options.target or LABEL})
    options = _with_categorical({name: rows for name, (rows, _) in splits.items()}, options)
    tables = {}
    for name, (rows, targets) in splits.items():
        table = frame_table(rows, name, options)
        if options.target in table.rows.column_names:
            raise DataError(
                f"{name}: X has a column '{options.target}', as the target would be called; give "
                "another target="
            )
        count = table.rows.num_rows
        column = pa.nulls(count, pa.string())
        if targets is not None:
            refuse_other_order(rows, targets, name)
            column = targets_of(targets, count, name)
        tables[name] = replace(table, rows=table.rows.append_column(options.target, column))
    return tabular(tables, with_absolute_patterns(options), map)


def _with_categorical(tables: Mapping[str, Any], options: ShardOptions) -> ShardOptions:
    """Return the options with the columns that pandas calls categorical as such, where they do not
    say what these are."""
    found = {name for data in tables.values() for name in categorical_columns(data)}
    media = [given for given in (options.image, options.audio) if given is not None]
    said = {options.target, options.group, options.split_column, *media}
    said |= {name for given in media for name in pattern_columns(given)}
    said |= {*options.text, *options.number, *options.category, *options.drop}
    more: dict[str, Any] = {}
    if found - said:
        more["category"] = (*options.category, *sorted(found - said))
    if options.target in found and options.positive is None:
        more["task"] = options.task or "classification"
    return options.model_copy(update=more)


def _of_hugging_face(splits: Mapping[str, Any], options: ShardOptions) -> Imported:
    for name, part in splits.items():
        if not hasattr(part, "with_format") or not hasattr(part, "__len__"):
            raise ConfigError(
                f"{name}: a {type(part).__name__} streams its rows; load it without streaming, or "
                "save it and use `raytl shard huggingface`"
            )
    return read_parts(splits, "", options, map)


def _unread(*_: Any) -> Imported:
    raise AssertionError("objects are read by `read_objects`")
