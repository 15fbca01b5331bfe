"""What runs below a trial's driver: the workers, and what Ray Train's controller passes up from
them through a queue."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import ray
from ray import train
from ray.train.v2._internal.execution.callback import ControllerCallback
from ray.train.v2._internal.execution.worker_group import worker_group
from ray.train.v2.api.callback import UserCallback
from ray.util.queue import Queue

from raytl.errors import RaytlError
from raytl.sweeping.on_ray.trainable import trial_device


@dataclass(frozen=True)
class Started:
    """Ray Train's controller runs; its handle."""

    controller: Any


@dataclass(frozen=True)
class Reported:
    """One epoch, as the workers' controller passes it up."""

    metrics: dict[str, Any]
    checkpoint: train.Checkpoint


@dataclass(frozen=True)
class OutOfMemory:
    """A worker ran out of memory with so many parts of a batch."""

    micro_batches: int


class Introduce(ControllerCallback):
    """Tells the driver whom it has to end to stop the workers at once, and names the placement
    group that they hold, so that whoever comes after a lost driver can free it: Ray does so only
    when the whole job is over. Runs in Ray Train's controller."""

    def __init__(self, queue: Queue, name: str) -> None:
        self.queue, self.name = queue, name

    def after_controller_start(self, train_run_context: Any) -> None:
        worker_group.placement_group = partial(worker_group.placement_group, name=self.name)
        self.queue.put(Started(ray.get_runtime_context().current_actor))


class PassUp(UserCallback):
    """Passes up what the workers report. Runs in Ray Train's controller."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue

    def after_report(
        self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: train.Checkpoint | None
    ) -> None:
        assert checkpoint is not None
        self.queue.put(Reported(metrics[0], checkpoint))


def work(config: dict[str, Any]) -> None:
    """Train as one of the workers."""
    import torch
    from ray.train.torch import get_device

    from raytl.memory import keep_freed_memory
    from raytl.training.material import Material
    from raytl.training.trial import run_trial

    study, queue = config["study"], config["queue"]
    keep_freed_memory()
    torch.set_num_threads(study.resources.cpus_per_worker)
    device = trial_device(study)
    if device == "cuda":  # several workers may see the same GPUs
        device = str(get_device())
        torch.cuda.set_device(device)
    first = train.get_context().get_world_rank() == 0

    def report(metrics: dict[str, Any], save: Any) -> None:
        if not first:
            train.report({})
            return
        with tempfile.TemporaryDirectory(prefix="raytl-") as folder:
            save(Path(folder))
            train.report(metrics, checkpoint=train.Checkpoint.from_directory(folder))

    with _folder_of(train.get_checkpoint() or config["checkpoint"]) as resume_from:
        try:
            run_trial(
                Material.of(study), config["trial"], config["seed"], report, device=device,
                resume_from=resume_from, test=config["test"],
                micro_batches=config["micro_batches"], rows_seed=config["rows_seed"],
            )  # fmt: skip
        except RaytlError as error:
            queue.put(error)  # Ray Train would try again
            raise
        except torch.OutOfMemoryError:
            queue.put(OutOfMemory(config["micro_batches"]))
            raise


@contextlib.contextmanager
def _folder_of(checkpoint: Any) -> Iterator[Path | None]:
    if checkpoint is None:
        yield None
        return
    with checkpoint.as_directory() as folder:
        yield Path(folder)
