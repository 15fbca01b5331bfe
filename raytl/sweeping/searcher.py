"""The order of trials: controls first, then trial 0, then what the sampler suggests."""

import pickle
import warnings
from itertools import islice
from typing import Any

import optuna
from optuna.trial import TrialState
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from raytl.config import SearchConfig, Study, TrialConfig
from raytl.search_space import SearchSpace
from raytl.seeds import seed_for
from raytl.sweeping.controls import control_trials


def build_sampler(config: SearchConfig) -> optuna.samplers.BaseSampler:
    """Return Optuna's sampler. TPE is multivariate and grouped, as conditional spaces want."""
    seed = seed_for(config.seed, "sampler")
    if config.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    startup = min(10, max(4, config.trials // 3))
    with warnings.catch_warnings():
        # Grouping is called experimental; conditional spaces need it.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=seed, multivariate=True, group=True, n_startup_trials=startup, constant_liar=True
        )


class PrunedAwareOptuna(OptunaSearch):
    """OptunaSearch that tells Optuna PRUNED, not COMPLETE, for trials stopped before the budget,
    so that a low-fidelity value is never compared with a full one."""

    def __init__(self, *args: Any, epochs: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._epochs = epochs

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        stopped = bool(result) and result["training_iteration"] < self._epochs  # type: ignore[index]
        if stopped and not error and trial_id not in self._completed_trials:
            # Optuna gives a pruned trial its last reported intermediate value.
            assert self._ot_study is not None
            self._ot_study.tell(self._ot_trials[trial_id], state=TrialState.PRUNED)
            self._completed_trials.add(trial_id)
            return
        super().on_trial_complete(trial_id, result, error)

    def knows(self, trial_id: str) -> bool:
        """Whether this search suggested the trial."""
        return trial_id in self._ot_trials


class ListSearch(Searcher):
    """Suggests a fixed list of configurations in order, each with its running `number`."""

    def __init__(self, configs: list[dict[str, Any]], metric: str, mode: str) -> None:
        super().__init__(metric=metric, mode=mode)
        self._queue = list(configs)
        self._count = 0
        self.num_trials = len(configs)

    def suggest(  # type: ignore[override]  # Searcher.FINISHED is a string
        self, trial_id: str
    ) -> dict[str, Any] | str | None:
        suggestion = self._next(trial_id)
        if suggestion is None:
            return Searcher.FINISHED
        self._count += 1
        return {"number": self._count - 1} | suggestion

    def _next(self, trial_id: str) -> dict[str, Any] | None:
        return self._queue.pop(0) if self._queue else None

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Nothing to learn: the list is fixed."""

    def save(self, checkpoint_path: str) -> None:
        with open(checkpoint_path, "wb") as file:
            pickle.dump(self.__dict__, file)

    def restore(self, checkpoint_path: str) -> None:
        with open(checkpoint_path, "rb") as file:
            self.__dict__.update(pickle.load(file))


class StudySearch(ListSearch):
    """Suggests the controls, then trial 0, then the grid or what Optuna's sampler asks for.

    What Tune gets is {"number", "control", "searched", "seed", "trial"}: the running number, the
    control's name or None, the keys that were searched, the trial's seed (the same for all, so
    that trials differ by their configuration alone), and the flat `TrialConfig`.
    """

    def __init__(self, study: Study, space: SearchSpace, metric: str, mode: str) -> None:
        self._space = space
        self._seed = seed_for(study.search.seed, "trial")
        controls = [self._control(*control) for control in control_trials(study, space)]
        grid: list[dict[str, Any]] = []
        if study.search.sampler == "grid":
            grid = [self._searched(p) for p in islice(space.grid(), study.search.trials)]
        super().__init__(controls + grid, metric, mode)
        self._inner: PrunedAwareOptuna | None = None
        if study.search.sampler != "grid":
            self._inner = _optuna(study, space, metric, mode)
            self.num_trials += study.search.trials

    def _control(self, name: str, trial: TrialConfig) -> dict[str, Any]:
        return {"control": name, "searched": [], "seed": self._seed, "trial": trial.flat()}

    def _searched(self, params: dict[str, Any]) -> dict[str, Any]:
        trial = self._space.resolve(params).flat()
        return {"control": None, "searched": sorted(params), "seed": self._seed, "trial": trial}

    def _next(self, trial_id: str) -> dict[str, Any] | None:
        fixed = super()._next(trial_id)
        if fixed is not None or self._inner is None or self._count >= self.num_trials:
            return fixed
        return self._searched(self._inner.suggest(trial_id) or {})

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if self._inner is not None and self._inner.knows(trial_id):
            self._inner.on_trial_result(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        if self._inner is not None and self._inner.knows(trial_id):
            self._inner.on_trial_complete(trial_id, result, error)


def _optuna(study: Study, space: SearchSpace, metric: str, mode: str) -> PrunedAwareOptuna:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    default = space.default_params()
    return PrunedAwareOptuna(
        space, metric=metric, mode=mode, sampler=build_sampler(study.search),
        points_to_evaluate=None if default is None else [default], epochs=study.train.epochs,
    )  # fmt: skip
