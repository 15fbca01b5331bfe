"""What `datasets` of Hugging Face says of columns, where options say nothing."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from raytl.data.importers.base import ShardOptions


def by_kinds(kinds: Mapping[str, str], options: ShardOptions) -> ShardOptions:
    """Return the options with the parts that follow from each column's kind, `string` of strings:
    the one ClassLabel is the target, the one Image and Audio are such columns, strings texts."""
    target = options.target or _only(kinds, "ClassLabel")
    other = {*options.category, *options.number, *options.drop, target, options.group}
    free = {name: kind for name, kind in kinds.items() if name not in other}
    texts = (name for name, kind in free.items() if kind == "string")
    return options.model_copy(
        update={
            "target": target,
            "image": options.image or _only(free, "Image"),
            "audio": options.audio or _only(free, "Audio"),
            "text": options.text or tuple(texts),
        }
    )


def features_of(schema: pa.Schema) -> Mapping[str, Any]:
    """Return what it wrote about a file's columns, by name; nothing where it is of another
    writer."""
    held = (schema.metadata or {}).get(b"huggingface")
    try:
        found = json.loads(held or b"{}")["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def class_names(features: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the names of each ClassLabel's classes, by column, of such features or of the ones
    that a Dataset has."""
    found = {name: _names_of(feature) for name, feature in features.items()}
    return {name: names for name, names in found.items() if names}


def _names_of(feature: Any) -> list[str]:
    if type(feature).__name__ == "ClassLabel":
        return [str(name) for name in feature.names]
    if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel":
        return []
    return [str(name) for name in feature.get("names") or []]


def named_classes(rows: pa.Table, names_of: Mapping[str, Sequence[str]]) -> pa.Table:
    """Return the rows with the names of classes in the place of their numbers; a number that is
    none is missing."""
    for place, column in enumerate(rows.column_names):
        names = names_of.get(column)
        if names and pa.types.is_integer(rows[column].type):
            words = [
                names[k] if k is not None and 0 <= k < len(names) else None
                for k in rows[column].to_pylist()
            ]
            rows = rows.set_column(place, column, pa.array(words, pa.string()))
    return rows


def _only(kinds: Mapping[str, str], wanted: str) -> str | None:
    names = [name for name, kind in kinds.items() if kind == wanted]
    return names[0] if len(names) == 1 else None
