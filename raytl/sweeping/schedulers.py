"""Early stopping: searched trials are compared with each other, the tries of a control with each
other, and never one kind with the other; confirmation always runs its whole budget."""

import math
from itertools import count, takewhile
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    TrialScheduler,
)

from raytl.config import Study, TrialConfig
from raytl.recipes import RECIPES

CLOSE = 0.05  # of the objective: a control's try so little behind is no straw man
REDUCTION = 3  # of ASHA: a rung has so many times the epochs of the one before


def build_scheduler(study: Study, metric: str, mode: str) -> TrialScheduler:
    """Return Tune's scheduler for the study. Rungs count epochs."""
    return (
        FIFOScheduler() if study.search.scheduler == "none" else StudyScheduler(study, metric, mode)
    )


class StudyScheduler(FIFOScheduler):
    """Asks the study's scheduler of searched trials, or the rungs of a control's tries."""

    def __init__(self, study: Study, metric: str, mode: str) -> None:
        super().__init__()
        self._metric = metric
        self._sign = 1.0 if mode == "max" else -1.0
        self._epochs = study.train.epochs
        self._searched = _of_searched(study, metric, mode)
        self._controls = ControlRungs(self._epochs, study.search.control_tries)

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        if _is_searched(trial):
            self._searched.on_trial_add(tune_controller, trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict) -> str:
        epoch = result["training_iteration"]
        if _is_try(trial):
            value = self._sign * result[str(self._metric)]
            stays = self._controls.stays(trial.config["control"], trial.trial_id, epoch, value)
            return TrialScheduler.CONTINUE if stays else TrialScheduler.STOP
        if not _is_searched(trial) or epoch / self._epochs <= _judged_after(trial):
            return TrialScheduler.CONTINUE
        return str(self._searched.on_trial_result(tune_controller, trial, result))

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict) -> None:
        if _is_searched(trial):
            self._searched.on_trial_complete(tune_controller, trial, result)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        if _is_searched(trial):
            self._searched.on_trial_error(tune_controller, trial)
        elif _is_try(trial):
            self._controls.failed(trial.config["control"])

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        if _is_searched(trial):
            self._searched.on_trial_remove(tune_controller, trial)


def _is_searched(trial: Trial) -> bool:
    return trial.config["phase"] == "search" and trial.config["control"] is None


def _is_try(trial: Trial) -> bool:
    return trial.config["phase"] == "search" and trial.config["control"] is not None


def _judged_after(trial: Trial) -> float:
    config = TrialConfig.from_flat(trial.config["trial"])
    return RECIPES[config.recipe].judged_after(config)


def _of_searched(study: Study, metric: str, mode: str) -> TrialScheduler:
    epochs = study.train.epochs
    grace = max(1, epochs // 4)
    if study.search.scheduler == "median":
        return MedianStoppingRule(
            metric=metric, mode=mode, grace_period=grace, min_samples_required=4,
            time_attr="training_iteration",
        )  # fmt: skip
    if epochs > grace:
        return Asha(metric, mode, epochs, grace)
    return FIFOScheduler()


class Asha(AsyncHyperBandScheduler):
    """ASHA (Li et al. 2020) whose rungs hold values of their own epoch only: a trial that is first
    judged at a later rung does not enter the earlier ones afterwards, where more training would
    raise the bar for the rest."""

    def __init__(self, metric: str, mode: str, epochs: int, grace: int) -> None:
        super().__init__(
            metric=metric, mode=mode, max_t=epochs, grace_period=grace, reduction_factor=REDUCTION
        )
        rungs = (grace * REDUCTION**k for k in count())
        self._at = {*takewhile(lambda rung: rung < epochs, rungs), epochs}

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict) -> str:
        if result["training_iteration"] not in self._at:
            return TrialScheduler.CONTINUE
        return str(super().on_trial_result(tune_controller, trial, result))

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict) -> None:
        self.on_trial_remove(tune_controller, trial)  # its rungs have its values


class ControlRungs:
    """Successive halving among the tries of each control (Jamieson & Talwalkar 2016), in any order.

    After a quarter of the epochs the worst third of a control's tries may go, after half of them
    all but the better half of those left. A try goes once so many others were better by more than
    CLOSE at the last rung that it has reached. What came at a rung decides, whenever it came: tries
    need not run at the same time, close ones stay, and the best at the last rung runs to its end.
    Once a try has failed, all that are left of its control, and those that are tried in its stead,
    run to their ends. What another control reached, or a run before `--resume`, is not known here.
    """

    def __init__(self, epochs: int, tries: int) -> None:
        first = tries - tries // 3
        rungs = {math.ceil(epochs / 4): first, math.ceil(epochs / 2): math.ceil(first / 2)}
        self._most = {epoch: most for epoch, most in rungs.items() if epoch < epochs}
        self._values: dict[str, dict[int, dict[str, float]]] = {}
        self._failing: set[str] = set()

    def stays(self, control: str, try_: str, epoch: int, value: float) -> bool:
        """Note a try's `value` (more is better) after `epoch`; return whether it runs on."""
        if control in self._failing:
            return True
        rungs = self._values.setdefault(control, {rung: {} for rung in self._most})
        if epoch in rungs:
            rungs[epoch][try_] = -math.inf if math.isnan(value) else value
        reached = [rung for rung in rungs if try_ in rungs[rung]]
        if not reached:
            return True
        values, most = rungs[max(reached)], self._most[max(reached)]
        return sum(other > values[try_] + CLOSE for other in values.values()) < most

    def failed(self, control: str) -> None:
        """Note that a try failed: no other of its control goes from now on."""
        self._failing.add(control)
