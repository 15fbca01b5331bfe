"""`report.html`: one file that opens offline."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from matplotlib.figure import Figure

from raytl.config import TASK_FACTS, AugmentConfig, TaskName
from raytl.config.task_facts import task_of_metric
from raytl.files import write_atomically
from raytl.predictions import Predictions
from raytl.reporting import plots
from raytl.reporting.importance import Histories, importance
from raytl.reporting.pareto import pareto_front
from raytl.reporting.pictures import embedded, legend
from raytl.scoring.agreement import agreement
from raytl.scoring.metrics import METRICS, Metric
from raytl.scoring.regression import absolute_error_quantiles
from raytl.scoring.wording import named, number, score_text, unit_of
from raytl.sweeping.leaderboard import Oracle
from raytl.sweeping.search.objective import figure
from raytl.sweeping.verdict.confirmed import Confirmation, load_confirmation

# Of tasks of which not every metric is shown beside the study's
SHOWN_SCORES: dict[TaskName, tuple[str, ...]] = {
    "classification": ("accuracy", "macro_f1", "auc", "calibration_error")
}
OTHER_WORDS = {"calibration_error": "calibration error"}


def write_report(run: Path) -> Path:
    """Write the report of a run folder, complete or not; return its path."""
    board = _read(run / "leaderboard.json")
    known = load_confirmation(run) if (run / "confirmation.json").exists() else None
    confirmation = None if known is None else known.model_dump(mode="json")
    metric = METRICS[board.get("metric", "accuracy")]
    values = None if known is None else _values(known, run)
    environment = Environment(
        loader=PackageLoader("raytl.reporting", "."),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
    )
    environment.filters["figure"] = figure
    environment_facts = _read(run / "environment.json")
    study_text = (run / "study.yaml").read_text(encoding="utf-8")
    histories: Histories = [(row, row.get("curve", [])) for row in board["trials"]]
    front = pareto_front(board["trials"], board["objective"]["mode"])
    mattered = importance(histories, board["objective"]["mode"])
    selected = next((c for c in (confirmation or {}).get("candidates", []) if c["selected"]), None)
    text = environment.get_template("report.html.j2").render(
        board=board,
        confirmation=confirmation,
        selected=selected,
        wording=_wording(metric),
        shown=_shown_scores(metric, selected),
        oracle=Oracle.model_validate(board["oracle"]) if board["oracle"] else None,
        legend=legend(known),
        quantiles=values and _quantiles(values),
        looks=_looks(confirmation),
        ranking=_ranking(run, board),
        ranked_by_validators=any(row["mean_rank"] for row in board["trials"]),
        environment=environment_facts,
        metric_reason=environment_facts.get("metric_reason"),
        unconfirmed=board.get("unconfirmed"),
        augment=_augmentation(study_text),
        study_text=study_text,
        mattered=mattered,
        metrics=_shown_metrics(board["trials"]),
        front=front,
        figures={
            "confirmed": _svg(plots.confirmed_figure(confirmation) if confirmation else None),
            "importance": _svg(
                plots.importance_figure(mattered.shares) if mattered.shares else None
            ),
            "heat_map": _svg(plots.heat_map_figure(board["trials"], board["objective"])),
            "seconds": _svg(plots.seconds_figure(board["trials"], front, board["objective"])),
            "curves": _svg(plots.curves_figure(histories, board["objective"])),
            "pictures": embedded(known, run),
            "predicted": _svg(plots.predicted_figure(values) if values else None),
            "confusion": _svg(
                plots.confusion_figure(selected["confusion"], confirmation["classes"])
                if confirmation and selected and selected["confusion"]
                else None
            ),
        },
    )
    write_atomically(run / "report.html", text)
    return run / "report.html"


def _wording(metric: Metric) -> dict[str, Any]:
    """Return how the metric, its scores and their differences are written."""

    def difference(value: float, half: float) -> str:
        size, half = metric.scale * value, metric.scale * half
        return f"{'-' if size < 0 else '+'}{number(abs(size), metric, half)}"

    def spread(error: float | None, mean: float) -> str:
        if error is None:
            return "–"
        near = abs(metric.scale * mean) / 10  # as many decimals as the mean has
        return number(metric.scale * error, metric, near)

    return {
        "metric": named(metric),
        "of": {n: named(METRICS[n]) for n in METRICS} | OTHER_WORDS,
        "difference": difference,
        "difference_heading": (
            f"difference, {metric.unit}" if metric.mode == "max" else f"lower by{unit_of(metric)}"
        ),
        "unit": unit_of(metric),
        "number": lambda value: number(value, metric),
        "score": lambda value, name: _score(value, name),
        "spread": spread,
    }


def _score(value: float | None, name: str) -> str:
    if value is None:
        return "–"
    return score_text(value, METRICS[name]) if name in METRICS else f"{100 * value:.1f} %"


def _shown_scores(metric: Metric, selected: dict[str, Any] | None) -> list[str]:
    """Return the names of the metrics that the table has beside the study's."""
    task = task_of_metric(metric.name)
    wanted = SHOWN_SCORES.get(task, TASK_FACTS[task].metrics)
    known = selected["metrics"] if selected else {}
    return [name for name in wanted if name != metric.name and name in known]


def _values(confirmation: Confirmation, run: Path) -> list[Predictions] | None:
    """Return the selected candidate's predictions, where they are values."""
    selected = confirmation.selected
    if METRICS[confirmation.metric].reads != "values" or selected is None or not selected.n:
        return None
    return confirmation.predictions_of(selected, run)


def _quantiles(runs: list[Predictions]) -> dict[int, float]:
    target_N, value_N = (
        np.concatenate([getattr(run, name) for run in runs]) for name in ("target_N", "predicted_N")
    )
    return absolute_error_quantiles(target_N, value_N)


def _looks(confirmation: dict[str, Any] | None) -> int:
    comparisons = confirmation["comparisons"] if confirmation else []
    return max((c["difference"]["looks"] for c in comparisons), default=1)


def _ranking(run: Path, board: dict[str, Any]) -> dict[str, Any] | None:
    """Return the source models' scores before training beside what their best trials reached."""
    if not (run / "ranking.json").exists():
        return None
    scored = _read(run / "ranking.json")
    sign = 1 if board["objective"]["mode"] == "max" else -1
    realised: dict[str, float] = {}
    for row in board["trials"]:
        if row["status"] == "completed" and not row["control"]:
            name, value = row["config"]["source_model"], sign * row["objective"]
            realised[name] = max(value, realised.get(name, value))
    return {
        "scored": scored,
        "realised": {name: sign * value for name, value in realised.items()},
        "agreement": agreement(scored, realised),
    }


def _augmentation(study_text: str) -> AugmentConfig:
    train = yaml.safe_load(study_text).get("train", {})
    return AugmentConfig.model_validate(train.get("augment", {}))


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _svg(figure: Figure | None) -> Markup | None:
    return None if figure is None else Markup(plots.to_svg(figure))


def _shown_metrics(rows: list[dict[str, Any]]) -> list[str]:
    prefixes = ("target/", "source/", "oracle/")
    return sorted({key for row in rows for key in row["metrics"] if key.startswith(prefixes)})
