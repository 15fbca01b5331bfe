"""The leaderboard: every trial of the search, ranked by the study's objective."""

import csv
import io
import json
from collections.abc import Sequence
from math import inf, isnan, nan
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, field_validator

from raytl.config import MetricName, Study
from raytl.errors import CorruptError
from raytl.files import write_atomically
from raytl.scoring.ensemble import mean_ranks
from raytl.scoring.metrics import METRICS, Mode
from raytl.scoring.wording import number, score_text, unit_of
from raytl.sweeping.kept.records import Record, Status
from raytl.sweeping.kept.trial_folder import ERROR_LOG
from raytl.sweeping.search.objective import ObjectiveMetric, objective_metric

PLAIN = ("rank", "trial", "control", "status", "objective", "mean_rank", "epochs", "seconds")
METRIC_PREFIXES = ("train/", "target/", "source/", "oracle/")


class Row(BaseModel):
    """One trial. `objective` is the last epoch's value: nobody picks the luckiest epoch; `curve`
    has it after each epoch. `mean_rank`: over all validators, among the completed trials; 1 is
    best."""

    model_config = ConfigDict(frozen=True)

    trial: str
    rank: int | None = None
    control: str | None
    status: Status
    objective: float | None
    curve: list[float] = []
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

    @property
    def trial_config(self) -> dict[str, Any]:
        """The configuration, flat, without what was counted by it."""
        return {key: value for key, value in self.config.items() if key != "frozen_blocks"}


class Oracle(BaseModel):
    """What target labels, which no trial may see, would have chosen among the searched trials.

    Scores by the study's metric on the target's validation rows; `gap` is what the honest choice
    misses, ≥ 0.
    """

    model_config = ConfigDict(frozen=True)

    metric: MetricName
    trial: str
    score: float
    chosen: str
    chosen_score: float

    @property
    def gap(self) -> float:
        return METRICS[self.metric].sign * (self.score - self.chosen_score)

    @property
    def shown(self) -> tuple[str, str]:
        """Both scores as a person reads them, the oracle's first."""
        metric = METRICS[self.metric]
        return score_text(self.score, metric), score_text(self.chosen_score, metric)

    @property
    def sentence(self) -> str:
        """The oracle beside the honest choice, in words."""
        metric, (ours, theirs) = METRICS[self.metric], self.shown
        gap = f"{number(metric.scale * self.gap, metric)}{unit_of(metric)}"
        return (
            f"oracle (target labels that no trial saw): trial {self.trial} with {ours}; chosen "
            f"without labels: trial {self.chosen} with {theirs}, a gap of {gap}"
        )


class Leaderboard(BaseModel):
    """The content of leaderboard.json. `metric`: what the study is judged by; `unconfirmed`: why a
    study that is complete has no confirmation."""

    model_config = ConfigDict(frozen=True)

    study: str
    objective: dict[str, str]
    labels: str | int
    state: Literal["complete", "stopped"]
    seconds: float
    metric: MetricName = "accuracy"
    oracle: Oracle | None
    trials: list[Row]
    unconfirmed: str | None = None

    @field_validator("objective")
    @classmethod
    def _is_whole(cls, objective: dict[str, str]) -> dict[str, str]:
        if not {"name", "label"} <= objective.keys() or objective.get("mode") not in get_args(Mode):
            raise ValueError("an objective has a name, a label, and a mode, max or min")
        return objective

    @property
    def has_result(self) -> bool:
        """Whether a searched trial ran its whole budget."""
        return self.best_searched is not None

    @property
    def best_searched(self) -> Row | None:
        """The searched trial that ranks first of those which ran their whole budget."""
        found = (r for r in self.trials if r.control is None and r.status == "completed")
        return next(found, None)


def build_leaderboard(study: Study, records: Sequence[Record], *, complete: bool) -> Leaderboard:
    """Rank the trials of the search. `complete`: whether it has run to its end."""
    objective = objective_metric(study)
    searched = [record for record in records if record.config["phase"] == "search"]
    rows = _rank([_row(record, objective) for record in searched], objective)
    return Leaderboard(
        study=study.study,
        objective={"name": objective.name, "mode": objective.mode, "label": objective.label},
        labels=study.target_domain.labels,
        state="complete" if complete else "stopped",
        seconds=sum(row.seconds for row in rows),
        metric=study.metric,
        oracle=_oracle(rows, study.metric),
        trials=rows,
    )


def _rank(rows: list[Row], objective: ObjectiveMetric) -> list[Row]:
    order = {"completed": 0, "stopped early": 1, "unfinished": 2, "failed": 3}
    rows = _with_mean_ranks(rows)
    sign = -1 if objective.mode == "max" else 1

    def key(row: Row) -> tuple[int, float, str]:
        value = nan if row.objective is None else sign * row.objective
        return order[row.status], inf if isnan(value) else value, row.trial

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


def _oracle(rows: list[Row], metric: MetricName) -> Oracle | None:
    """`rows` are ranked. None where target labels are the objective, or nothing was searched."""
    name = f"oracle/target_validation_{metric}"
    known = [r for r in rows if r.status == "completed" and not r.control and name in r.metrics]
    if not known:
        return None
    best = max(known, key=lambda row: METRICS[metric].sign * row.metrics[name])
    return Oracle(
        metric=metric,
        trial=best.trial,
        score=best.metrics[name],
        chosen=known[0].trial,
        chosen_score=known[0].metrics[name],
    )


def _row(record: Record, objective: ObjectiveMetric) -> Row:
    last, config = record.last, dict(record.config["trial"])
    if "frozen_blocks" in last:
        config["frozen_blocks"] = last["frozen_blocks"]
    return Row(
        trial=record.config["id"],
        control=record.config["control"],
        status=record.status,
        objective=last.get(objective.name),
        curve=[metrics[objective.name] for metrics in record.curve],
        epochs=len(record.curve),
        seconds=float(last.get("seconds", 0.0)),
        config=config,
        searched=record.config["searched"],
        metrics={k: v for k, v in last.items() if k.startswith(METRIC_PREFIXES)},
        trainable_parameters=last.get("trainable_parameters"),
        error=record.error,
        log=f"{record.name}/{ERROR_LOG}" if record.error else None,
        folder=record.name,
    )


def load_leaderboard(run: Path) -> Leaderboard:
    """Read leaderboard.json. Raises CorruptError where it is not as `raytl sweep` writes it."""
    file = run / "leaderboard.json"
    try:
        return Leaderboard.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, RecursionError) as error:
        raise CorruptError(
            f"{file}: not as `raytl sweep` writes it ({str(error).splitlines()[0][:100]}); "
            "copy the run again, or go on with `raytl sweep … --resume`"
        ) from None


def save_leaderboard(leaderboard: Leaderboard, run: Path) -> None:
    """Write leaderboard.json and leaderboard.csv."""
    data = leaderboard.model_dump(mode="json")
    write_atomically(run / "leaderboard.json", json.dumps(data, indent=1))
    keys = list(dict.fromkeys(key for row in leaderboard.trials for key in row.config))
    metrics = sorted({key for row in leaderboard.trials for key in row.metrics})
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow([*PLAIN, *keys, *metrics, "error", "log"])
    for row in leaderboard.trials:
        cells = row.model_dump()
        writer.writerow(
            [cells[name] for name in PLAIN]
            + [row.config.get(key) for key in keys]
            + [row.metrics.get(key) for key in metrics]
            + [row.error, row.log]
        )
    write_atomically(run / "leaderboard.csv", buffer.getvalue())
