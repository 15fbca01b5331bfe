"""A run's figures, as matplotlib figures.

Colours are Okabe and Ito's, which colour-blind readers can tell apart.
"""

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from raytl.predictions import Predictions
from raytl.reporting.pareto import has_objective
from raytl.reporting.report.class_figures import most_confused
from raytl.scoring.metrics import METRICS
from raytl.scoring.wording import named
from raytl.sweeping.search.objective import figure as objective_text

MOST_POINTS = 1000  # of a scatter plot: each is written into the report

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#9A9A9A"
CONTROL_COLOURS = {
    "scratch": ORANGE, "source_only": GREEN, "linear_probe": "#CC79A7", "target_only": "#D55E00",
    "constant": "#56B4E9", "naive": "#F0E442", "seasonal_naive": "#8B5A2B",
}  # fmt: skip
BLACK = "#000000"  # of other controls: columns alone, further probes
DASHES = ("--", ":", "-.", (0, (6, 2, 1, 2, 1, 2)))  # which tell those apart, in turn


def _colour_of(control: str | None) -> str:
    """Return a candidate's colour: its control's, or that of searched trials."""
    return BLUE if control is None else CONTROL_COLOURS.get(control, BLACK)


def _dashes_of(controls: Sequence[str]) -> dict[str, Any]:
    """Return each control's line style: those without a colour of their own differ in this."""
    black = [control for control in controls if control not in CONTROL_COLOURS]
    own = {control: DASHES[i % len(DASHES)] for i, control in enumerate(black)}
    return dict.fromkeys(controls, DASHES[0]) | own


class Drawn(Figure):
    """A figure that a notebook shows, also where pyplot, which would see to it, is not loaded."""

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", bbox_inches="tight")
        return buffer.getvalue()


def _plain(name: str) -> str:
    """Return a name from outside as text, of which matplotlib makes no formula."""
    return name.replace("$", r"\$")


def _axes(width: float, height: float) -> tuple[Figure, Any]:
    figure = Drawn(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def confirmed_figure(confirmation: dict[str, Any]) -> Figure:
    """Test score of each candidate: mean, standard error, and every seed as a dot."""
    metric = METRICS[confirmation["metric"]]
    scale = metric.scale
    candidates = [c for c in confirmation["candidates"] if c["mean"] is not None][::-1]
    figure, axes = _axes(7, 0.5 * len(candidates) + 0.9)
    for y, candidate in enumerate(candidates):
        colour = _colour_of(candidate["control"])
        seeds = [scale * r["score"] for r in candidate["runs"] if r["score"] is not None]
        axes.plot(seeds, [y] * len(seeds), "o", color=colour, alpha=0.35, markersize=5)
        axes.errorbar(
            scale * candidate["mean"], y, xerr=scale * (candidate["standard_error"] or 0), fmt="D",
            color=colour, capsize=4, markersize=6,
        )  # fmt: skip
    names = [_plain(c["name"]) + (" (selected)" if c["selected"] else "") for c in candidates]
    axes.set_yticks(range(len(candidates)), names)
    axes.set_ylim(-0.6, len(candidates) - 0.4)
    unit = "%" if metric.unit == "points" else metric.unit or "in the target's unit"
    axes.set_xlabel(f"test {named(metric)}, {unit}: mean ± standard error; dots are seeds")
    return figure


def confusion_figure(confusion: list[list[int]], classes: list[str]) -> Figure:
    """Rows are true classes, columns predicted; shares of each row. Of many classes those that are
    mistaken most."""
    counts_KK, classes = most_confused(np.array(confusion), classes)
    confusion = counts_KK.tolist()
    figure, axes = _axes(*(2 * [max(3.2, min(8, 0.45 * len(classes) + 1.5))]))
    shares = [[cell / max(1, sum(row)) for cell in row] for row in confusion]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    if len(classes) <= 20:
        names = [_plain(name) for name in classes]
        axes.set_xticks(range(len(names)), names, rotation=45 if len(names) > 10 else 0)
        axes.set_yticks(range(len(names)), names)
        for i, row in enumerate(confusion):
            for j, cell in enumerate(row):
                if cell:
                    colour = "white" if shares[i][j] > 0.5 else "#333333"
                    axes.text(j, i, str(cell), ha="center", va="center", color=colour, fontsize=7)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    return figure


def predicted_figure(runs: Sequence[Predictions]) -> Figure:
    """Predicted against true values of test rows, MOST_POINTS of them at most, of every seed; on
    the line both are the same."""
    figure, axes = _axes(4.2, 4.2)
    shown = max(1, MOST_POINTS // len(runs))
    for run in runs:
        axes.plot(
            run.target_N[:shown],
            run.given("values")[:shown],
            "o",
            color=BLUE,
            alpha=0.3,
            markersize=3,
        )
    bounds = [*axes.get_xlim(), *axes.get_ylim()]
    ends = [min(bounds), max(bounds)]
    axes.plot(ends, ends, color=GREY, lw=1, zorder=0)
    axes.set_xlabel("true value")
    axes.set_ylabel("predicted value")
    return figure


def heat_map_figure(rows: list[dict[str, Any]], objective: dict[str, str]) -> Figure | None:
    """Best objective of each source model × frozen blocks, with the number of trials."""
    cells: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if has_objective(row) and row["control"] is None:
            depth = row["config"].get("frozen_blocks", row["config"]["frozen_depth"])
            cells.setdefault((row["config"]["source_model"], str(depth)), []).append(
                row["objective"]
            )
    if not cells:
        return None
    models = sorted({model for model, _ in cells})
    depths = sorted({depth for _, depth in cells}, key=_depth_order)
    best: Callable[[list[float]], float] = max if objective["mode"] == "max" else min
    grid = [[best(cells.get((m, d), [float("nan")])) for d in depths] for m in models]
    figure, axes = _axes(1.1 * len(depths) + 2.5, 0.6 * len(models) + 1.2)
    colours = "cividis" if objective["mode"] == "max" else "cividis_r"
    image = axes.imshow(grid, cmap=colours, aspect="auto")
    for i, model in enumerate(models):
        for j, depth in enumerate(depths):
            values = cells.get((model, depth))
            if values:
                said = f"{objective_text(best(values))}\n{len(values)} tried"
                axes.text(
                    j, i, said, ha="center", va="center",
                    fontsize=8, bbox={"facecolor": "white", "alpha": 0.75, "lw": 0, "pad": 1.5},
                    color="#222222",
                )  # fmt: skip
    axes.set_xticks(range(len(depths)), depths)
    axes.set_yticks(range(len(models)), [_plain(model) for model in models])
    axes.set_xlabel("frozen blocks")
    figure.colorbar(image, label=objective["label"])
    return figure


def _depth_order(depth: str) -> float:
    return float(depth.rstrip("%"))


def curves_figure(
    histories: list[tuple[dict[str, Any], list[float]]], objective: dict[str, str]
) -> Figure | None:
    """The objective by epoch: the best five trials and controls in colour, the rest grey."""
    if not any(values for _, values in histories):
        return None
    figure, axes = _axes(7, 3.4)
    shown = 0
    dashes = _dashes_of(sorted({row["control"] for row, _ in histories if row["control"]}))
    for row, values in sorted(histories, key=lambda item: item[0]["rank"] or 10**6):
        epochs = range(1, len(values) + 1)
        control = row["control"]
        if control is not None:
            axes.plot(epochs, values, ls=dashes[control], color=_colour_of(control), lw=1.4)
        elif shown < 5:
            axes.plot(
                epochs, values, color=BLUE, alpha=1 - 0.15 * shown, label=f"trial {row['trial']}"
            )
            shown += 1
        else:
            axes.plot(epochs, values, color=GREY, alpha=0.4, lw=0.8, zorder=0)
    for control, style in dashes.items():
        axes.plot([], [], ls=style, color=_colour_of(control), label=f"{_plain(control)} control")
    axes.set_xlabel("epoch")
    axes.set_ylabel(objective["label"])
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def seconds_figure(
    rows: list[dict[str, Any]], front: list[dict[str, Any]], objective: dict[str, str]
) -> Figure | None:
    """The objective against the seconds of each completed trial; the Pareto front in colour."""
    done = [row for row in rows if row["status"] == "completed" and has_objective(row)]
    if not done:
        return None
    figure, axes = _axes(7, 3.4)
    best = {row["trial"] for row in front}
    for colour, label, shown in (
        (GREY, "other trials", [row for row in done if row["trial"] not in best]),
        (BLUE, "Pareto front", front),
    ):
        seconds = [row["seconds"] for row in shown]
        axes.plot(seconds, [row["objective"] for row in shown], "o", color=colour, label=label)
    axes.set_xscale("log")
    axes.set_xlabel("seconds of the trial")
    axes.set_ylabel(objective["label"])
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def importance_figure(importances: dict[str, float]) -> Figure:
    """Bars of importance, most important on top."""
    names = list(importances)[::-1]
    figure, axes = _axes(7, 0.4 * len(names) + 0.8)
    shares = [100 * importances[name] for name in names]
    axes.barh([_plain(name) for name in names], shares, color=BLUE)
    axes.set_xlabel("share of the objective's variance, %")
    return figure
