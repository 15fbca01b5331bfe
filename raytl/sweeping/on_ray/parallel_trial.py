"""A trial with several workers: a driver without a CPU of its own, and Ray Train below it.

The driver runs in Tune's trial actor on the head node. The workers keep each epoch in the trial's
folder, wherever that is, and its metrics come up to the driver through a queue: so the trial is
stopped and resumed as any other.
"""

import contextlib
import os
import tempfile
import threading
from collections.abc import Collection
from typing import Any

import ray
from ray import train
from ray.util.queue import Queue

from raytl.config import Study
from raytl.errors import CheckpointError
from raytl.packages import source_digest
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.on_ray.private_ray import Introduce, LeanTrainer, Started, free_workers
from raytl.sweeping.on_ray.process_group import ProcessGroup
from raytl.sweeping.on_ray.resources import selector, worker_bundle
from raytl.sweeping.on_ray.retries import MOST_FAULTS
from raytl.sweeping.on_ray.trainable import Reporter
from raytl.sweeping.on_ray.workers import OutOfMemory, Reported, work

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
        attempt = Attempt(study, storage, config, report, avoid, micro_batches)
        try:
            ended = attempt.run()
        except CheckpointError:
            folder = storage.trial(config["name"])
            saved = folder.newest()
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
        micro_batches: int,
    ) -> None:
        self.queue = Queue(actor_options={"num_cpus": 0})
        self._epochs, self._reporter = study.train.epochs, report
        self._controller: Any = None
        wanted = study.resources
        fewest, most = wanted.workers
        # What Ray Train writes itself: its controller runs on this node, and nobody reads it later.
        self._own = tempfile.TemporaryDirectory(prefix="raytl-train-")
        self._name = f"{storage.path}/.workers-{config['name']}"
        free_workers(self._name)  # those of a driver that was lost
        callbacks: list[Any] = [Introduce(self.queue, self._name)]
        run_config = RAY_TRAIN.RunConfig(
            name=config["name"],
            storage_path=self._own.name,
            failure_config=RAY_TRAIN.FailureConfig(
                max_failures=MOST_FAULTS, controller_failure_limit=MOST_FAULTS
            ),
            callbacks=callbacks,
        )
        self._trainer = LeanTrainer(
            work,
            name=self._name,
            train_loop_config={
                "study": study, "queue": self.queue, "storage": storage, "trial": config,
                "micro_batches": micro_batches, "raytl": source_digest(),
            },
            backend_config=ProcessGroup("nccl" if wanted.gpus_per_worker else "gloo"),
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
                self._reporter.tell(item.metrics)
            elif isinstance(item, Started):
                self._controller = item.controller
            elif isinstance(item, OutOfMemory):
                return item
            elif isinstance(item, Exception):
                raise item
            else:
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

    def stop(self) -> None:
        """End the workers and free what they hold. Ray Train's own way takes 12 s."""
        if self._controller is not None:
            ray.kill(self._controller)
        self.queue.shutdown()
        free_workers(self._name)
        self._own.cleanup()
