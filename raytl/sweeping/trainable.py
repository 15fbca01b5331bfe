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
                "device": "cuda" if study.resources.gpus_per_worker else "cpu",
                "test": config["phase"] == "confirm",
                "resume_from": resume_from,
            }
            if "fused" in config:
                group, index = config["fused"]["group"], config["fused"]["index"]
                run_fused_trial(study, members_of(config), index, group, report, **options)
            else:
                trial = TrialConfig.from_flat(config["trial"])
                run_trial(study, trial, int(config["seed"]), report, **options)

        checkpoint = tune.get_checkpoint()
        if checkpoint is None:
            run(None)
        else:
            with checkpoint.as_directory() as folder:
                run(Path(folder))

    return raytl_trial
