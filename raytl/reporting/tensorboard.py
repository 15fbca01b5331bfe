"""TensorBoard's files, in `tensorboard/` of the run's folder: one folder a trial."""

import io
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from raytl.config import Study
from raytl.reporting.hparams import (
    OBJECTIVE,
    confirmed_tag,
    experiment,
    hparams_of,
    session,
)
from raytl.reporting.samples import sample_images
from raytl.reporting.sparing import spared
from raytl.scoring.metrics import METRICS
from raytl.sweeping.kept.records import Config, Metrics, Record
from raytl.sweeping.search.asked_and_told import Listener
from raytl.sweeping.search.objective import ObjectiveMetric
from raytl.sweeping.study_run import StudyResult
from raytl.sweeping.verdict.confirmed import Confirmation, pictures_of

SCALAR_PREFIXES = ("train/", "target/", "source/", "oracle/")
FOLDER = "tensorboard"


class TensorBoard(Listener):
    """Scalars of every loss and metric by epoch as they come, and what was searched with the
    objective once it is settled what counts. A resumed study writes all anew from its records."""

    def __init__(self, run: Path, study: Study, objective: ObjectiveMetric) -> None:
        self._folder, self._study, self._objective = run / FOLDER, study, objective
        self._writers: dict[str, Any] = {}
        self._names: dict[str, str] = {}  # trial of the search → its folder
        self._begun = False

    def _writer(self, config: Config) -> Any:
        name = config["name"]
        if name not in self._writers:
            self._begin()
            self._writers[name] = _writer(self._folder / name)
        return self._writers[name]

    def _begin(self) -> None:
        if self._begun:
            return
        self._begun = True
        shutil.rmtree(self._folder, ignore_errors=True)  # only now: a refused run is left as it is
        columns = experiment(self._study, self._objective.label)
        if columns is not None:
            with _writer(self._folder) as writer:
                writer.file_writer.add_summary(columns)

    def reported(self, config: Config, metrics: Metrics) -> None:
        writer, step = self._writer(config), metrics.get("step", metrics["epoch"])
        for name, value in metrics.items():
            if name.startswith(SCALAR_PREFIXES) and isinstance(value, int | float):
                writer.add_scalar(name, value, step)

    def settled(self, record: Record) -> None:
        writer, config = self._writer(record.config), record.config
        if record.curve and config["phase"] == "search":
            self._names[config["id"]] = record.name
            for summary in session(hparams_of(config, self._study), good=record.error is None):
                writer.file_writer.add_summary(summary)
            last = record.last
            step = last.get("step", last["epoch"])
            writer.add_scalar(OBJECTIVE, last[self._objective.name], step)
        writer.close()
        del self._writers[record.name]

    def confirmed(self, confirmation: Confirmation) -> None:
        """Write what each retrained configuration has reached on the test rows, beside the trial of
        the search that it comes from."""
        for candidate in confirmation.candidates:
            name = self._names.get(candidate.trial)
            if name is not None and candidate.mean is not None:
                with _writer(self._folder / name) as writer:
                    writer.add_scalar(confirmed_tag(self._study), candidate.mean, 0)


def write_end(board: TensorBoard, result: StudyResult, study: Study) -> None:
    """Write what is known once a study has run, or was stopped: images of its domains, what was
    confirmed, the verdict, and features of the best. Of what cannot be written a warning says why,
    and the rest is written."""
    from raytl.reporting.projector import write_projector

    run, confirmation, lack = result.run, result.confirmation, "TensorBoard's files lack"
    with spared(f"{lack} the images"):
        write_images(run, sample_images(study))
    if confirmation is not None:
        with spared(f"{lack} the scores on the test split"):
            board.confirmed(confirmation)
        with spared(f"{lack} the figures of what was confirmed"):
            write_confirmation(run, confirmation)
    if result.sentences:
        with spared(f"{lack} the verdict"):
            write_verdict(run, result.sentences)
        if (run / "best").exists():
            domain = study.target_domain
            with spared(f"{lack} the features of the best"):
                write_projector(run, domain.dataset, domain.splits.test)


def _writer(folder: Path) -> Any:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder))


def write_images(run: Path, domains: dict[str, np.ndarray]) -> None:
    """Write one grid of images for each domain (uint8 or float32, N × H × W × C)."""
    if not domains:
        return
    with _writer(run / FOLDER / "images") as writer:
        for name, images_NHWC in domains.items():
            writer.add_images(name, images_NHWC, dataformats="NHWC")


def write_verdict(run: Path, sentences: Sequence[str]) -> None:
    """Write what the study says as text, the first sentence in bold."""
    first, *others = sentences
    text = "\n".join([f"**{first}**", "", *(f"- {sentence}" for sentence in others)])
    with _writer(run / FOLDER / "confirmation") as writer:
        writer.add_text("verdict", text, 0)


def write_confirmation(run: Path, confirmation: Confirmation) -> None:
    """Write each confirmed candidate's confusion matrix as a picture, or its predicted against its
    true values, and the pictures of some test rows, a step each."""
    from raytl.reporting.plots import confusion_figure, predicted_figure

    with _writer(run / FOLDER / "confirmation") as writer:
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
