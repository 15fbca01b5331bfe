"""Early stopping of searched trials; controls and confirmation always run their whole budget."""

from typing import Any

from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    TrialScheduler,
)

from raytl.config import Study


def build_scheduler(study: Study, metric: str, mode: str) -> TrialScheduler:
    """Return Tune's scheduler for the study. Rungs count epochs."""
    epochs = study.train.epochs
    grace = max(1, epochs // 4)
    if study.search.scheduler == "asha" and epochs > grace:
        return _SparingAsha(
            metric=metric, mode=mode, max_t=epochs, grace_period=grace, reduction_factor=3
        )
    if study.search.scheduler == "median":
        return _SparingMedian(
            metric=metric, mode=mode, grace_period=grace, min_samples_required=4,
            time_attr="training_iteration",
        )  # fmt: skip
    return FIFOScheduler()


def _is_spared(trial: Any) -> bool:
    return trial.config["control"] is not None or trial.config["phase"] == "confirm"


class _SparingAsha(AsyncHyperBandScheduler):
    """ASHA (Li et al. 2020) that leaves controls and confirmation out of its rungs."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict) -> str:
        if _is_spared(trial):
            return TrialScheduler.CONTINUE
        return str(super().on_trial_result(tune_controller, trial, result))

    def on_trial_complete(self, tune_controller: Any, trial: Any, result: dict) -> None:
        if not _is_spared(trial):
            super().on_trial_complete(tune_controller, trial, result)


class _SparingMedian(MedianStoppingRule):
    """The median rule (Golovin et al. 2017) that stops no control and no confirmation."""

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict) -> str:
        if _is_spared(trial):
            return TrialScheduler.CONTINUE
        return str(super().on_trial_result(tune_controller, trial, result))
