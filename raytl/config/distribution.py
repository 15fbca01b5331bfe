"""One searched key of the space."""

import math
from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from raytl.config.base import Frozen, Positive, nearest


class Distribution(Frozen):
    """One searched key: exactly one of `choice`, `int` and `float`, with an optional `when`."""

    choice: tuple[Any, ...] | None = None
    int_range: tuple[int, int] | None = Field(None, alias="int")  # inclusive
    float_range: tuple[float, float] | None = Field(None, alias="float")  # inclusive
    log: bool = False
    step: Positive | None = None
    # Parent key → the value, or list of values, that activates this key
    when: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_keys(cls, data: Any) -> Any:
        known = ["choice", "int", "float", "log", "step", "when"]
        if not isinstance(data, Mapping):
            raise ValueError(
                f"expected one of {{choice: …}}, {{int: …}}, {{float: …}}; got {data!r}"
            )
        for key in data:
            if key not in known:
                raise ValueError(f"unknown key '{key}'; {nearest(str(key), known)}")
        return data

    @model_validator(mode="after")
    def _check(self) -> "Distribution":
        tags = [t for t in (self.choice, self.int_range, self.float_range) if t is not None]
        if len(tags) != 1:
            raise ValueError("give exactly one of choice, int and float")
        if self.choice is not None:
            _check_choice(self.choice)
            if self.log or self.step:
                raise ValueError("log and step are for int and float, not for choice")
        else:
            self._check_range()
        return self

    def _check_range(self) -> None:
        low, high = self.bounds
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(f"bounds must be finite, got [{low}, {high}]")
        if low > high:
            raise ValueError(f"low <= high must hold, got [{low}, {high}]")
        if self.log and (low <= 0 or self.step):
            raise ValueError(
                f"log needs low > 0 and no step, got [{low}, {high}], step={self.step}"
            )
        width, law = (high / low, "high / low") if self.log else (high - low, "high - low")
        if not math.isfinite(width):
            raise ValueError(f"{law} must be finite, got [{low}, {high}]; take a narrower range")
        if self.step is not None and self.step > width:
            raise ValueError(
                f"step <= high - low must hold, got step={self.step:g} for [{low}, {high}]"
            )
        if self.is_int and self.step is not None and not float(self.step).is_integer():
            raise ValueError(f"step of an int range must be whole, got {self.step:g}")

    @property
    def bounds(self) -> tuple[float, float]:
        """The inclusive range of an int or float distribution."""
        bounds = self.int_range or self.float_range
        assert bounds is not None
        return bounds

    @property
    def is_int(self) -> bool:
        return self.int_range is not None

    def contains(self, value: Any) -> bool:
        """Whether the distribution can produce `value` (steps are not checked)."""
        if self.choice is not None:
            return value in self.choice
        low, high = self.bounds
        return isinstance(value, int | float) and low <= value <= high


def _check_choice(values: tuple[Any, ...]) -> None:
    if not values:
        raise ValueError("choice has no values; list at least one")
    for index, value in enumerate(values):
        twin = next((other for other in values[:index] if other == value), None)
        if twin is not None and repr(twin) == repr(value):
            raise ValueError(f"choice has {value!r} twice; remove one")
        if twin is not None:
            raise ValueError(f"choice has {twin!r} and {value!r}, which count as one value")
