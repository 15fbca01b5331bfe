"""How a dataset's rows are stored, kept with a model so that raw files can be read alike."""

from collections.abc import Mapping
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

from raytl.data.columns import AnyColumn
from raytl.data.dataset import Dataset
from raytl.data.importers.options import ShardOptions
from raytl.data.schema import column_facts
from raytl.errors import ModelError
from raytl.modalities.column import Column

# The options of `raytl shard` that say how a file becomes a row; others say which rows there are
KEPT = (
    "size", "fit", "box", "text", "image", "audio", "no_header", "delimiter", "encoding",
    "series_id", "time", "horizon", "window", "season", "target",
)  # fmt: skip
_COLUMN: TypeAdapter[Column] = TypeAdapter(AnyColumn)


class StoredRows(Protocol):
    """What `source.json` says of rows: see `models.source_spec.RowsSpec`."""

    @property
    def columns(self) -> Mapping[str, Mapping[str, Any]]: ...
    @property
    def kind(self) -> str: ...
    @property
    def options(self) -> Mapping[str, Any]: ...


def rows_facts(dataset: Dataset, columns: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the rows of those of `columns` that a dataset has are stored, ready for JSON."""
    origin = dataset.info.origin
    return {
        "columns": {n: column_facts(dataset.columns[n]) for n in columns if n in dataset.columns},
        "kind": str(origin.get("kind", "")),
        "options": {name: origin[name] for name in KEPT if name in origin},
    }


def stored_columns(rows: StoredRows | None) -> dict[str, Column]:
    """Return the columns by name; none where nothing is known. Raises ModelError where they are
    none."""
    return {} if rows is None else {n: _column(n, of) for n, of in rows.columns.items()}


def _column(name: str, facts: Mapping[str, Any]) -> Column:
    try:
        return _COLUMN.validate_python(dict(facts))
    except ValidationError as error:
        what = error.errors()[0]["msg"]
        raise ModelError(
            f"rows: columns: {name}: {what}; copy or make the source model again"
        ) from None


def stored_options(rows: StoredRows) -> ShardOptions:
    """Return the options. Raises ModelError where they are none."""
    try:
        return ShardOptions.model_validate(dict(rows.options))
    except ValidationError as error:
        what = error.errors()[0]["msg"]
        raise ModelError(f"rows: options: {what}; copy or make the source model again") from None
