"""The order of trials: controls, trial 0, what the sampler suggests, confirmation.

Search and confirmation are one Tune experiment, so that the same warm actors serve both.
"""

import pickle
import uuid
import warnings
from collections.abc import Sequence
from itertools import islice
from typing import Any

import optuna
from optuna.trial import TrialState
from ray.tune.search import Searcher
from ray.tune.search.optuna import OptunaSearch

from raytl.config import CONTROLS, SearchConfig, Study, TrialConfig
from raytl.search_space import SearchSpace
from raytl.seeds import seed_for
from raytl.sweeping.confirming import Confirming
from raytl.sweeping.controls import control_trials, lower_tries
from raytl.sweeping.fusing import group_size, grouped
from raytl.sweeping.objective import ObjectiveMetric
from raytl.sweeping.selection import Outcome, best_controls, best_searched, outcome_of


def build_sampler(config: SearchConfig) -> optuna.samplers.BaseSampler:
    """Return Optuna's sampler. TPE is multivariate and grouped, as conditional spaces want."""
    seed = seed_for(config.seed, "sampler")
    if config.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    startup = startup_trials(config)
    with warnings.catch_warnings():
        # Grouping is called experimental; conditional spaces need it.
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(
            seed=seed, multivariate=True, group=True, n_startup_trials=startup, constant_liar=True
        )


def startup_trials(config: SearchConfig) -> int:
    """Return how many trials TPE draws at random before it learns."""
    return min(10, max(4, config.trials // 3))


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

    def rename(self, asked: str, trial_id: str) -> None:
        """Give what was suggested as `asked` the name of its trial."""
        self._ot_trials[trial_id] = self._ot_trials.pop(asked)

    def knows(self, trial_id: str) -> bool:
        """Whether this search suggested the trial."""
        return trial_id in self._ot_trials


class StudySearch(Searcher):
    """Suggests the controls, trial 0, what the grid or Optuna's sampler asks for, and then the
    retrainings that confirm the best of them.

    The controls are confirmed first: while the last searched trials run, no actor stands idle (Tune
    would end it, and a new one takes many seconds to start).

    What Tune gets is {"number", "phase", "count", "control", "searched", "seed", "rows_seed",
    "trial"}: the running number; "search" or "confirm", and how many trials that phase has (a
    confirmation: so far); the control's name or None; the keys that were searched; the trial's seed
    (the same for all of the search, so that they differ by their configuration alone); the seed of
    its rows, or None for the study's; the flat `TrialConfig`; and, where it may be trained with
    others, "fused" (see `fusing.grouped`). Confirmation adds what `retrainings` says.
    """

    def __init__(
        self,
        study: Study,
        space: SearchSpace,
        objective: ObjectiveMetric,
        promising: Sequence[str] = (),
        confirming: Confirming | None = None,
    ) -> None:
        """`promising`: source models in the order in which they are tried after trial 0.
        `confirming`: what is done with the best; None where the search is all."""
        super().__init__(metric=objective.name, mode=objective.mode)
        self._study, self._space, self._objective = study, space, objective
        self._seed = seed_for(study.search.seed, "trial")
        self._name, self._asked, self._groupings = uuid.uuid4().hex, 0, 0
        controls = control_trials(study, space)
        self._queue = [self._control(*control) for control in controls]
        self._tries: dict[str, list[TrialConfig]] = {}  # of each control
        self._cut: dict[str, list[dict[str, Any]]] = {}  # tries that rungs stopped
        for control, trial in controls:
            self._tries.setdefault(control, []).append(trial)
        self.num_searched = len(self._queue)
        self._inner: PrunedAwareOptuna | None = None
        if study.search.sampler == "grid":
            points = sorted(islice(space.grid(), study.search.trials), key=_trained_share)
            grid = [self._searched(point) for point in points]
            self._queue += self._grouped(grid)
            self.num_searched += len(grid)
        else:
            self._inner = _optuna(study, space, objective, promising)
            self.num_searched += study.search.trials
        self._count = self._searched_so_far = 0
        self._running: dict[str, dict[str, Any]] = {}
        self._most_running: int | None = None
        self._outcomes: list[Outcome] = []
        self._confirming, self._retrainings = confirming, list[dict[str, Any]]()
        self._controls_chosen = self._best_chosen = confirming is None

    @property
    def most_trials(self) -> int:
        """How many trials there can be in all."""
        confirm = self._study.confirm
        again = 2 * len(CONTROLS) * self._study.search.control_tries
        return self.num_searched + again + (confirm.top + len(CONTROLS)) * confirm.seed_counts[1]

    def _control(self, name: str, trial: TrialConfig) -> dict[str, Any]:
        return self._suggestion(name, [], trial)

    def _searched(self, params: dict[str, Any]) -> dict[str, Any]:
        return self._suggestion(None, sorted(params), self._space.resolve(params))

    def _suggestion(
        self, control: str | None, searched: list[str], trial: TrialConfig
    ) -> dict[str, Any]:
        seeds = {"seed": self._seed, "rows_seed": None}
        return {"control": control, "searched": searched, "trial": trial.flat()} | seeds

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        """Limit how many trials run at once. True: here, not in Tune's limiter, whose state is
        another file of the snapshot: restored from a torn one, it would swallow trials' ends."""
        self._most_running = max_concurrent
        return True

    def suggest(  # type: ignore[override]  # Searcher.FINISHED is a string
        self, trial_id: str
    ) -> dict[str, Any] | str | None:
        if self._most_running is not None and len(self._running) >= self._most_running:
            return None
        if self._searched_so_far < self.num_searched:
            self._searched_so_far += 1
            suggestion = {"phase": "search", "count": self.num_searched} | self._next(trial_id)
        else:
            self._confirm()
            if not self._retrainings:
                return None if self._running else Searcher.FINISHED
            assert self._confirming is not None
            suggestion = self._retrainings.pop(0) | {"count": self._confirming.count}
        suggestion = {"number": self._count} | suggestion
        self._count += 1
        self._running[trial_id] = suggestion
        return suggestion

    def _confirm(self) -> None:
        """Queue what is retrained, as soon as it is known."""
        if self._confirming is None or self._retrainings:
            return
        searching = [config for config in self._running.values() if config["phase"] == "search"]
        if not self._controls_chosen and not any(config["control"] for config in searching):
            self._queue_retrainings(self._confirming.add(best_controls(self._outcomes)))
            self._controls_chosen = True
        if not self._best_chosen and not searching:
            best = best_searched(self._study, self._outcomes)
            self._queue_retrainings(self._confirming.add(best))
            self._best_chosen = True
        if self._best_chosen and not self._running and not self._retrainings:
            self._queue_retrainings(self._confirming.further())

    def _queue_retrainings(self, suggestions: list[dict[str, Any]]) -> None:
        self._retrainings += self._grouped(suggestions)

    def _grouped(self, suggestions: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self._groupings += 1
        return grouped(suggestions, group_size(self._study), f"{self._name}-{self._groupings}")

    def _next(self, trial_id: str) -> dict[str, Any]:
        if not self._queue:
            self._ask()
        suggestion = self._queue.pop(0)
        asked = suggestion.pop("asked", None)
        if asked is not None:
            assert self._inner is not None
            self._inner.rename(asked, trial_id)
        return suggestion

    def _ask(self) -> None:
        """Ask the sampler for the next trials: for several at once where they can be fused."""
        assert self._inner is not None
        search = self._study.search
        count = min(_ahead(self._study, self._asked), search.trials - self._asked)
        names = [f"asked-{self._asked + i}" for i in range(count)]
        found = [
            self._searched(self._inner.suggest(name) or {}) | {"asked": name} for name in names
        ]
        self._queue += self._grouped(found)
        self._asked += count

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        if self._inner is not None and self._inner.knows(trial_id):
            self._inner.on_trial_result(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        if self._inner is not None and self._inner.knows(trial_id):
            self._inner.on_trial_complete(trial_id, result, error)
        config = self._running.pop(trial_id, None)
        if config is None:
            return
        whole = bool(result) and result["training_iteration"] >= self._study.train.epochs  # type: ignore[index]
        ended_well = result if whole and not error else None
        if config["phase"] == "confirm":
            assert self._confirming is not None
            self._confirming.ended(config, ended_well)
        elif ended_well is not None:
            self._outcomes.append(outcome_of(config, ended_well, self._objective))
        if config["control"] and config["phase"] == "search":
            if ended_well is None and not error:
                self._cut.setdefault(config["control"], []).append(config["trial"])
            self._try_again(config["control"])

    def _try_again(self, control: str) -> None:
        """Where no try of a control ran to its end, queue those that were only cut before another
        one failed; where there are none, lower ones, if there are such."""
        waiting = [*self._running.values(), *self._queue]
        if any(config["control"] == control for config in waiting):
            return
        if any(outcome.control == control for outcome in self._outcomes):
            return
        cut = [TrialConfig.from_flat(trial) for trial in self._cut.pop(control, [])]
        tries = cut or lower_tries(self._study, self._tries[control])
        self._tries[control] += tries
        self._queue = [self._control(control, trial) for trial in tries] + self._queue
        self.num_searched += len(tries)

    def save(self, checkpoint_path: str) -> None:
        with open(checkpoint_path, "wb") as file:
            pickle.dump(self.__dict__, file)

    def restore(self, checkpoint_path: str) -> None:
        with open(checkpoint_path, "rb") as file:
            self.__dict__.update(pickle.load(file))


def _ahead(study: Study, asked: int) -> int:
    """Return how many trials to ask for at once. With `fuse: auto`, only as many as the sampler
    draws without learning from those before."""
    if study.train.fuse == "auto" and study.search.sampler == "tpe":
        return max(1, min(group_size(study), startup_trials(study.search) - asked))
    return group_size(study)


def _trained_share(params: dict[str, Any]) -> float:
    """Return how much of a backbone the trial trains, 0 … 1, as far as its parameters say: what
    its seconds grow with, all the more where prefix features are stored."""
    depth = params.get("frozen_depth", 0)
    if isinstance(depth, str):
        return 1.0 - float(depth.rstrip("%")) / 100.0
    return 1.0 / (1.0 + depth)


def first_points(space: SearchSpace, promising: Sequence[str]) -> list[dict[str, Any]]:
    """Return what is tried before the sampler suggests: trial 0, trial 0 with each promising source
    model, and with each frozen depth, the cheapest first."""
    firsts = [space.default_params()]
    firsts += [space.default_params(source_model=name) for name in promising]
    depths = [{"frozen_depth": depth} for depth in space.choices("frozen_depth")]
    firsts += [space.default_params(**depth) for depth in sorted(depths, key=_trained_share)]
    return [p for i, p in enumerate(firsts) if p is not None and p not in firsts[:i]]


def _optuna(
    study: Study, space: SearchSpace, objective: ObjectiveMetric, promising: Sequence[str]
) -> PrunedAwareOptuna:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Two thirds of the trials at least are the sampler's.
    points = first_points(space, promising)[: max(1, study.search.trials // 3)]
    return PrunedAwareOptuna(
        space, metric=objective.name, mode=objective.mode, sampler=build_sampler(study.search),
        points_to_evaluate=points or None, epochs=study.train.epochs,
    )  # fmt: skip
