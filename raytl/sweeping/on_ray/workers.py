"""What runs below a trial's driver: the workers. The first of them keeps each epoch in the trial's
folder and passes up its metrics alone, through a queue."""

import traceback
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

from ray import train
from ray.train.collective import broadcast_from_rank_zero

from raytl.config import TrialConfig
from raytl.errors import CheckpointError
from raytl.packages import check_raytl
from raytl.sweeping.kept.epochs import Epochs, SaveFiles
from raytl.sweeping.kept.records import workers_of
from raytl.sweeping.kept.trial_folder import Saved, TrialFolder
from raytl.sweeping.on_ray.faults import Failure, MetByWorkerError, is_of_peers
from raytl.sweeping.on_ray.trainable import trial_device


@dataclass(frozen=True)
class Reported:
    """One epoch, which is kept."""

    metrics: dict[str, Any]


@dataclass(frozen=True)
class OutOfMemory:
    """A worker ran out of memory with so many parts of a batch."""

    micro_batches: int


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
    """Train from the trial's newest checkpoint on."""
    import torch
    from ray.train.torch import get_device

    from raytl.memory import keep_freed_memory
    from raytl.training.material import Material
    from raytl.training.trial import run_trial

    study, queue, trial = config["study"], config["queue"], config["trial"]
    check_raytl(config["raytl"])
    folder: TrialFolder = config["storage"].trial(trial["name"])
    kept = start = None
    if train.get_context().get_world_rank() == 0:
        saved = folder.newest()
        kept = Epochs(folder, trial, study.train.epochs, saved, workers_of(study))
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
        run_trial(
            Material.of(study, shared=config["storage"].shared),
            TrialConfig.from_flat(trial["trial"]), int(trial["seed"]), report, device=device,
            resume_from=resume_from, test=trial["phase"] == "confirm",
            micro_batches=config["micro_batches"], rows_seed=trial["rows_seed"],
        )  # fmt: skip
