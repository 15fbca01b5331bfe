"""What the parts of a study are made of: frozen models, ranges, paths."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo

from raytl.folders import rooted
from raytl.urls import Place, Url, is_url

Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveFraction = Annotated[float, Field(gt=0, le=1)]
Probability = Annotated[float, Field(ge=0, lt=1)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
LOCAL_WEIGHTS = (".pth", ".pt", ".th", ".bin", ".safetensors")


def absolute(place: str | Path) -> Place:
    """Return a URL as it is and a path made absolute: trials run in folders of their own. Raises
    ValueError for what is neither, and for a URL that holds credentials."""
    if not isinstance(place, str | Path):
        raise ValueError(f"must be a path or a URL, got {place}")
    if is_url(place):
        return Url(str(place))
    return rooted(str(place).removeprefix("file://"))


# A folder or a file, here or behind a URL
Location = Annotated[Path | Url, BeforeValidator(absolute), PlainSerializer(str, when_used="json")]


def is_weights_file(weights: str) -> bool:
    """Whether these are weights in a file of one's own, here or behind a URL."""
    return weights.partition("?")[0].endswith(LOCAL_WEIGHTS)


def _absolute_weights(weights: str) -> str:
    return str(absolute(weights)) if is_weights_file(weights) else weights


Weights = Annotated[str, AfterValidator(_absolute_weights)]


def nearest(word: str, known: list[str]) -> str:
    """Return `word`'s nearest known spelling as a question, or the list of what is known."""
    close = closest(word, known)
    return "known: " + ", ".join(known) if close is None else f"did you mean '{close}'?"


def closest(word: str, known: Sequence[str], cutoff: float = 0.6) -> str | None:
    """Return which of `known` is spelt most like `word`, small and capital letters alike; None
    where none is as alike as `cutoff`, in [0, 1]."""
    plain = {name.lower(): name for name in reversed(known)}
    found = difflib.get_close_matches(word.lower(), plain, n=1, cutoff=cutoff)
    return plain[found[0]] if found else None


def number_or_range(what: str, least: int) -> BeforeValidator:
    """Take a number of `what`, or [fewest, most], from `least` on."""

    def check(given: Any) -> int | tuple[int, int]:
        bounds = [given, given] if type(given) is int else given
        whole = isinstance(bounds, list | tuple) and all(type(number) is int for number in bounds)
        if not whole or len(bounds) != 2 or not least <= bounds[0] <= bounds[1]:
            raise ValueError(
                f"must be a number of {what} >= {least}, or [fewest, most] with {least} <= fewest "
                f"<= most, got {given}"
            )
        return given if type(given) is int else (bounds[0], bounds[1])

    return BeforeValidator(check)


def bounds_of(given: int | tuple[int, int]) -> tuple[int, int]:
    """Return the fewest and the most of what `number_or_range` took."""
    return (given, given) if isinstance(given, int) else given


class Frozen(BaseModel):
    """A frozen model whose unknown keys are errors that name the nearest known key, and in which
    true is no 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            for key in data:
                if key not in cls.model_fields:
                    raise ValueError(
                        f"unknown key '{key}'; {nearest(str(key), list(cls.model_fields))}"
                    )
        return data

    @field_validator("*", mode="before")
    @classmethod
    def _no_number_of_true(cls, value: Any, info: ValidationInfo) -> Any:
        assert info.field_name is not None
        if isinstance(value, bool) and not _may_be_true(cls.model_fields[info.field_name]):
            raise ValueError(
                f"must not be true or false, as which YAML reads yes, no, on and off, got {value}"
            )
        return value


def _may_be_true(field: FieldInfo) -> bool:
    kinds = [field.annotation]
    for kind in kinds:  # which grows by what each is made of
        kinds += get_args(kind)
    return any(kind in (bool, Any) or kind is True for kind in kinds)
