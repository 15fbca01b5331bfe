"""The adapter between one trial and Tune. Tune reuses the actor that runs it, so that the next
trial finds torch imported, datasets mapped and source models in memory."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raytl.config import Study, TrialConfig


def build_trainable(study: Study) -> Callable[[dict[str, Any]], None]:
    """Return Tune's function trainable for `study`. Only confirmation reads the test split."""

    def raytl_trial(config: dict[str, Any]) -> None:
        # Imported here: the driver pickles this function and needs none of it.
        import torch
        from ray import tune

        from raytl.memory import keep_freed_memory
        from raytl.training.trial import run_trial

        keep_freed_memory()
        torch.set_num_threads(study.resources.cpus_per_worker)

        def report(metrics: dict[str, Any], save: Callable[[Path], None]) -> None:
            with tempfile.TemporaryDirectory(prefix="raytl-") as folder:
                save(Path(folder))
                tune.report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))

        trial = TrialConfig.from_flat(config["trial"])
        checkpoint = tune.get_checkpoint()
        device = "cuda" if study.resources.gpus_per_worker else "cpu"
        seed, test = int(config["seed"]), config["phase"] == "confirm"
        if checkpoint is None:
            run_trial(study, trial, seed, report, device=device, test=test)
            return
        with checkpoint.as_directory() as folder:
            run_trial(
                study, trial, seed, report, device=device, test=test, resume_from=Path(folder)
            )

    return raytl_trial
