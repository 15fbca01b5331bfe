"""What runs below a trial's driver: the workers, and what Ray Train's controller passes up from
them through a queue."""

import contextlib
import tempfile
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ray import train
from ray.util.queue import Queue

from raytl.errors import CheckpointError
from raytl.sweeping.kept.trial_folder import COMMIT, verify
from raytl.sweeping.on_ray.faults import Failure, MetByWorkerError, is_of_peers
from raytl.sweeping.on_ray.trainable import check_raytl, trial_device


@dataclass(frozen=True)
class Reported:
    """One epoch, as the workers' controller passes it up."""

    metrics: dict[str, Any]
    checkpoint: train.Checkpoint


@dataclass(frozen=True)
class OutOfMemory:
    """A worker ran out of memory with so many parts of a batch."""

    micro_batches: int


class PassUp(train.UserCallback):
    """Passes up what the workers report. Runs in Ray Train's controller."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue

    def after_report(
        self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: train.Checkpoint | None
    ) -> None:
        assert checkpoint is not None
        self.queue.put(Reported(metrics[0], checkpoint))


def work(config: dict[str, Any]) -> None:
    """Train as one of the workers; pass up what Ray Train would try again in the same place."""
    import torch

    queue = config["queue"]
    try:
        _train(config)
    except CheckpointError as error:
        queue.put(error)
        raise
    except torch.OutOfMemoryError:
        queue.put(OutOfMemory(config["micro_batches"]))
        raise
    except Exception as error:
        if not is_of_peers(error):  # else all start again, and the one that was lost with them
            queue.put(MetByWorkerError(Failure.of(error), traceback.format_exc()))
        raise


def _train(config: dict[str, Any]) -> None:
    import torch
    from ray.train.torch import get_device

    from raytl.memory import keep_freed_memory
    from raytl.training.material import Material
    from raytl.training.trial import run_trial

    study = config["study"]
    check_raytl(config["raytl"])
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
        run_trial(
            Material.of(study), config["trial"], config["seed"], report, device=device,
            resume_from=resume_from, test=config["test"],
            micro_batches=config["micro_batches"], rows_seed=config["rows_seed"],
        )  # fmt: skip


@contextlib.contextmanager
def _folder_of(checkpoint: Any) -> Iterator[Path | None]:
    if checkpoint is None:
        yield None
        return
    with checkpoint.as_directory() as folder:
        if (Path(folder) / COMMIT).exists():  # the trial's own, not one of Ray Train's
            verify(Path(folder))
        yield Path(folder)
