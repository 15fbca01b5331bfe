"""The figures of a run, as matplotlib's objects."""

from pathlib import Path

from matplotlib.figure import Figure

from raytl.predictions import Predictions
from raytl.reporting import plots
from raytl.reporting.importance import Histories, importance
from raytl.reporting.pareto import pareto_front
from raytl.scoring.metrics import METRICS
from raytl.sweeping.leaderboard import Leaderboard
from raytl.sweeping.verdict.confirmed import Confirmation


def figures_of(
    run: Path, leaderboard: Leaderboard, confirmation: Confirmation | None
) -> dict[str, Figure]:
    """Return the figures that a run's trials and retrainings make, by name: those alone that there
    is something to draw for."""
    objective = leaderboard.objective
    trials = leaderboard.model_dump(mode="python")["trials"]
    histories: Histories = [(row, row["curve"]) for row in trials]
    front = pareto_front(trials, objective["mode"])
    shares = importance(histories, objective["mode"]).shares
    drawn = {
        "heat_map": plots.heat_map_figure(trials, objective),
        "seconds": plots.seconds_figure(trials, front, objective),
        "curves": plots.curves_figure(histories, objective),
        "importance": plots.importance_figure(shares) if shares else None,
    }
    if confirmation is not None:
        drawn |= _confirmed(run, confirmation)
    return {name: figure for name, figure in drawn.items() if figure is not None}


def _confirmed(run: Path, confirmation: Confirmation) -> dict[str, Figure | None]:
    found: dict[str, Figure | None] = {
        "confirmed": plots.confirmed_figure(confirmation.model_dump(mode="json"))
    }
    selected = confirmation.selected
    if selected is None or not selected.n:
        return found
    if selected.confusion:
        found["confusion"] = plots.confusion_figure(selected.confusion, confirmation.classes)
    if METRICS[confirmation.metric].reads == "values":
        values: list[Predictions] = confirmation.predictions_of(selected, run)
        found["predicted"] = plots.predicted_figure(values)
    return found
