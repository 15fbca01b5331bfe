"""Source models ranked by their features of the labelled target rows, before any training."""

import json
import time
from pathlib import Path

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict

from raytl.data.dataset import Dataset
from raytl.errors import ConfigError
from raytl.files import write_atomically
from raytl.models.source_model import load_source_model
from raytl.scoring.transferability import SCORES, check_rows
from raytl.seeds import seed_for
from raytl.sweeping.preflight import Checked
from raytl.training.inputs import input_transform
from raytl.training.splits import target_rows

MOST_ROWS = 2000
BATCH = 64


class Ranked(BaseModel):
    """One source model's scores, each the better the higher. `size`: parameters of the backbone,
    the plain baseline. `seconds`: for the features and, by name, each score."""

    model_config = ConfigDict(frozen=True)

    source_model: str
    scores: dict[str, float]
    seconds: dict[str, float]
    rows: int


def rank_source_models(checked: Checked) -> list[Ranked]:
    """Score every source model of the study on up to MOST_ROWS labelled target rows.

    Raises ConfigError without target labels.
    """
    images, labels = _labelled_rows(checked)
    check_rows(labels)
    return [_ranked(checked, name, images, labels) for name in checked.study.source_models]


def order(ranking: list[Ranked], score: str) -> list[str]:
    """Return the source models' names, the most promising first."""
    best_first = sorted(ranking, key=lambda ranked: -ranked.scores[score])
    return [ranked.source_model for ranked in best_first]


def _labelled_rows(checked: Checked) -> tuple[np.ndarray, np.ndarray]:
    study, target = checked.study, checked.target
    if not study.labelled:
        raise ConfigError(
            "ranking source models needs target labels, but target_domain.labels is none"
        )
    rows = target_rows(study.target_domain, target, study.search.seed).labelled
    generator = np.random.default_rng(seed_for(study.search.seed, "ranking"))
    chosen = np.sort(generator.permutation(rows)[:MOST_ROWS])
    return Dataset.open(target.path).split(study.target_domain.splits.train).take(chosen)


def _ranked(checked: Checked, name: str, images: np.ndarray, labels: np.ndarray) -> Ranked:
    start = time.perf_counter()
    height, width, channels = checked.target.image_shape
    config = checked.study.source_models[name]
    seed = seed_for(checked.study.search.seed, "ranking")
    model = load_source_model(name, config, (channels, height, width), seed)
    transform, backbone = input_transform(model.spec), model.backbone.eval()
    with torch.inference_mode():
        parts = [
            backbone(transform(torch.from_numpy(images[i : i + BATCH])))
            for i in range(0, len(images), BATCH)
        ]
    features = torch.cat(parts).double().numpy()
    seconds = {"features": time.perf_counter() - start}
    scores: dict[str, float] = {"size": float(sum(p.numel() for p in backbone.parameters()))}
    for score, function in SCORES.items():
        start = time.perf_counter()
        scores[score] = function(features, labels)
        seconds[score] = time.perf_counter() - start
    return Ranked(source_model=name, scores=scores, seconds=seconds, rows=len(labels))


def save_ranking(ranking: list[Ranked], file: Path) -> None:
    """Write the ranking as JSON."""
    data = [ranked.model_dump(mode="json") for ranked in ranking]
    write_atomically(file, json.dumps(data, indent=1))


def load_ranking(file: Path) -> list[Ranked]:
    """Read what `save_ranking` wrote."""
    return [Ranked.model_validate(row) for row in json.loads(file.read_text(encoding="utf-8"))]
