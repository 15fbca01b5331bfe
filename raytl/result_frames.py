"""What a run holds, as DataFrames of pandas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raytl.packages import pandas
from raytl.scoring.metrics import METRICS
from raytl.sweeping.leaderboard import PLAIN, Leaderboard, Row
from raytl.sweeping.verdict.confirmed import Candidate, Confirmation

if TYPE_CHECKING:
    import pandas as pd

EPOCH = "epoch"


def leaderboard_frame(board: Leaderboard) -> pd.DataFrame:
    """Return the trials in their order with what was searched of each: what only some trials have
    (the λ of adversarial ones, say) is missing in the others."""
    ours = [set(row.searched) for row in board.trials if row.control is None]
    of_all = {"recipe", "source_model"}.union(set.intersection(*ours) if ours else ())
    keys = dict.fromkeys(["recipe", "source_model", *sorted(set().union(*ours))])
    rows = [
        _plain(row)
        | {k: row.config.get(k) if k in of_all or k in row.searched else None for k in keys}
        for row in board.trials
    ]
    return pandas().DataFrame(rows, columns=None if rows else [*PLAIN, *keys])


def trials_frame(board: Leaderboard) -> pd.DataFrame:
    """Return the trials in their order with every key of their configurations, every metric of the
    last epoch, and errors."""
    rows = [
        _plain(row)
        | row.config
        | {name: value for name, value in row.metrics.items() if _is_number(value)}
        | {"error": row.error, "folder": row.folder}
        for row in board.trials
    ]
    return pandas().DataFrame(rows, columns=None if rows else [*PLAIN, "error", "folder"])


def _plain(row: Row) -> dict[str, Any]:
    return {name: getattr(row, name) for name in PLAIN}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def confirmations_frame(confirmation: Confirmation | None) -> pd.DataFrame:
    """Return every retraining: candidate, seed, score and metrics on the test rows."""
    columns = ["candidate", "trial", "control", "selected", "seed", "score", "objective", "seconds"]
    rows = [
        {
            "candidate": of.name, "trial": of.trial, "control": of.control,
            "selected": of.selected, "seed": one.seed, "score": one.score,
            "objective": one.objective, "seconds": one.seconds,
        } | one.metrics | {"error": one.error}
        for of in (confirmation.candidates if confirmation else ())
        for one in of.runs
    ]  # fmt: skip
    return pandas().DataFrame(rows, columns=None if rows else columns)


def comparisons_frame(confirmation: Confirmation | None) -> pd.DataFrame:
    """Return every candidate against every control: difference and interval of the scores, in the
    metric's unit."""
    columns = ["candidate", "control", "difference", "low", "high", "level", "seeds", "test_rows"]
    rows = []
    for of in confirmation.comparisons if confirmation else ():
        assert confirmation is not None
        scale, found = METRICS[confirmation.metric].scale, of.difference
        ends = [scale * end for end in (found.difference, *found.interval)]
        rows.append([of.candidate, of.control, *ends, found.level, found.n, found.rows])
    return pandas().DataFrame(rows, columns=columns)


def curve_frame(curve: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return a trial's metrics, one row an epoch, which is the index, from 1."""
    module = pandas()
    rows = [
        {name: value for name, value in epoch.items() if _is_number(value) and name != EPOCH}
        for epoch in curve
    ]
    epochs = module.RangeIndex(1, len(rows) + 1, name=EPOCH)
    return module.DataFrame(rows, index=epochs)


def predictions_frame(confirmation: Confirmation, candidate: Candidate, run: Path) -> pd.DataFrame:
    """Return a candidate's predictions of the test rows that have a label, one row for each seed
    and test row: of classes their names and probabilities, of values the values; of other tasks
    what each row's score is made of."""
    module = pandas()
    seeds = [of.seed for of in candidate.runs if of.predictions is not None]
    parts = []
    for seed, said in zip(seeds, confirmation.predictions_of(candidate, run), strict=True):
        columns: dict[str, Any] = {"seed": seed, "id": said.id_N}
        names = module.array(confirmation.classes, dtype=object) if said.p_NK is not None else None
        if said.predicted_N is not None:
            pairs = {"target": said.target_N, "predicted": said.predicted_N}
            columns |= {n: of if names is None else names[of] for n, of in pairs.items()}
        if said.p_NK is not None:
            of_class = zip(confirmation.classes, said.p_NK.T, strict=True)
            columns |= {f"p({name})": p_N for name, p_N in of_class}
        if said.statistics_NM is not None:
            columns |= {f"statistic {m}": of for m, of in enumerate(said.statistics_NM.T)}
        if said.group_N is not None:
            columns["group"] = said.group_N
        parts.append(module.DataFrame(columns))
    return module.concat(parts, ignore_index=True) if parts else module.DataFrame()
