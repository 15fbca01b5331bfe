"""What runs below a trial's driver: the workers. The first of them keeps each epoch in the trial's
folder and passes up its metrics alone, through a queue."""

from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
from ray import train
from ray.train.collective import broadcast_from_rank_zero
from ray.train.v2._internal.execution.callback import ControllerCallback
from ray.train.v2._internal.execution.worker_group import worker_group
from ray.util.queue import Queue

from raytl.config import TrialConfig
from raytl.errors import RaytlError
from raytl.sweeping.kept.epochs import Epochs, SaveFiles
from raytl.sweeping.kept.trial_folder import Saved, TrialFolder
from raytl.sweeping.on_ray.trainable import trial_device


@dataclass(frozen=True)
class Started:
    """Ray Train's controller runs; its handle."""

    controller: Any


@dataclass(frozen=True)
class Reported:
    """One epoch, which is kept."""

    metrics: dict[str, Any]


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


def work(config: dict[str, Any]) -> None:
    """Train as one of the workers, from the trial's newest checkpoint on."""
    import torch
    from ray.train.torch import get_device

    from raytl.memory import keep_freed_memory
    from raytl.training.material import Material
    from raytl.training.trial import run_trial

    study, queue, trial = config["study"], config["queue"], config["trial"]
    folder: TrialFolder = config["storage"].trial(trial["name"])
    kept = start = None
    if train.get_context().get_world_rank() == 0:
        saved = folder.newest()
        kept = Epochs(folder, trial, study.train.epochs, saved)
        for metrics in kept.curve:  # of workers that were lost before they could say so
            queue.put(Reported(metrics))
        start = (saved and saved.path, kept.done)
    path, done = broadcast_from_rank_zero(start)
    if done:
        return
    keep_freed_memory()
    torch.set_num_threads(study.resources.cpus_per_worker)
    device = trial_device(study)
    if device == "cuda":  # several workers may see the same GPUs
        device = str(get_device())
        torch.cuda.set_device(device)

    def report(metrics: dict[str, Any], save: SaveFiles) -> None:
        if kept is not None:
            queue.put(Reported(kept.keep(metrics, save)))

    with folder.fetched(Saved(path, {}, ())) if path else nullcontext() as resume_from:
        try:
            run_trial(
                Material.of(study), TrialConfig.from_flat(trial["trial"]), int(trial["seed"]),
                report, device=device, resume_from=resume_from, test=trial["phase"] == "confirm",
                micro_batches=config["micro_batches"], rows_seed=trial["rows_seed"],
            )  # fmt: skip
        except RaytlError as error:
            queue.put(error)  # Ray Train would try again
            raise
        except torch.OutOfMemoryError:
            queue.put(OutOfMemory(config["micro_batches"]))
            raise
