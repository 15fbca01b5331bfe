"""The adapter between one trial and Tune. Tune reuses the actor that runs it, so that the next
trial finds torch imported, datasets mapped and source models in memory."""

import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import tune

from raytl.config import Study, TrialConfig
from raytl.errors import RaytlError
from raytl.sweeping.resources import worker_bundle
from raytl.sweeping.storage import RunStorage

Trainable = Callable[[dict[str, Any]], None]
# Of a trial with several workers: they have the CPUs, and the head survives them.
DRIVER_RESOURCES = {"cpu": 0, "node:__internal_head__": 0.001}


def trial_device(study: Study) -> str:
    """Return what the process that Ray gave a trial trains on. RAYTL_DEVICE overrides it, as where
    GPUs are there by name only.

    Raises RaytlError where Ray gave a GPU that torch does not see.
    """
    import torch

    device = os.environ.get("RAYTL_DEVICE")
    if device is not None or not study.resources.gpus_per_worker:
        return device or "cpu"
    if not torch.cuda.is_available():
        raise RaytlError(
            f"{socket.gethostname()}: Ray gave this trial a GPU, but torch {torch.__version__} "
            "sees none; look at the driver and the CUDA build with `raytl doctor`"
        )
    return "cuda"


def build_trainable(study: Study, storage: RunStorage) -> Any:
    """Return Tune's function trainable for `study`, with the resources that it needs. Only
    confirmation reads the test split. `storage`: where the run is kept."""
    if study.resources.workers != (1, 1):
        return tune.with_resources(_with_workers(study, storage), DRIVER_RESOURCES)
    bundle = worker_bundle(study)
    return tune.with_resources(_alone(study), {name.lower(): n for name, n in bundle.items()})


def _with_workers(study: Study, storage: RunStorage) -> Trainable:
    def raytl_driver(config: dict[str, Any]) -> None:
        from raytl.sweeping.parallel_trial import run_parallel_trial

        run_parallel_trial(study, storage, config)

    return raytl_driver


def _alone(study: Study) -> Trainable:
    def raytl_trial(config: dict[str, Any]) -> None:
        # Imported here: the driver pickles this function and needs none of it.
        import torch

        from raytl.memory import keep_freed_memory
        from raytl.sweeping.fusing import members_of
        from raytl.training.fused_group import run_fused_trial
        from raytl.training.trial import run_trial

        keep_freed_memory()
        torch.set_num_threads(study.resources.cpus_per_worker)

        def report(metrics: dict[str, Any], save: Callable[[Path], None]) -> None:
            with tempfile.TemporaryDirectory(prefix="raytl-") as folder:
                save(Path(folder))
                tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))

        def run(resume_from: Path | None) -> None:
            options: dict[str, Any] = {
                "device": trial_device(study),
                "test": config["phase"] == "confirm",
                "resume_from": resume_from,
            }
            if "fused" in config:
                group, index = config["fused"]["group"], config["fused"]["index"]
                run_fused_trial(study, members_of(config), index, group, report, **options)
            else:
                trial = TrialConfig.from_flat(config["trial"])
                options["rows_seed"] = config["rows_seed"]
                run_trial(study, trial, int(config["seed"]), report, **options)

        checkpoint = tune.get_checkpoint()
        if checkpoint is None:
            run(None)
        else:
            with checkpoint.as_directory() as folder:
                run(Path(folder))

    return raytl_trial
