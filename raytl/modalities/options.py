"""Options of a modality's transform and networks, as a study file gives them and `source.json`
keeps them."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from raytl.errors import ModelError

Options = TypeVar("Options", bound=BaseModel)


def options_of(model: type[Options], given: Mapping[str, Any], place: str) -> Options:
    """Return the checked options; raises ModelError that names the `place` and the first fault."""
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        raise ModelError(f"{place}: {_first(error)}") from None


def facts_of(model: type[Options], given: Mapping[str, Any]) -> Options:
    """Return the facts of a transform, checked; raises ValueError, a sentence."""
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        raise ValueError(_first(error)) from None


def _first(error: ValidationError) -> str:
    first = error.errors()[0]
    what = first["msg"].removeprefix("Value error, ")
    if not first["loc"]:
        return what
    return f"{'.'.join(str(part) for part in first['loc'])}: {what}, got {first['input']!r}"[:300]
