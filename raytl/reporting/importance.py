"""What mattered: how much of the objective's variance each searched key explains."""

import math
import warnings
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution

LEAST_TRIALS = 8
Histories = list[tuple[dict[str, Any], list[float]]]  # leaderboard rows, objective by epoch


@dataclass(frozen=True)
class Importance:
    """Shares by key, largest first, or the reason why there are none."""

    shares: dict[str, float]
    note: str


def importance(histories: Histories, mode: str) -> Importance:
    """Return fANOVA's importances (Hutter et al. 2014) of the keys that every trial searched.

    `histories` are the rows with their objective by epoch. Early stopping must not mix up budgets:
    all trials are compared after the same epoch, the latest that `LEAST_TRIALS` of them and at
    least half reached. Keys that are active in some trials only are left out and named.
    """
    searched = [(row, values) for row, values in histories if row["control"] is None and values]
    enough = max(LEAST_TRIALS, len(searched) // 2)
    if len(searched) < enough:
        return Importance(
            {}, f"{len(searched)} trials are too few to tell; {LEAST_TRIALS} are needed"
        )
    epoch = sorted((len(values) for _, values in searched), reverse=True)[enough - 1]
    reached = [(row, values[epoch - 1]) for row, values in searched if len(values) >= epoch]
    reached = [(row, value) for row, value in reached if math.isfinite(value)]
    done = [row for row, _ in reached]
    every = {key for row in done for key in row["searched"]}
    shared = sorted(key for key in every if all(key in row["searched"] for row in done))
    varied = [key for key in shared if len({str(row["config"][key]) for row in done}) > 1]
    if not varied or len({value for _, value in reached}) < 2:
        return Importance({}, "the trials do not differ enough to tell")
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it would tell of every study it makes
    study = optuna.create_study(direction="maximize" if mode == "max" else "minimize")
    distributions = {key: _distribution([row["config"][key] for row in done]) for key in varied}
    for row, value in reached:
        params = {key: row["config"][key] for key in varied}
        study.add_trial(
            optuna.trial.create_trial(params=params, distributions=distributions, value=value)
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    left_out = sorted(every - set(varied))
    note = f"fANOVA over {len(done)} trials, by their objective after epoch {epoch}"
    if left_out:
        note += f"; not in every trial, or never varied: {', '.join(left_out)}"
    return Importance(dict(shares), note)


def _distribution(values: list[Any]) -> optuna.distributions.BaseDistribution:
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        low, high = float(min(values)), float(max(values))
        return FloatDistribution(low, high, log=low > 0 and high / low > 10)
    return CategoricalDistribution(sorted(set(values), key=str))
