"""Ray and Tune, started, restored and read back."""

import contextlib
import logging
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from raytl.errors import RaytlError
from raytl.sweeping.checkpoints import PruneCheckpoints
from raytl.sweeping.fusing import FusedCallback
from raytl.sweeping.resources import Plan
from raytl.sweeping.searcher import StudySearch
from raytl.sweeping.selection import folder_name

# Seconds between Tune's snapshots of the experiment: what a hard kill can cost.
SNAPSHOT_S = "5"
REACH_S = 10.0  # for a cluster's address to answer; Ray itself would try for minutes


@dataclass(frozen=True)
class Cluster:
    """The Ray cluster of a session. `grows`: it is one that this process has joined, whose
    autoscaler may bring nodes."""

    grows: bool

    def resources(self) -> dict[str, float]:
        """Return all resources that the cluster has now, used or not, by Ray's names."""
        return dict(ray.cluster_resources())

    def request(self, bundle: dict[str, float]) -> None:
        """Ask the autoscaler for room for a bundle; with an empty one, for none any more."""
        from ray.autoscaler.sdk import request_resources

        wanted = {name: amount for name, amount in bundle.items() if amount}
        request_resources(bundles=[wanted] if wanted else [])


@contextlib.contextmanager
def ray_session(address: str | None = None) -> Iterator[Cluster]:
    """Yield the cluster. Joins the one that is there (initialised in this process, or at `address`,
    or named by RAY_ADDRESS as `ray job submit` does); else starts a local one and stops it.

    Raises RaytlError where there is none at the address.
    """
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", SNAPSHOT_S)
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
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
    folder: Path,
    trainable: Callable[[dict[str, Any]], None],
    search: StudySearch,
    plan: Plan,
    *,
    scheduler: TrialScheduler | None = None,
    callbacks: Sequence[Callback] = (),
    resume: bool = False,
) -> list[Trial]:
    """Run (or with `resume` go on with) one Tune experiment in `folder`; return all its trials.

    A failed trial does not end the experiment. Raises RaytlError where Tune itself fails.
    """
    folder = folder.resolve()  # Tune takes a relative path for a URI without a scheme
    resources = {"cpu": plan.cpus_per_trial, "gpu": plan.gpus_per_trial}
    sized = tune.with_resources(trainable, resources)
    try:
        if resume and tune.Tuner.can_restore(str(folder)):
            tuner = tune.Tuner.restore(str(folder), trainable=sized, resume_unfinished=True)
        else:
            tuner = _new_tuner(folder, sized, search, plan, scheduler, callbacks)
        tuner.fit()
        return read_trials(folder)
    except OSError as error:
        raise RaytlError(f"{folder}: cannot write the run: {error.strerror or error}") from error


def _new_tuner(
    folder: Path,
    trainable: Any,
    search: StudySearch,
    plan: Plan,
    scheduler: TrialScheduler | None,
    callbacks: Sequence[Callback],
) -> tune.Tuner:
    loggers = [tune.logger.JsonLoggerCallback(), tune.logger.CSVLoggerCallback()]
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
            name=folder.name,
            storage_path=str(folder.parent),
            failure_config=tune.FailureConfig(max_failures=0),
            callbacks=[*loggers, PruneCheckpoints(), FusedCallback(), *callbacks],
            verbose=0,
        ),
    )


def read_trials(folder: Path) -> list[Trial]:
    """Return the trials of a Tune experiment from its last snapshot, by running number."""
    trials = tune.ExperimentAnalysis(str(folder)).trials or []
    return sorted(trials, key=lambda trial: trial.config["number"])
