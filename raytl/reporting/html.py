"""`report.html`: one file that opens offline."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from raytl.config import TASK_FACTS, AugmentConfig, TaskName
from raytl.config.task_facts import task_of_metric
from raytl.files import write_atomically
from raytl.predictions import Predictions
from raytl.reporting.importance import Importance, importance
from raytl.reporting.pareto import pareto_front
from raytl.reporting.pictures import embedded, legend
from raytl.reporting.report import class_figures, transfer_figures, trial_figures, verdict_figures
from raytl.reporting.report.reading import RunFiles
from raytl.reporting.report.rendering import render
from raytl.reporting.report.row_cards import Cards, cards_of
from raytl.reporting.report.wording import Wording
from raytl.scoring.agreement import agreement
from raytl.scoring.metrics import METRICS, Metric
from raytl.scoring.regression import absolute_error_quantiles
from raytl.sweeping.leaderboard import Leaderboard
from raytl.sweeping.verdict.confirmed import Candidate

# Of tasks of which not every metric is shown beside the study's
SHOWN_SCORES: dict[TaskName, tuple[str, ...]] = {
    "classification": ("accuracy", "macro_f1", "auc", "calibration_error")
}
# Settings that have a column of the leaderboard whether they were searched or not
COLUMNS = ("recipe", "source model", "frozen", "mapper", "λ", "lr")
IN_COLUMNS = {
    "recipe", "source_model", "frozen_depth", "mapper", "adversarial_lambda", "alignment_lambda",
    "optimizer.lr",
}  # fmt: skip
MOST_POINTS = 1000  # of predicted against true values
Rows = list[dict[str, Any]]


def write_report(run: Path, notes: Sequence[str] = ()) -> Path:
    """Write the report of a run folder, complete or not; return its path.

    `notes`: sentences that it says besides. What is missing or broken in the folder is said in the
    report. Raises CorruptError where
    leaderboard.json is not as `raytl sweep` writes it.
    """
    found = RunFiles(run)
    board = found.board.model_dump(mode="python")
    rows, wording = board["trials"], Wording(METRICS[found.board.metric])
    mattered = importance([(row, row["curve"]) for row in rows], board["objective"]["mode"])
    front = pareto_front(rows, board["objective"]["mode"])
    cards = _cards(found)
    figures = _of_trials(found, rows, front, mattered) | _of_answers(found, wording)
    values = {
        "board": board, "figures": figures, "cards": cards, "wording": wording, "front": front,
        "mattered": mattered, "oracle": found.board.oracle, "unconfirmed": found.board.unconfirmed,
        "ranking": _ranking(found.ranking, found.board), "study_text": found.study_text,
        "environment": found.environment, "augment": _augmentation(found.study_text),
        "metric_reason": found.environment.metric_reason if found.environment else None,
        "transferred": found.transferred, "stages": transfer_figures.STAGES,
        "control_name": found.telling.control if found.telling else "",
        "row_words": found.telling.words if found.telling else "",
        "plain": METRICS[found.board.metric].reads in ("classes", "probabilities"),
        "looked_at": found.telling.looked_at if found.telling else 0,
        "has_previews": any(card.previews for kind in cards for card in kind.cards),
        **_of_board(rows, board["objective"]["name"]), **_of_verdict(found),
    }  # fmt: skip
    several = {one.column for one in found.transferred.looked} if found.transferred else set()
    values |= {
        "several_columns": len(several) > 1,
        "notes": list(dict.fromkeys([*notes, *found.notes])),
    }
    controls = list(dict.fromkeys(row["control"] for row in rows if row["control"]))
    text = render("report.html.j2", values, {"figures": figures, "controls": controls})
    write_atomically(run / "report.html", text)
    return run / "report.html"


def _of_trials(found: RunFiles, rows: Rows, front: Rows, mattered: Importance) -> dict[str, Any]:
    objective = found.board.objective
    return {
        "parallel": trial_figures.parallel_figure(rows, objective),
        "heat": trial_figures.heat_figure(rows, objective),
        "cost": trial_figures.cost_figure(rows, front, objective),
        "curves": trial_figures.curves_figure(rows, objective, found.study),
        "importance": trial_figures.importance_figure(mattered.shares) if mattered.shares else None,
    }


def _of_answers(found: RunFiles, wording: Wording) -> dict[str, Any]:
    """Return the figures of the confirmation, and of what was transferred."""
    confirmation, transferred = found.confirmation, found.transferred
    figures: dict[str, Any] = dict.fromkeys(
        ("intervals", "means", "classes", "confusion", "agreement", "change")
    )
    if transferred is not None:
        figures["change"] = transfer_figures.change_figure(transferred)
        for gap in transferred.gaps:
            figures[f"map {gap.stage}"] = transfer_figures.map_figure(gap)
    if confirmation is None:
        return figures
    figures["intervals"] = verdict_figures.intervals_figure(confirmation, wording)
    figures["means"] = verdict_figures.means_figure(confirmation, wording)
    figures["classes"] = class_figures.class_figure(confirmation, found.predictions)
    selected = confirmation.selected
    if selected is not None:
        figures["confusion"] = class_figures.confusion_figure(selected, confirmation.classes)
        runs = _values(found, selected)
        if runs:
            figures["agreement"] = class_figures.agreement_figure(runs, MOST_POINTS)
    return figures


def _of_board(rows: Rows, objective: str) -> dict[str, Any]:
    """Return the leaderboard's columns."""
    prefixes = ("target/", "source/", "oracle/")
    metrics = sorted({key for row in rows for key in row["metrics"] if key.startswith(prefixes)})
    ranked = any(row["mean_rank"] for row in rows)
    searched = sorted({key for row in rows for key in row["searched"]} - IN_COLUMNS)
    columns = ["#", "trial", *COLUMNS, *searched, "objective"]
    columns += ["mean rank of validators"] if ranked else []
    columns += [name for name in metrics if name != objective]
    return {
        "columns": [*columns, "trainable", "epochs", "seconds", "status"],
        "metrics": metrics, "searched": searched, "ranked_by_validators": ranked,
    }  # fmt: skip


def _of_verdict(found: RunFiles) -> dict[str, Any]:
    """Return what the page says of the confirmation."""
    confirmation = found.confirmation
    selected = confirmation.selected if confirmation else None
    comparisons = confirmation.comparisons if confirmation else []
    drawn = bool(selected and found.predictions(selected))
    runs = _values(found, selected) if selected else []
    return {
        "confirmation": confirmation, "selected": selected,
        "shown": _shown_scores(METRICS[found.board.metric], selected),
        "open": verdict_figures.undecided(confirmation) if confirmation else [],
        "looks": max((c.difference.looks for c in comparisons), default=1),
        "legend": legend(confirmation),
        "pictures": embedded(confirmation, found.run) if drawn else [],
        "quantiles": _quantiles(runs) if runs else {},
    }  # fmt: skip


def _cards(found: RunFiles) -> list[Cards]:
    confirmation, telling = found.confirmation, found.telling
    if confirmation is None or confirmation.selected is None or telling is None:
        return []
    ours = confirmation.selected.name
    return cards_of(telling, found.previews, confirmation.metric, ours)


def _shown_scores(metric: Metric, selected: Candidate | None) -> list[str]:
    """Return the names of the metrics that the table has beside the study's."""
    task = task_of_metric(metric.name)
    wanted = SHOWN_SCORES.get(task, TASK_FACTS[task].metrics)
    known = selected.metrics if selected else {}
    return [name for name in wanted if name != metric.name and name in known]


def _values(found: RunFiles, selected: Candidate) -> list[Predictions]:
    """Return the selected candidate's predictions, where they are values."""
    if METRICS[found.board.metric].reads != "values" or not selected.n:
        return []
    return found.predictions(selected)


def _quantiles(runs: Sequence[Predictions]) -> dict[int, float]:
    target_N, value_N = (
        np.concatenate([getattr(run, name) for run in runs]) for name in ("target_N", "predicted_N")
    )
    return absolute_error_quantiles(target_N, value_N)


def _ranking(scored: Rows, board: Leaderboard) -> dict[str, Any] | None:
    """Return the source models' scores before training beside what their best trials reached."""
    if not scored:
        return None
    sign = 1 if board.objective["mode"] == "max" else -1
    realised: dict[str, float] = {}
    for row in board.trials:
        if row.status == "completed" and not row.control and row.objective is not None:
            name, value = row.config["source_model"], sign * row.objective
            realised[name] = max(value, realised.get(name, value))
    return {
        "scored": scored,
        "realised": {name: sign * value for name, value in realised.items()},
        "agreement": agreement(scored, realised),
    }


def _augmentation(study_text: str) -> AugmentConfig | None:
    try:
        study = yaml.safe_load(study_text)
        train: Mapping[str, Any] = study.get("train", {}) if isinstance(study, dict) else {}
        return AugmentConfig.model_validate(train.get("augment", {}))
    except (yaml.YAMLError, ValueError, AttributeError):
        return None
