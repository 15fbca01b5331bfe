"""Values of JSON as words."""

from typing import Any

from raytl.errors import DataError
from raytl.modalities.table.texts import spelled


def word_of(value: Any, name: str) -> str | None:
    """Return a value as a word: true and false, whole floats without a point, None for null.
    Raises DataError for a list or an object, `name` in front."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return spelled(value)
    raise DataError(f"{name} is a {type(value).__name__} where a word or a number is needed")
