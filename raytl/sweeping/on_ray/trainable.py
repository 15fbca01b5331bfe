"""The adapter between one trial and Tune. Tune reuses the actor that runs it, so that the next
trial finds torch imported, datasets mapped and source models in memory.

A trial keeps its checkpoints in its own folder and goes on from there, whoever starts it again: so
Tune is told of metrics alone.
"""

import contextlib
import json
import socket
import sys
import traceback
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ray import tune

from raytl.config import Study, TrialConfig
from raytl.errors import CheckpointError, RaytlError
from raytl.packages import check_raytl, source_digest
from raytl.sweeping.kept.epochs import Epochs, SaveFiles
from raytl.sweeping.kept.records import workers_of
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.kept.trial_folder import Metrics, TrialFolder
from raytl.sweeping.on_ray.faults import Failure, MetByWorkerError, own_node
from raytl.sweeping.on_ray.private_ray import HEAD
from raytl.sweeping.on_ray.resources import selector, worker_bundle
from raytl.training.published import NOTHING_SHARED, Shared

if TYPE_CHECKING:
    from raytl.sweeping.on_ray.group_trial import Groups
    from raytl.training.fused_group import FusedGroup
    from raytl.training.material import Material

Trainable = Callable[[dict[str, Any]], None]
# What Tune is told: the node where a trial has started, an epoch's metrics as JSON, which it leaves
# as they are, why it stopped, or the name of a group whose trials train one by one after all.
STARTED, METRICS, FAILED = "raytl_started", "raytl_metrics", "raytl_failed"
APART = "raytl_apart"
AVOID = "avoid"  # of a trial's config: the nodes that it is to stay away from
# Of a trial with several workers: they have the CPUs, and the head survives them.
DRIVER_RESOURCES = {HEAD: 0.001}


def trial_device(study: Study) -> str:
    """Return what the process that Ray gave a trial trains on: see `devices.device_for`.

    Raises RaytlError where Ray gave a GPU that torch does not see.
    """
    import torch

    from raytl.devices import device_for

    device = device_for(study.resources.gpus_per_worker)
    if device is None:
        raise RaytlError(
            f"{socket.gethostname()}: Ray gave this trial a GPU, but torch {torch.__version__} "
            "sees none; look at the driver and the CUDA build with `raytl doctor`"
        )
    return device


class Reporter:
    """Keeps each epoch of a trial, then tells Tune of it."""

    def __init__(
        self, folder: TrialFolder, config: dict[str, Any], epochs: int, workers: str
    ) -> None:
        """Takes up what the folder holds and reports it, in case that the driver does not know.
        `epochs`: of the whole trial. `workers`: see `records.workers_of`."""
        self.saved = folder.newest()
        self._kept = Epochs(folder, config, epochs, self.saved, workers)
        self.epoch = 0  # how many epochs are done, as far as Tune knows
        for metrics in self._kept.curve:
            self.tell(metrics)

    def __call__(self, metrics: Metrics, save: SaveFiles) -> None:
        """Keep and report the next epoch's metrics; `save` writes its checkpoint into a folder."""
        self.tell(self._kept.keep(metrics, save))

    def tell(self, metrics: Metrics) -> None:
        """Report an epoch that is kept, unless Tune knows of it."""
        if metrics["epoch"] > self.epoch:
            self.epoch = metrics["epoch"]
            tune.report({METRICS: json.dumps(metrics)})


def reporter(study: Study, folder: TrialFolder, config: dict[str, Any]) -> Reporter:
    """Return what takes up a trial in its folder."""
    return Reporter(folder, config, study.train.epochs, workers_of(study))


@dataclass
class Held:
    """What a trial's process keeps for the trials after it: data mapped, source models loaded.
    `shared`: prefix features that it shares with other nodes."""

    study: Study
    shared: Shared = NOTHING_SHARED
    _material: "Material | None" = None
    _groups: "Groups | None" = None

    def material(self) -> "Material":
        """Return the study's data and source models, opened once."""
        from raytl.training.material import Material

        if self._material is None:
            self._material = Material.of(self.study, shared=self.shared)
        return self._material

    def group(self, config: dict[str, Any], device: str) -> "FusedGroup":
        """Return a trial's group; of the last one asked for, what is in memory."""
        from raytl.sweeping.on_ray.group_trial import Groups

        if self._groups is None:
            self._groups = Groups()
        test = config["phase"] == "confirm"
        return self._groups.of(self.material(), config, device=device, test=test)

    def let_go(self) -> None:
        """At a trial's end, leave a GPU's memory to others: what nothing refers to any more, and
        where other trials share the GPU the models of a group, which whoever trains it next loads
        from their checkpoints. Nothing on a CPU, or where torch was not needed."""
        if "torch" not in sys.modules:
            return
        from raytl.devices import free_gpu_memory

        if 0 < self.study.resources.gpus_per_worker < 1:
            self.drop_group()
        free_gpu_memory()

    def drop_group(self) -> None:
        """Let go of the models of the group that trained last."""
        self._groups = None


def build_trainable(study: Study, storage: RunStorage) -> Any:
    """Return Tune's function trainable for `study`, with the resources that it needs. Only
    confirmation reads the test split. `storage`: where the run is kept."""
    alone, driver = study.resources.workers == (1, 1), source_digest()
    held = Held(study, storage.shared)

    def raytl_trial(config: dict[str, Any]) -> None:
        avoid, config = config.get(AVOID, ()), {k: v for k, v in config.items() if k != AVOID}
        folder, report = storage.trial(config["name"]), None
        try:
            check_raytl(driver)
            report = reporter(study, folder, config)
            # Only now: what the folder holds says nothing good of this node.
            tune.report({STARTED: own_node() if alone else None})
            if alone:
                _alone(held, storage, config, report)
            else:
                _with_workers(held, storage, config, report, avoid)
        except Exception as error:
            failure = _failure(error, report.epoch if report else 0, alone=alone)
            trace = error.trace if isinstance(error, MetByWorkerError) else traceback.format_exc()
            _tell(folder, failure, trace)
            if not failure.sound:  # the next trial is to have a process of its own
                raise
        except SystemExit as stopped:  # Tune stops a trial early
            traceback.clear_frames(stopped.__traceback__)  # which refer to all that was trained
            raise
        finally:
            held.let_go()

    def wanted(config: dict[str, Any]) -> tune.PlacementGroupFactory:
        if not alone:
            return tune.PlacementGroupFactory([DRIVER_RESOURCES])
        avoid = config.get(AVOID, ())
        more: dict[str, Any] = {"bundle_label_selector": [selector(avoid)]} if avoid else {}
        return tune.PlacementGroupFactory([worker_bundle(study)], **more)

    return tune.with_resources(raytl_trial, wanted)


def _failure(error: Exception, epoch: int, *, alone: bool) -> Failure:
    if isinstance(error, MetByWorkerError):
        return replace(error.failure, epoch=epoch)
    failure = Failure.of(error, epoch)
    return failure if alone else replace(failure, node=None)  # no worker's


def _tell(folder: TrialFolder, failure: Failure, trace: str) -> None:
    """Tell Tune, and where it may be the trial's fault a person, why the trial stops."""
    if failure.kind != "machine":
        with contextlib.suppress(OSError):
            folder.write_error(trace)
    tune.report({FAILED: failure.dump()})


def _with_workers(
    held: Held,
    storage: RunStorage,
    config: dict[str, Any],
    report: Reporter,
    avoid: Collection[str],
) -> None:
    from raytl.sweeping.on_ray.parallel_trial import run_parallel_trial

    if report.epoch < held.study.train.epochs:
        run_parallel_trial(held.study, storage, config, report, avoid)


def _alone(held: Held, storage: RunStorage, config: dict[str, Any], report: Reporter) -> None:
    # Imported here: the driver pickles this function and needs none of it.
    import torch

    from raytl.memory import keep_freed_memory

    study = held.study
    if report.epoch >= study.train.epochs:
        if config["phase"] == "confirm":
            storage.trial(config["name"]).end()  # who has trained it may have left more
        return
    keep_freed_memory()
    torch.set_num_threads(study.resources.cpus_per_worker)
    if "fused" in config and _in_group(held, storage, config, report):
        return
    if report.saved is None:
        _train(held, config, report, None)
        return
    folder = storage.trial(config["name"])
    try:
        with folder.fetched(report.saved) as checkpoint:
            _train(held, config, report, checkpoint)
        return
    except CheckpointError:
        folder.drop(report.saved)
    _alone(held, storage, config, reporter(study, folder, config))


def _in_group(held: Held, storage: RunStorage, config: dict[str, Any], report: Reporter) -> bool:
    """Train with the others of the trial's group; return whether that pays."""
    from raytl.sweeping.on_ray.group_trial import group_pays, run_group_trial
    from raytl.training.torch_options import torch_options

    with torch_options(held.study.train):
        group = held.group(config, trial_device(held.study))
        if not group_pays(group, held.study, config):
            tune.report({APART: config["fused"]["group"]})
            return False
        run_group_trial(group, held.study, storage, config, report)
    return True


def _train(held: Held, config: dict[str, Any], report: Reporter, resume_from: Path | None) -> None:
    from raytl.training.trial import run_trial

    held.drop_group()
    run_trial(
        held.material(), TrialConfig.from_flat(config["trial"]), int(config["seed"]), report,
        device=trial_device(held.study), resume_from=resume_from,
        test=config["phase"] == "confirm", micro_batches=config["micro_batches"],
        rows_seed=config["rows_seed"],
    )  # fmt: skip
