"""Ray and Tune, started and told what the search says."""

import contextlib
import json
import logging
import os
import socket
import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayError
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import ConcurrencyLimiter, Searcher
from ray.tune.stopper import Stopper

from raytl.config import Study
from raytl.errors import RaytlError
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.on_ray.attempts import Attempts, Watcher
from raytl.sweeping.on_ray.faults import Failure
from raytl.sweeping.on_ray.private_ray import IdleActors
from raytl.sweeping.on_ray.resources import Plan, fitting, room_for, worker_bundle
from raytl.sweeping.on_ray.retries import Retries
from raytl.sweeping.on_ray.trainable import APART, AVOID, FAILED, METRICS, STARTED, build_trainable
from raytl.sweeping.search.searcher import StudySearch

REACH_S = 10.0  # for a cluster's address to answer; Ray itself would try for minutes


@dataclass(frozen=True)
class Cluster:
    """The Ray cluster of a session. `grows`: it is one that this process has joined, whose
    autoscaler may bring nodes."""

    grows: bool

    def nodes(self) -> list[dict[str, float]]:
        """Return what each node has now, used or not, by Ray's names."""
        return [dict(node["Resources"]) for node in ray.nodes() if node["Alive"]]

    def request(self, bundles: list[dict[str, float]]) -> None:
        """Ask the autoscaler for room for these bundles at once, and for nothing else."""
        from ray.autoscaler.sdk import request_resources

        request_resources(bundles=bundles)


@contextlib.contextmanager
def ray_session(address: str | None = None) -> Iterator[Cluster]:
    """Yield the cluster. Joins the one that is there (initialised in this process, or at `address`,
    or named by RAY_ADDRESS as `ray job submit` does); else starts a local one and stops it.

    Raises RaytlError where there is none at the address.
    """
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    # A trial's traceback goes to its folder's error.txt; progress says the cause in a line.
    os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")
    # Tune would write all its trials down again and again, for nobody: with many it takes seconds.
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", str(10**9))
    if ray.is_initialized():
        yield Cluster(grows=False)
        return
    address = address or os.environ.get("RAY_ADDRESS", "local")
    local = address == "local"
    try:
        _reach(address)
        ray.init(
            address=address,
            include_dashboard=False if local else None,
            logging_level=logging.ERROR,
            log_to_driver=False,
        )
    except (OSError, ValueError, RayError) as error:  # without a token a RayError, of many lines
        reason = " ".join(str(error).split()).partition(". ")[0]
        raise RaytlError(
            f"no cluster at {address}: {reason}; look at `ray status`, the address and the token"
        ) from error
    try:
        yield Cluster(grows=not local)
    finally:
        ray.shutdown()


def _reach(address: str) -> None:
    """Raise OSError or ValueError where nothing listens at HOST:PORT."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon:
        socket.create_connection((host, int(port)), timeout=REACH_S).close()


def run_trials(
    study: Study,
    storage: RunStorage,
    search: StudySearch,
    plan: Plan,
    watcher: Watcher,
    check: Callable[[], None] = lambda: None,
) -> None:
    """Train what `search` suggests, at most `plan.concurrent` trials at once, until it is finished,
    stopped or interrupted. `check`: raises RaytlError where it must not go on.

    Tune runs the trials and starts them again after faults; what it writes itself is of no use to
    anybody later and goes. Raises OSError where the run cannot be written, RaytlError where memory
    refuses a trial.
    """
    attempts = Attempts(search, Retries(_Nodes(study)), watcher, plan.concurrent, check)
    with tempfile.TemporaryDirectory(prefix="raytl-tune-") as own, _saying_nothing_twice():
        tune.run(
            build_trainable(study, storage),
            name=storage.run.name,
            storage_path=own,
            # So many trials may wait for room at once: that is what an autoscaler goes by.
            search_alg=ConcurrencyLimiter(_Suggests(attempts), plan.concurrent),
            scheduler=_Judges(attempts),
            stop=_Stops(attempts),
            callbacks=[_Watches(attempts)],
            num_samples=-1,
            trial_dirname_creator=lambda trial: trial.trial_id,
            reuse_actors=True,
            max_failures=0,  # whether a trial is tried again is said here
            raise_on_failed_trial=False,
            verbose=0,
        )
    if attempts.refused is not None:
        raise attempts.refused


@dataclass(frozen=True)
class _Nodes:
    """The nodes that have room for a worker of the study's trials."""

    study: Study

    def _known(self) -> dict[str, dict[str, Any]]:
        bundle = worker_bundle(self.study)
        nodes = {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}
        return {id_: node for id_, node in nodes.items() if room_for(bundle, node["Resources"])}

    def names(self) -> dict[str, str]:
        return {id_: str(node["NodeManagerHostname"]) for id_, node in self._known().items()}

    def fits_without(self, nodes: Collection[str]) -> bool:
        left = [node["Resources"] for id_, node in self._known().items() if id_ not in nodes]
        return fitting(self.study, left) >= 1


@contextlib.contextmanager
def _saying_nothing_twice() -> Iterator[None]:
    """Leave out Tune's last lines: failed attempts by names that nobody else uses, files of its own
    that nobody reads, and how to resume without raytl."""
    loggers = [logging.getLogger(f"ray.tune.{name}") for name in ("tune", "analysis")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class _Shared:
    """What Tune's searcher, scheduler, stopper and callback share."""

    def __init__(self, attempts: Attempts) -> None:
        self.attempts = attempts

    def __getstate__(self) -> dict[str, Any]:
        return {}  # Tune pickles what it is given, for a restart that never comes


class _Suggests(_Shared, Searcher):
    """Tune's searcher. Each of Tune's trials is an attempt at one of the study's."""

    def __init__(self, attempts: Attempts) -> None:
        Searcher.__init__(self)
        _Shared.__init__(self, attempts)
        self._names: dict[str, str] = {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:  # type: ignore[override]
        found = self.attempts.suggest()
        if found is None:
            return Searcher.FINISHED if self.attempts.over else None
        config, avoid = found
        self._names[trial_id] = config["name"]
        return config | {AVOID: avoid}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        self.attempts.ended(self._names.pop(trial_id), lost=error)

    def save(self, checkpoint_path: str) -> None:
        """Nothing of Tune's is resumed: the search is done again from the trials' records."""
        Path(checkpoint_path).touch()

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError


class _Judges(_Shared, FIFOScheduler):
    """Tune's scheduler: sees every result, and every error, before anybody else does."""

    def __init__(self, attempts: Attempts) -> None:
        FIFOScheduler.__init__(self)
        _Shared.__init__(self, attempts)
        self._idle = IdleActors()
        self._common: Any = None  # what trials ask for that go wherever all may go
        self._special = set[str]()  # Tune's trials that wait for another place

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        if tuple(trial.config[AVOID]) == self.attempts.away:
            self._common = trial.placement_group_factory
        else:
            self._special.add(trial.trial_id)
        self._keep(tune_controller)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        name = trial.config["name"]
        self._special.discard(trial.trial_id)
        self._keep(tune_controller)
        if STARTED in result:
            self.attempts.started(name, result[STARTED])
        if FAILED in result:
            self.attempts.failed(name, Failure.parse(result[FAILED]))
        if APART in result:
            self.attempts.take_apart(result[APART])
        if METRICS not in result:
            return str(TrialScheduler.CONTINUE)
        stays = self.attempts.reported(name, json.loads(result[METRICS]))
        return str(TrialScheduler.CONTINUE if stays else TrialScheduler.STOP)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        self._special.discard(trial.trial_id)
        self._keep(tune_controller)
        file = trial.error_file
        lines = Path(file).read_text(errors="replace").strip().splitlines() if file else []
        self.attempts.lost(trial.config["name"], lines[-1] if lines else None)

    def _keep(self, tune_controller: Any) -> None:
        """An actor that has no trial must not hold the room that a trial waits for."""
        self._idle.keep(tune_controller, None if self._special else self._common)


class _Stops(_Shared, Stopper):
    """Ends all trials where the study cannot go on. They lose nothing: it can be resumed."""

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self.attempts.must_stop


class _Watches(_Shared, Callback):
    """Passes on to a person what happens besides results."""

    def on_step_begin(self, iteration: int, trials: list[Trial], **_: Any) -> None:
        self.attempts.look()

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        self.attempts.recovered(trial.config["name"])  # its node was preempted
