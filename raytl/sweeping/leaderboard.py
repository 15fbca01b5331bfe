"""The leaderboard: every trial of the search, ranked by the study's objective."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from ray.tune import Callback
from ray.tune.experiment import Trial

from raytl.config import Study
from raytl.files import write_atomically
from raytl.scoring.ensemble import mean_ranks
from raytl.sweeping.objective import ObjectiveMetric, objective_metric
from raytl.sweeping.selection import trial_name

Status = Literal["completed", "stopped early", "failed", "unfinished"]


class Row(BaseModel):
    """One trial. `objective` is the last epoch's value: nobody picks the luckiest epoch.
    `mean_rank`: over all validators, among the completed trials; 1 is best."""

    model_config = ConfigDict(frozen=True)

    trial: str
    rank: int | None = None
    control: str | None
    status: Status
    objective: float | None
    mean_rank: float | None = None
    epochs: int
    seconds: float
    config: dict[str, Any]
    searched: list[str]
    metrics: dict[str, Any]
    trainable_parameters: int | None
    error: str | None
    log: str | None
    folder: str


class Oracle(BaseModel):
    """What target labels, which no trial may see, would have chosen among the searched trials.

    Accuracies on the target's validation rows; `gap` is what the honest choice misses, ≥ 0.
    """

    model_config = ConfigDict(frozen=True)

    trial: str
    accuracy: float
    chosen: str
    chosen_accuracy: float

    @property
    def gap(self) -> float:
        return self.accuracy - self.chosen_accuracy

    @property
    def sentence(self) -> str:
        """The oracle beside the honest choice, in words."""
        return (
            f"oracle (target labels that no trial saw): trial {self.trial} with "
            f"{100 * self.accuracy:.1f} %; chosen without labels: trial {self.chosen} with "
            f"{100 * self.chosen_accuracy:.1f} %, a gap of {100 * self.gap:.1f} points"
        )


class Leaderboard(BaseModel):
    """The content of leaderboard.json."""

    model_config = ConfigDict(frozen=True)

    study: str
    objective: dict[str, str]
    labels: str | int
    state: Literal["complete", "stopped"]
    seconds: float
    oracle: Oracle | None
    trials: list[Row]

    @property
    def has_result(self) -> bool:
        """Whether a searched trial ran its whole budget."""
        return any(r.control is None and r.status == "completed" for r in self.trials)


def build_leaderboard(
    study: Study, trials: Sequence[Trial], run: Path, expected: int
) -> Leaderboard:
    """Rank the trials of the search; `expected` is how many a finished search has."""
    objective = objective_metric(study)
    searched = [trial for trial in trials if trial.config["phase"] == "search"]
    rows = _rank([_row(trial, study, objective, run) for trial in searched], objective)
    expected = max(expected, *(trial.config["count"] for trial in searched), 0)
    finished = len(rows) >= expected and all(row.status != "unfinished" for row in rows)
    return Leaderboard(
        study=study.study,
        objective={"name": objective.name, "mode": objective.mode, "label": objective.label},
        labels=study.target_domain.labels,
        state="complete" if finished else "stopped",
        seconds=sum(row.seconds for row in rows),
        oracle=_oracle(rows),
        trials=rows,
    )


def _rank(rows: list[Row], objective: ObjectiveMetric) -> list[Row]:
    order = {"completed": 0, "stopped early": 1, "unfinished": 2, "failed": 3}
    rows = _with_mean_ranks(rows)
    sign = -1 if objective.mode == "max" else 1

    def key(row: Row) -> tuple[int, float, str]:
        value = float("inf") if row.objective is None else sign * row.objective
        return order[row.status], value, row.trial

    ranked = [row for row in rows if row.status in ("completed", "stopped early")]
    rest = [row for row in rows if row.status not in ("completed", "stopped early")]
    numbered = [
        row.model_copy(update={"rank": rank}) for rank, row in enumerate(sorted(ranked, key=key), 1)
    ]
    return numbered + sorted(rest, key=key)


def _with_mean_ranks(rows: list[Row]) -> list[Row]:
    scores = {row.trial: _validators(row) for row in rows if row.status == "completed"}
    scores = {trial: score for trial, score in scores.items() if score}
    mean_rank = dict(zip(scores, mean_ranks(list(scores.values())), strict=True))
    return [row.model_copy(update={"mean_rank": mean_rank.get(row.trial)}) for row in rows]


def _validators(row: Row) -> dict[str, float]:
    return {k: v for k, v in row.metrics.items() if k.startswith("target/validator/")}


def _oracle(rows: list[Row]) -> Oracle | None:
    """`rows` are ranked. None where target labels are the objective, or nothing was searched."""
    name = "oracle/target_validation_accuracy"
    known = [r for r in rows if r.status == "completed" and not r.control and name in r.metrics]
    if not known:
        return None
    best = max(known, key=lambda row: row.metrics[name])
    return Oracle(
        trial=best.trial,
        accuracy=best.metrics[name],
        chosen=known[0].trial,
        chosen_accuracy=known[0].metrics[name],
    )


def _row(trial: Trial, study: Study, objective: ObjectiveMetric, run: Path) -> Row:
    result = trial.last_result or {}
    epochs = int(result.get("training_iteration", 0))
    status: Status = "unfinished"
    if trial.status == Trial.ERROR:
        status = "failed"
    elif trial.status == Trial.TERMINATED and epochs:
        status = "completed" if epochs >= study.train.epochs else "stopped early"
    config = dict(trial.config["trial"])
    if "frozen_blocks" in result:
        config["frozen_blocks"] = result["frozen_blocks"]
    folder = Path(str(trial.path)).name
    error_file = run / folder / "error.txt"
    return Row(
        trial=trial_name(trial.config["number"]),
        control=trial.config["control"],
        status=status,
        objective=result.get(objective.name),
        epochs=epochs,
        seconds=float(result.get("time_total_s", 0.0)),
        config=config,
        searched=trial.config["searched"],
        metrics={k: v for k, v in result.items() if k.startswith(METRIC_PREFIXES)},
        trainable_parameters=result.get("trainable_parameters"),
        error=error_text(error_file) if status == "failed" else None,
        log=str(error_file) if error_file.exists() else None,
        folder=folder,
    )


METRIC_PREFIXES = ("train/", "target/", "source/", "oracle/")


def error_text(file: Path) -> str:
    """Return what a trial failed of: the last exception's message in Tune's error file."""
    if not file.exists():
        return "the trial's process ended without a message (out of memory, or killed)"
    lines = file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("raytl.errors.")]
    text = " ".join(lines[starts[-1] :]) if starts else lines[-1]
    return text.split(": ", 1)[-1] if starts else text


def save_leaderboard(leaderboard: Leaderboard, run: Path) -> None:
    """Write leaderboard.json and leaderboard.csv."""
    data = leaderboard.model_dump(mode="json")
    write_atomically(run / "leaderboard.json", json.dumps(data, indent=1))
    keys = list(dict.fromkeys(key for row in leaderboard.trials for key in row.config))
    metrics = sorted({key for row in leaderboard.trials for key in row.metrics})
    plain = ["rank", "trial", "control", "status", "objective", "mean_rank", "epochs", "seconds"]
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow([*plain, *keys, *metrics, "error", "log"])
    for row in leaderboard.trials:
        cells = row.model_dump()
        writer.writerow(
            [cells[name] for name in plain]
            + [row.config.get(key) for key in keys]
            + [row.metrics.get(key) for key in metrics]
            + [row.error, row.log]
        )
    write_atomically(run / "leaderboard.csv", buffer.getvalue())


class LeaderboardCallback(Callback):
    """Writes the leaderboard whenever a trial has ended, so that a killed study has one too."""

    def __init__(self, study: Study, run: Path, expected: int) -> None:
        self.study, self.run, self.expected = study, run, expected
        self.written = 0

    def on_step_end(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        ended = sum(trial.is_finished() for trial in trials)
        if ended != self.written:
            save_leaderboard(
                build_leaderboard(self.study, trials, self.run, self.expected), self.run
            )
            self.written = ended
