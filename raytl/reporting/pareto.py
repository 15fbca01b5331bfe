"""The trials that no other trial beats at accuracy, seconds and trainable parameters at once."""

import math
from collections.abc import Mapping
from typing import Any


def pareto_front(rows: list[dict[str, Any]], mode: str) -> list[dict[str, Any]]:
    """Return the completed rows that no other dominates, the best objective first.

    A row dominates another where it is at least as good in the objective, the seconds and the
    number of trainable parameters, and better in one of them.
    """
    done = [row for row in rows if row["status"] == "completed" and has_objective(row)]
    sign = -1 if mode == "max" else 1

    def costs(row: dict[str, Any]) -> tuple[float, float, int]:
        return sign * row["objective"], row["seconds"], row["trainable_parameters"] or 0

    def dominated(row: dict[str, Any]) -> bool:
        ours = costs(row)
        return any(
            theirs != ours and all(a <= b for a, b in zip(theirs, ours, strict=True))
            for theirs in map(costs, done)
        )

    return sorted((row for row in done if not dominated(row)), key=costs)


def has_objective(row: Mapping[str, Any]) -> bool:
    """Whether a trial's objective is a number."""
    return row["objective"] is not None and math.isfinite(row["objective"])
