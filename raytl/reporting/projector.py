"""The features of a run's best model for TensorBoard's projector.

Legend: N rows, F features.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from raytl.reporting.tensorboard import FOLDER
from raytl.scoring.wording import value_text
from raytl.tasks.columns import has_target
from raytl.training.predict import Predictor
from raytl.urls import Place

MOST_ROWS = 1000
MOST_FEATURES = 64  # principal components where there are more: files stay below a megabyte
DIGITS = 4  # of a feature
AT_A_TIME = 100  # rows
LONGEST_S = 20.0  # a large model on a slow machine: fewer rows
NO_LABEL = "no label"


@dataclass(frozen=True)
class Projected:
    """What the projector shows: `features_NF`, and for each row what `names` name."""

    features_NF: np.ndarray
    names: tuple[str, ...]
    labels: Sequence[tuple[str, ...]]


def write_projector(run: Path, dataset: Place, split: str) -> None:
    """Write what the head of `best/` is given for the first rows of a split, with labels and
    predictions. Nothing where the task has no vector of a row.

    Raises ModelError where the data is not what the model reads.
    """
    from torch.utils.tensorboard import SummaryWriter

    found = projected(Predictor.open(run / "best", dataset), split)
    if found is None:
        return
    with SummaryWriter(str(run / FOLDER / "best")) as writer:
        writer.add_embedding(
            torch.from_numpy(components(found.features_NF)), list(found.labels),
            tag=f"features_of_{split}_rows", metadata_header=list(found.names),
        )  # fmt: skip


@torch.inference_mode()
def projected(predictor: Predictor, split: str) -> Projected | None:
    """Return the mapped features of at most MOST_ROWS rows of a split, as many as are computed in
    LONGEST_S; None where the task gives no vectors."""
    task, model = predictor.complete.task, predictor.complete.model.eval()
    if "numbers" not in task.gives:  # of masks, boxes, sentences there is no vector of a row
        return None
    rows = np.arange(min(MOST_ROWS, predictor.domain.split(split).rows))
    feed = predictor.readers.feed(
        predictor.domain, split, indices=rows, labelled=predictor.judged, batch_size=AT_A_TIME,
        seed=0, kind="resident",
    )  # fmt: skip
    features, labels = [], list[tuple[str, ...]]()
    end = time.monotonic() + LONGEST_S
    for batch in feed.eval_batches(AT_A_TIME):
        output = model(batch.to(predictor.device).inputs, num_source=0)
        features.append(output.mapped.float().cpu().numpy())
        answer_B = task.predict(output.out, output.head).answer.cpu().numpy()
        target_B = None if batch.target is None else np.asarray(batch.target)
        labels += _labels(predictor, batch.id.numpy(), target_B, answer_B)
        if time.monotonic() > end:
            break
    return Projected(np.concatenate(features), ("id", "true", "predicted"), labels)


def _labels(
    predictor: Predictor, id_B: np.ndarray, target_B: np.ndarray | None, answer_B: np.ndarray
) -> list[tuple[str, ...]]:
    known_B = np.zeros(len(id_B), bool) if target_B is None else has_target(target_B)
    classes = predictor.complete.spec.classes

    def word(value: float) -> str:
        # A tab or a line break in a class's name would break the table.
        return value_text(value) if classes is None else " ".join(classes[int(value)].split())

    return [
        (str(id_), word(target_B[n]) if target_B is not None and known else NO_LABEL, word(answer))
        for n, (id_, known, answer) in enumerate(zip(id_B, known_B, answer_B, strict=True))
    ]


def components(features_NF: np.ndarray) -> np.ndarray:
    """Return the features as (N, at most MOST_FEATURES) float64 with few digits: principal
    components where there are more."""
    features_NF = features_NF.astype(np.float64)
    if features_NF.shape[1] > MOST_FEATURES:
        u, s, _ = np.linalg.svd(features_NF - features_NF.mean(0), full_matrices=False)
        features_NF = (u * s)[:, :MOST_FEATURES]
    return np.vectorize(lambda x: float(f"{x:.{DIGITS}g}"), otypes=[np.float64])(features_NF)
