"""What mattered: how much of the objective's variance each searched key explains."""

import warnings
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution

LEAST_TRIALS = 8


@dataclass(frozen=True)
class Importance:
    """Shares by key, largest first, or the reason why there are none."""

    shares: dict[str, float]
    note: str


def importance(rows: list[dict[str, Any]], mode: str) -> Importance:
    """Return fANOVA's importances (Hutter et al. 2014) of the keys that every trial searched.

    Only completed trials count: early stopping would mix up budgets. Keys that are active in some
    trials only are left out and named.
    """
    done = [r for r in rows if r["status"] == "completed" and r["control"] is None]
    if len(done) < LEAST_TRIALS:
        return Importance(
            {}, f"{len(done)} completed trials are too few to tell; {LEAST_TRIALS} are needed"
        )
    every = {key for row in done for key in row["searched"]}
    shared = sorted(key for key in every if all(key in row["searched"] for row in done))
    varied = [key for key in shared if len({str(row["config"][key]) for row in done}) > 1]
    if not varied or len({row["objective"] for row in done}) < 2:
        return Importance({}, "the completed trials do not differ enough to tell")
    study = optuna.create_study(direction="maximize" if mode == "max" else "minimize")
    distributions = {key: _distribution([row["config"][key] for row in done]) for key in varied}
    for row in done:
        params = {key: row["config"][key] for key in varied}
        study.add_trial(
            optuna.trial.create_trial(
                params=params, distributions=distributions, value=row["objective"]
            )
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
    left_out = sorted(every - set(varied))
    note = f"fANOVA over {len(done)} completed trials"
    if left_out:
        note += f"; not in every trial, or never varied: {', '.join(left_out)}"
    return Importance(dict(shares), note)


def _distribution(values: list[Any]) -> optuna.distributions.BaseDistribution:
    if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        low, high = float(min(values)), float(max(values))
        return FloatDistribution(low, high, log=low > 0 and high / low > 10)
    return CategoricalDistribution(sorted(set(values), key=str))
