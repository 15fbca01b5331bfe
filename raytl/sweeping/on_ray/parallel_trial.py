"""A trial with several workers: a driver without a CPU of its own, and Ray Train below it.

The driver runs in Tune's trial actor on the head node. What the workers report comes up to it
through a queue and goes into the trial's folder with its checkpoint, so that the trial is stopped
and resumed as any other.
"""

import contextlib
import os
import threading
from collections.abc import Collection
from pathlib import Path
from typing import Any

import ray
from ray import train
from ray.train.torch import TorchConfig
from ray.util.queue import Queue

from raytl.config import Study, TrialConfig
from raytl.errors import CheckpointError
from raytl.sweeping.identity import source_digest
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.kept.trial_folder import Saved
from raytl.sweeping.on_ray.private_ray import Introduce, LeanTrainer, Started, free_workers
from raytl.sweeping.on_ray.resources import selector, worker_bundle
from raytl.sweeping.on_ray.retries import MOST_FAULTS
from raytl.sweeping.on_ray.trainable import Reporter
from raytl.sweeping.on_ray.workers import OutOfMemory, PassUp, Reported, work

RAY_TRAIN: Any = train  # mypy knows the classes of its first version, which have the same names
RESIZE_S = 20.0  # how often an elastic trial looks for room
# Ray Train looks for reports this often; its default would delay each epoch by up to 2 s.
CONTROLLER = {"RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2", "RAY_TRAIN_METRICS_ENABLED": "0"}


def run_parallel_trial(
    study: Study,
    storage: RunStorage,
    config: dict[str, Any],
    report: Reporter,
    avoid: Collection[str] = (),
) -> None:
    """Run one of Tune's trials on several workers. Runs in its actor.

    Losses of workers and nodes are made good from the last checkpoint, at most MOST_FAULTS times.
    Where a worker's memory runs out, all start again from there with batches in twice as many
    parts. `storage`: where the run is kept. `avoid`: nodes that no worker is to run on. Raises
    MetByWorkerError for what a worker raised, or Ray Train's own error.
    """
    os.environ.update(CONTROLLER)
    micro_batches = config["micro_batches"]
    while True:
        folder = storage.trial(config["name"])
        saved = folder.newest()
        attempt = Attempt(study, storage, config, report, avoid, saved, micro_batches)
        try:
            ended = attempt.run()
        except CheckpointError:
            if saved is None:
                raise
            folder.drop(saved)
            continue
        finally:
            attempt.stop()
        if ended is None:
            return
        micro_batches = 2 * ended.micro_batches


class Attempt:
    """Workers from their start to their end."""

    def __init__(
        self,
        study: Study,
        storage: RunStorage,
        config: dict[str, Any],
        report: Reporter,
        avoid: Collection[str],
        saved: Saved | None,
        micro_batches: int,
    ) -> None:
        self.queue = Queue(actor_options={"num_cpus": 0})
        self._epochs, self._reporter = study.train.epochs, report
        checkpoint = None if saved is None else train.Checkpoint(saved.path, storage.filesystem)
        self._controller: Any = None
        self._shown: train.Checkpoint | None = None
        wanted = study.resources
        fewest, most = wanted.workers
        folder = f".workers-{config['name']}"
        self._name, self._filesystem = f"{storage.path}/{folder}", storage.filesystem
        self._clear()  # Ray Train would go on where the last attempt stood: Tune may not know that
        callbacks: list[Any] = [Introduce(self.queue, self._name), PassUp(self.queue)]
        run_config = RAY_TRAIN.RunConfig(
            name=folder,
            storage_path=storage.path,
            storage_filesystem=storage.filesystem,
            failure_config=RAY_TRAIN.FailureConfig(
                max_failures=MOST_FAULTS, controller_failure_limit=MOST_FAULTS
            ),
            callbacks=callbacks,
        )
        self._trainer = LeanTrainer(
            work,
            name=self._name,
            train_loop_config={
                "study": study, "queue": self.queue, "checkpoint": checkpoint,
                "trial": TrialConfig.from_flat(config["trial"]), "seed": int(config["seed"]),
                "rows_seed": config["rows_seed"],
                "test": config["phase"] == "confirm", "micro_batches": micro_batches,
                "raytl": source_digest(),
            },
            torch_config=TorchConfig(backend="nccl" if wanted.gpus_per_worker else "gloo"),
            scaling_config=RAY_TRAIN.ScalingConfig(
                num_workers=most if fewest == most else (fewest, most),
                use_gpu=wanted.gpus_per_worker > 0,
                resources_per_worker=worker_bundle(study),
                elastic_resize_monitor_interval_s=RESIZE_S,
                label_selector=selector(avoid) or None,
            ),
            run_config=run_config,
        )  # fmt: skip

    def run(self) -> OutOfMemory | None:
        """Report to Tune what the workers do, until they are done or memory runs out."""
        threading.Thread(target=self._fit, daemon=True).start()
        while self._reporter.epoch < self._epochs:
            item = self.queue.get()
            if isinstance(item, Reported):
                self._report(item)
            elif isinstance(item, Started):
                self._controller = item.controller
            elif isinstance(item, OutOfMemory):
                return item
            elif isinstance(item, Exception):
                raise item
            else:  # they ended without a report: the checkpoint was the last epoch's
                return None
        return None

    def _fit(self) -> None:
        error: Exception | None = None
        try:
            self._trainer.fit()
        except Exception as raised:
            error = raised
        with contextlib.suppress(ray.exceptions.RayError):  # stopped: nobody listens any more
            self.queue.put(error)

    def _report(self, item: Reported) -> None:
        theirs = item.checkpoint
        if item.metrics["epoch"] == self._reporter.epoch + 1:
            self._reporter(item.metrics, lambda folder: _copy(theirs, folder))
        if self._shown is not None:  # the newest is what lost workers start from again
            _delete(self._shown.filesystem, self._shown.path)
        self._shown = theirs

    def stop(self) -> None:
        """End the workers and free what they hold. Ray Train's own way takes 12 s."""
        if self._controller is not None:
            ray.kill(self._controller)
        self.queue.shutdown()
        self._clear()

    def _clear(self) -> None:
        """Free what the workers held, also those of a driver that was lost."""
        free_workers(self._name)
        _delete(self._filesystem, self._name)


def _copy(checkpoint: train.Checkpoint, folder: Path) -> None:
    checkpoint.to_directory(str(folder))


def _delete(filesystem: Any, folder: str) -> None:
    with contextlib.suppress(OSError):
        filesystem.delete_dir(folder)
