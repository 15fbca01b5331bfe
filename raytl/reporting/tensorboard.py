"""TensorBoard's files, in `tensorboard/` of the run's folder: one folder a trial."""

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from raytl.scoring.metrics import METRICS
from raytl.sweeping.kept.records import Config, Metrics, Record
from raytl.sweeping.search.objective import ObjectiveMetric
from raytl.sweeping.search.searcher import Listener
from raytl.sweeping.verdict.confirmed import Confirmation, pictures_of

SCALAR_PREFIXES = ("train/", "target/", "source/", "oracle/")
FOLDER = "tensorboard"


class TensorBoard(Listener):
    """Scalars of every loss and metric by epoch as they come, and hparams with the objective's best
    value once it is settled what counts. A resumed study writes all anew from its records."""

    def __init__(self, run: Path, objective: ObjectiveMetric) -> None:
        self._folder, self._objective = run / FOLDER, objective
        self._writers: dict[str, Any] = {}
        self._begun = False

    def _writer(self, config: Config) -> Any:
        from torch.utils.tensorboard import SummaryWriter

        if not self._begun:  # only now: a run that is refused is left as it is
            shutil.rmtree(self._folder, ignore_errors=True)
            self._begun = True
        name = config["name"]
        if name not in self._writers:
            self._writers[name] = SummaryWriter(str(self._folder / name))
        return self._writers[name]

    def reported(self, config: Config, metrics: Metrics) -> None:
        writer, step = self._writer(config), metrics.get("step", metrics["epoch"])
        for name, value in metrics.items():
            if name.startswith(SCALAR_PREFIXES) and isinstance(value, int | float):
                writer.add_scalar(name, value, step)

    def settled(self, record: Record) -> None:
        writer, name = self._writer(record.config), self._objective.name
        if record.curve and record.config["phase"] == "search":
            pick = max if self._objective.mode == "max" else min
            best = pick(metrics[name] for metrics in record.curve)
            _add_hparams(writer, record.config["trial"], {f"best/{name}": best})
        writer.close()
        del self._writers[record.name]


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

    with SummaryWriter(str(run / FOLDER / "images")) as writer:
        for name, images_NHWC in domains.items():
            writer.add_images(name, images_NHWC, dataformats="NHWC")


def write_confirmation(run: Path, confirmation: Confirmation) -> None:
    """Write each confirmed candidate's confusion matrix as a picture, or its predicted against its
    true values, and the pictures of some test rows, a step each."""
    from torch.utils.tensorboard import SummaryWriter

    from raytl.reporting.plots import confusion_figure, predicted_figure

    with SummaryWriter(str(run / FOLDER / "confirmation")) as writer:
        for candidate in confirmation.candidates:
            name = candidate.name
            if candidate.confusion:
                figure = confusion_figure(candidate.confusion, confirmation.classes)
                writer.add_figure(f"confusion/{name}", figure)
            elif candidate.n and METRICS[confirmation.metric].reads == "values":
                runs = confirmation.predictions_of(candidate, run)
                writer.add_figure(f"predicted/{name}", predicted_figure(runs))
            for number, picture in enumerate(pictures_of(confirmation, candidate, run)):
                writer.add_image(
                    f"pictures/{name}", np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")),
                    number, dataformats="HWC",
                )  # fmt: skip
