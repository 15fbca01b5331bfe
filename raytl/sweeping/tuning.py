"""Ray and Tune, started, restored and read back."""

import contextlib
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import ray
from ray import tune
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from raytl.config import Study
from raytl.errors import RaytlError
from raytl.sweeping.checkpoints import PruneCheckpoints
from raytl.sweeping.faults import MOST_FAULTS, surviving_faults
from raytl.sweeping.fusing import FusedCallback
from raytl.sweeping.resources import Plan
from raytl.sweeping.results import KeepResults
from raytl.sweeping.searcher import StudySearch
from raytl.sweeping.selection import folder_name
from raytl.sweeping.storage import RunStorage
from raytl.sweeping.trainable import build_trainable

# Seconds between Tune's snapshots of the experiment: what a hard kill can cost.
SNAPSHOT_S = "5"
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
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", SNAPSHOT_S)
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
    # A trial's traceback goes to its folder's error.txt; progress says the cause in a line.
    os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")
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
    except (OSError, ValueError) as error:
        raise RaytlError(
            f"no cluster at {address}: {error}; look at `ray status`, the address and the token"
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
    *,
    scheduler: TrialScheduler | None = None,
    callbacks: Sequence[Callback] = (),
    resume: bool = False,
) -> list[Trial]:
    """Run (or with `resume` go on with) a study's Tune experiment in `storage`; return its trials.

    A failed trial does not end the experiment. Raises RaytlError where Tune itself fails.
    """
    trainable = build_trainable(study, storage)
    at: dict[str, Any] = {"path": storage.path, "storage_filesystem": storage.filesystem}
    try:
        if resume and tune.Tuner.can_restore(**at):
            tuner = tune.Tuner.restore(**at, trainable=trainable, resume_unfinished=True)
        else:
            tuner = _new_tuner(storage, trainable, search, plan, scheduler, callbacks)
        with surviving_faults(), _naming_no_trials_twice():
            tuner.fit()
        return read_trials(storage)
    except OSError as error:
        reason = error.strerror or error
        raise RaytlError(f"{storage.path}: cannot write the run: {reason}") from error


@contextlib.contextmanager
def _naming_no_trials_twice() -> Iterator[None]:
    """Leave out Tune's last line, which lists failed trials by names that nobody else uses."""

    def other(record: logging.LogRecord) -> bool:
        return not str(record.msg).startswith("Trials did not complete")

    logger = logging.getLogger("ray.tune.tune")
    logger.addFilter(other)
    try:
        yield
    finally:
        logger.removeFilter(other)


def _new_tuner(
    storage: RunStorage,
    trainable: Any,
    search: StudySearch,
    plan: Plan,
    scheduler: TrialScheduler | None,
    callbacks: Sequence[Callback],
) -> tune.Tuner:
    loggers = [tune.logger.JsonLoggerCallback(), tune.logger.CSVLoggerCallback()]
    own = [*loggers, KeepResults(), PruneCheckpoints(), FusedCallback()]
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=search,
            scheduler=scheduler,
            num_samples=search.most_trials,
            max_concurrent_trials=plan.concurrent,
            reuse_actors=True,
            trial_dirname_creator=folder_name,
        ),
        run_config=tune.RunConfig(
            name=storage.run.name,
            storage_path=str(PurePosixPath(storage.path).parent),
            storage_filesystem=storage.filesystem,
            sync_config=tune.SyncConfig(sync_period=int(SNAPSHOT_S)),
            failure_config=tune.FailureConfig(max_failures=MOST_FAULTS),
            callbacks=[*own, *callbacks],
            verbose=0,
        ),
    )


def read_trials(storage: RunStorage) -> list[Trial]:
    """Return the trials of a Tune experiment from its last snapshot, by running number."""
    kept = tune.ExperimentAnalysis(storage.path, storage_filesystem=storage.filesystem)
    trials = kept.trials or []
    return sorted(trials, key=lambda trial: trial.config["number"])
