"""What was searched: parallel coordinates, source model × depth, cost, learning curves."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from raytl.config import Study
from raytl.reporting.pareto import has_objective
from raytl.sweeping.search.halving import rule_of
from raytl.sweeping.search.objective import figure

Row = Mapping[str, Any]  # of the leaderboard
Rows = Sequence[Row]
STRONG = 5  # searched trials whose curves stand out
MOST_LINES = 400  # that a figure draws
ON_TOP = "objective"


def setting(row: Row, key: str) -> Any:
    """Return a setting as it was used: of the frozen depth, the blocks."""
    config = row["config"]
    if key == "frozen_depth":
        return config.get("frozen_blocks", config.get("frozen_depth"))
    return config.get(key)


def tip_of(row: Row, *more: str) -> str:
    """Return what a person wants to know of a trial."""
    name = f"{row['control']} control ({row['trial']})" if row["control"] else row["trial"]
    said = "–" if row["objective"] is None else figure(row["objective"])
    own = [f"{key}: {_shown(setting(row, key))}" for key in row["searched"]]
    basics = [f"{key}: {_shown(setting(row, key))}" for key in ("recipe", "source_model")]
    lines = [f"trial {name}", f"objective {said}, {row['seconds']:.1f} s, {row['status']}"]
    return "\n".join(dict.fromkeys([*lines, *basics, *own, *more]))


def parallel_figure(rows: Rows, objective: Mapping[str, str]) -> dict[str, Any] | None:
    """Return an axis for each setting that varied, and a line for each searched trial with an
    objective, the objective last."""
    known = [row for row in rows if row["control"] is None and has_objective(row)][:MOST_LINES]
    every = {key for row in known for key in row["searched"]}
    # What only some trials have stands last: their lines are whole as far as possible.
    keys = sorted(every, key=lambda k: (not all(k in row["searched"] for row in known), k))
    axes = [axis for key in keys if (axis := _axis(key, [setting(r, key) for r in known]))]
    if not axes or len(known) < 2:
        return None
    values = [row["objective"] for row in known]
    return {
        "axes": [*axes, {"key": ON_TOP, "name": ON_TOP}],
        "lines": [
            {"trial": row["trial"], "objective": row["objective"], "tip": tip_of(row),
             "values": {a["key"]: _value(row, a) for a in axes} | {ON_TOP: row["objective"]}}
            for row in known
        ],
        "low": min(values), "high": max(values), "mode": objective["mode"],
        "label": f"settings and {objective['label']} of {len(known)} trials",
    }  # fmt: skip


def _axis(key: str, values: list[Any]) -> dict[str, Any] | None:
    given = [value for value in values if value is not None]
    if len({str(value) for value in given}) < 2:
        return None
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in given):
        log = min(given) > 0 and max(given) / min(given) > 10
        return {"key": key, "name": key, "log": log}
    return {"key": key, "name": key, "names": sorted({_shown(value) for value in given})}


def _value(row: Row, axis: Mapping[str, Any]) -> Any:
    value = setting(row, axis["key"]) if axis["key"] in row["searched"] else None
    return value if value is None or "names" not in axis else _shown(value)


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def heat_figure(rows: Rows, objective: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the best objective of each source model × frozen blocks of the searched trials."""
    cells: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row["control"] is None and has_objective(row):
            place = str(setting(row, "source_model")), str(setting(row, "frozen_depth"))
            cells.setdefault(place, []).append(row)
    if not cells:
        return None
    models = sorted({model for model, _ in cells})
    depths = sorted({depth for _, depth in cells}, key=_depth_order)
    pick: Callable[..., Row] = max if objective["mode"] == "max" else min
    best = {place: pick(of, key=lambda r: r["objective"]) for place, of in cells.items()}
    values = [row["objective"] for row in best.values()]
    return {
        "models": models, "depths": depths, "low": min(values), "high": max(values),
        "mode": objective["mode"], "label": f"best {objective['label']}",
        "cells": [
            {"model": models.index(m), "depth": depths.index(d), "best": row["objective"],
             "tip": f"{m}, {d} blocks frozen\n{_best_of(len(cells[m, d]))}:\n{tip_of(row)}"}
            for (m, d), row in best.items()
        ],
    }  # fmt: skip


def _best_of(trials: int) -> str:
    return "1 trial" if trials == 1 else f"{trials} trials, the best"


def _depth_order(depth: str) -> tuple[float, str]:
    try:
        return float(depth.rstrip("%")), depth
    except ValueError:
        return float("inf"), depth


def cost_figure(rows: Rows, front: Rows, objective: Mapping[str, str]) -> dict[str, Any] | None:
    """Return the objective against the seconds of each trial that ran its whole budget."""
    done = [row for row in rows if row["status"] == "completed" and has_objective(row)]
    if not done:
        return None
    best = {row["trial"] for row in front}
    return {
        "points": [
            {"x": row["seconds"], "y": row["objective"], "control": row["control"],
             "tip": tip_of(row, f"{row['trainable_parameters'] or 0:,} trained numbers")}
            for row in done
        ],
        "front": [i for i, row in enumerate(done) if row["trial"] in best],
        "names": list(dict.fromkeys(row["control"] for row in done)),
        "mode": objective["mode"],
        "xlabel": "seconds of the trial", "ylabel": objective["label"],
    }  # fmt: skip


def curves_figure(
    rows: Rows, objective: Mapping[str, str], study: Study | None
) -> dict[str, Any] | None:
    """Return the objective by epoch of each trial, the best first, and the rungs."""
    ranked = sorted((r for r in rows if r["curve"]), key=lambda row: row["rank"] or 10**6)
    if not ranked:
        return None
    strong = [row["trial"] for row in ranked if row["control"] is None][:STRONG]
    return {
        "lines": [
            {"values": row["curve"], "control": row["control"], "tip": tip_of(row),
             "strong": row["trial"] in strong}
            for row in ranked[:MOST_LINES]
        ],
        "rungs": [] if study is None else list(rule_of(study).rungs)[:12],
        "label": objective["label"], "xlabel": "epoch",
    }  # fmt: skip


def importance_figure(shares: Mapping[str, float]) -> dict[str, Any]:
    """Return the share of each setting, the largest first."""
    return {
        "rows": [
            {"name": key, "value": 100 * share, "tip": f"{key}: {100 * share:.1f} %"}
            for key, share in shares.items()
        ],
        "label": "share of the objective's variance, %", "high": 100,
    }  # fmt: skip
