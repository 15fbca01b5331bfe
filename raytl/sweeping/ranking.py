"""Source models ranked by their features of the labelled target rows, before any training."""

import time
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from raytl.config import TASK_FACTS
from raytl.data.domain import Domains
from raytl.errors import ConfigError
from raytl.models.branch import Branch
from raytl.models.source_model import load_source_model
from raytl.scoring.transferability import SCORES, Transferability, check_rows
from raytl.seeds import seed_for
from raytl.sweeping.preflight import Checked
from raytl.sweeping.ranked import Ranked
from raytl.training.material import Material
from raytl.training.readers import Prepared, Readers
from raytl.training.splits import target_rows

MOST_ROWS = 2000
BATCH = 64


def rank_source_models(checked: Checked) -> list[Ranked]:
    """Score every source model of the study on up to MOST_ROWS labelled target rows, by all scores
    that read what the target holds.

    Raises ConfigError without target labels, or where no score reads them.
    """
    study = checked.study
    scores = [score for score in SCORES.values() if score.reads & study.gives]
    if not scores:
        raise ConfigError(
            "ranking source models needs a target of classes or values, but the target column "
            f"'{checked.domains.target.target}' holds {TASK_FACTS[study.task].holds}"
        )
    rows = _labelled_rows(checked)
    target = checked.domains.target
    labels = target.targets(target.config.splits.train)[rows]
    check_rows(labels)
    material = Material.of(study, checked.domains)
    return [_ranked(material, name, rows, labels, scores) for name in study.source_models]


def sizes_of(checked: Checked) -> list[Ranked]:
    """Return every source model of the study with its size alone, for which no row is read."""
    material = Material.of(checked.study, checked.domains)
    return [
        Ranked(source_model=name, scores=_size(_branches(material, name)), seconds={}, rows=0)
        for name in checked.study.source_models
    ]


def _labelled_rows(checked: Checked) -> np.ndarray:
    study = checked.study
    if not study.labelled:
        raise ConfigError(
            "ranking source models needs target labels, but target_domain.labels is none"
        )
    rows = target_rows(checked.domains.target, study.search.seed).labelled
    generator = np.random.default_rng(seed_for(study.search.seed, "ranking"))
    return np.sort(generator.permutation(rows)[:MOST_ROWS])


def _ranked(
    material: Material,
    name: str,
    rows: np.ndarray,
    labels: np.ndarray,
    functions: Sequence[Transferability],
) -> Ranked:
    start = time.perf_counter()
    branches = _branches(material, name)
    features = _features(material.domains, branches, rows)
    seconds = {"features": time.perf_counter() - start}
    scores = _size(branches)
    for function in functions:
        start = time.perf_counter()
        scores[function.name] = function(features, labels)
        seconds[function.name] = time.perf_counter() - start
    return Ranked(source_model=name, scores=scores, seconds=seconds, rows=len(labels))


def _branches(material: Material, name: str) -> dict[str, Branch]:
    config, models = material.study.source_models[name], material.source_models
    seed = seed_for(material.study.search.seed, "ranking")
    model = load_source_model(name, config, models.columns, models.samples, seed)
    return {n: Branch(part, ()).eval() for n, part in model.parts.items()}


def _size(branches: Mapping[str, Branch]) -> dict[str, float]:
    return {"size": float(sum(p.numel() for b in branches.values() for p in b.parameters()))}


@torch.inference_mode()
def _features(domains: Domains, branches: dict[str, Branch], rows: np.ndarray) -> np.ndarray:
    """Return the features of the target's training rows `rows`, of all branches side by side."""
    target = domains.target
    readers = Readers(domains, {name: Prepared(name, b) for name, b in branches.items()})
    feed = readers.feed(
        target, target.config.splits.train, indices=rows, labelled=False, batch_size=BATCH, seed=0
    )
    found = [
        torch.cat([branches[n](given).features for n, given in batch.inputs.items()], dim=1)
        for batch in feed.eval_batches(BATCH)
    ]
    return torch.cat(found).double().numpy()
