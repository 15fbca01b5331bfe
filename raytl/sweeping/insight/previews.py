"""What rows of a dataset look like to a person, in rows.json: small pictures, texts, values.

Legend: T steps, C channels, L samples, F fields.
"""

import json
import math
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from raytl.data.domain import Domain
from raytl.errors import CorruptError
from raytl.files import write_atomically
from raytl.modalities.audio.column import AudioColumn
from raytl.modalities.column import Column
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.series.column import SeriesColumn
from raytl.modalities.table.column import TableColumn
from raytl.modalities.text.column import StringColumn
from raytl.scoring.wording import value_text
from raytl.sweeping.insight.small import thumbnail

FILE = "rows.json"
MOST_CHARACTERS = 400
MOST_FIELDS = 40
MOST_STEPS = 120  # of a line
MOST_CHANNELS = 6


class _Preview(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Picture(_Preview):
    """A PNG in base64."""

    kind: Literal["picture"] = "picture"
    png: str


class Text(_Preview):
    """A text, cut where it is long."""

    kind: Literal["text"] = "text"
    text: str


class Fields(_Preview):
    """Names and values."""

    kind: Literal["fields"] = "fields"
    values: list[tuple[str, str]]


class Lines(_Preview):
    """A line for each channel, of means of consecutive steps."""

    kind: Literal["lines"] = "lines"
    lines: dict[str, list[float]]


Preview = Annotated[Picture | Text | Fields | Lines, Field(discriminator="kind")]
Previews = dict[int, dict[str, Preview]]  # row id → column → what it looks like
_READ: TypeAdapter[Previews] = TypeAdapter(Previews)


def previews_of(domain: Domain, split: str, ids: Collection[int]) -> Previews:
    """Return what the rows of these ids look like, by input column; ids that are not there are left
    out."""
    part = domain.split(split)
    known = part.ids()
    rows = np.flatnonzero(np.isin(known, np.asarray(sorted(ids), np.int64)))
    found: Previews = {int(known[row]): {} for row in rows}
    for name, column in domain.columns.items():
        for row, value in zip(rows, part.read(name, rows), strict=True):
            preview = _preview(column, value)
            if preview is not None:
                found[int(known[row])][name] = preview
    return found


def save_previews(previews: Previews, run: Path) -> None:
    """Write rows.json."""
    write_atomically(run / FILE, json.dumps(_READ.dump_python(previews, mode="json")))


def load_previews(run: Path) -> Previews:
    """Read rows.json; nothing where there is none. Raises CorruptError where it does not hold."""
    try:
        return _READ.validate_json((run / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise CorruptError(
            f"{run / FILE}: cannot be read: {str(error).splitlines()[0]}; delete it, and "
            "`raytl report` writes it again where the data are at hand"
        ) from None


def _preview(column: Column, value: Any) -> Preview | None:
    if isinstance(column, ImageColumn):
        return Picture(png=thumbnail(value))
    if isinstance(column, StringColumn):
        more = " …" if len(value) > MOST_CHARACTERS else ""
        return Text(text=value[:MOST_CHARACTERS] + more)
    if isinstance(column, TableColumn):
        return Fields(values=_fields(column, value))
    if isinstance(column, SeriesColumn):
        shown = list(enumerate(column.channels))[:MOST_CHANNELS]
        return Lines(lines={name: _line(value[:, place]) for place, name in shown})
    if isinstance(column, AudioColumn):
        return Lines(lines={"sound": _line(np.abs(np.asarray(value, np.float64)))})
    return None


def _fields(column: TableColumn, value_F: np.ndarray) -> list[tuple[str, str]]:
    found = []
    for field, value in list(zip(column.fields, value_F, strict=True))[:MOST_FIELDS]:
        missing = math.isnan(value)
        if field.kind == "category":
            said = "missing" if missing else field.categories[int(value)]
        else:
            said = "missing" if missing else value_text(value)
        found.append((field.name, said[:MOST_CHARACTERS]))
    return found


def _line(values_T: np.ndarray) -> list[float]:
    parts = np.array_split(np.asarray(values_T, np.float64), min(MOST_STEPS, len(values_T)))
    return [float(f"{part.mean():.4g}") for part in parts]
