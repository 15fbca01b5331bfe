"""TensorBoard's files, written by the driver beside Tune's own in each trial's folder."""

from pathlib import Path
from typing import Any

import numpy as np
from ray.tune.experiment import Trial
from ray.tune.logger import LoggerCallback

SCALAR_PREFIXES = ("train/", "target/", "source/", "oracle/")


class TensorBoardCallback(LoggerCallback):
    """Scalars of every loss and metric by epoch, and hparams with the objective's best value.

    `metric` and `mode` ("max" or "min") name the objective. A resumed trial appends to its files.
    """

    def __init__(self, metric: str, mode: str) -> None:
        self.metric, self.mode = metric, mode
        self._writers: dict[str, Any] = {}
        self._best: dict[str, float] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its callbacks; open files cannot be.
        return self.__dict__ | {"_writers": {}}

    def _writer(self, trial: Trial) -> Any:
        from torch.utils.tensorboard import SummaryWriter

        if trial.trial_id not in self._writers:
            folder = Path(trial.local_experiment_path or ".") / Path(str(trial.path)).name
            self._writers[trial.trial_id] = SummaryWriter(str(folder))
        return self._writers[trial.trial_id]

    def log_trial_result(self, iteration: int, trial: Trial, result: dict[str, Any]) -> None:
        writer, step = self._writer(trial), result.get("step", result["training_iteration"])
        for name, value in result.items():
            if name.startswith(SCALAR_PREFIXES) and isinstance(value, int | float):
                writer.add_scalar(name, value, step)
        value = result.get(self.metric)
        if value is not None:
            held = self._best.get(trial.trial_id, value)
            self._best[trial.trial_id] = (
                max(held, value) if self.mode == "max" else min(held, value)
            )

    def log_trial_end(self, trial: Trial, failed: bool = False) -> None:
        writer = self._writer(trial)
        best = self._best.pop(trial.trial_id, None)
        if best is not None and trial.config["phase"] == "search":
            _add_hparams(writer, trial.config["trial"], {f"best/{self.metric}": best})
        writer.close()
        self._writers.pop(trial.trial_id, None)


def _add_hparams(writer: Any, config: dict[str, Any], metrics: dict[str, float]) -> None:
    """Write hparams into the trial's own file: `SummaryWriter.add_hparams` would open a sub-run."""
    from torch.utils.tensorboard.summary import hparams

    plain = {k: v for k, v in config.items() if isinstance(v, str | int | float | bool)}
    for summary in hparams(plain, metrics):
        writer.file_writer.add_summary(summary)
    for name, value in metrics.items():
        writer.add_scalar(name, value)


def write_images(run: Path, domains: dict[str, np.ndarray]) -> None:
    """Write one grid of images for each domain (uint8 or float32, N × H × W × C)."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(run / "tensorboard" / "images")) as writer:
        for name, images_NHWC in domains.items():
            writer.add_images(name, images_NHWC, dataformats="NHWC")


def write_confusions(run: Path, confirmation: dict[str, Any]) -> None:
    """Write the confusion matrix of each confirmed candidate as a picture."""
    from torch.utils.tensorboard import SummaryWriter

    from raytl.reporting.plots import confusion_figure

    with SummaryWriter(str(run / "tensorboard" / "confirmation")) as writer:
        for candidate in confirmation["candidates"]:
            if candidate["confusion"]:
                figure = confusion_figure(candidate["confusion"], confirmation["classes"])
                writer.add_figure(f"confusion/{candidate['name']}", figure)
