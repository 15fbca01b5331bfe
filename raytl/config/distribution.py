"""One searched key of the space."""

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
            if not self.choice:
                raise ValueError("choice has no values; list at least one")
            if self.log or self.step:
                raise ValueError("log and step are for int and float, not for choice")
            return self
        low, high = self.bounds
        if low > high:
            raise ValueError(f"low <= high must hold, got [{low}, {high}]")
        if self.log and (low <= 0 or self.step):
            raise ValueError(
                f"log needs low > 0 and no step, got [{low}, {high}], step={self.step}"
            )
        return self

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
