"""A trained trial as a source model."""

from collections.abc import Mapping
from typing import Any

from raytl.config import Study, TrialConfig
from raytl.data.dataset import Dataset
from raytl.data.raw.stored_as import rows_facts
from raytl.models.adapters import merge_adapters
from raytl.models.source_model import save_source_model
from raytl.models.source_spec import RowsSpec, SourceSpec
from raytl.seeds import seed_for
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.verdict.confirmed import Confirmation
from raytl.training.building import TrialParts, build_trial
from raytl.training.checkpoint import load_checkpoint
from raytl.training.material import Material
from raytl.urls import Place


def export(
    study: Study,
    storage: RunStorage,
    confirmation: Confirmation,
    name: str,
    out: Place,
    *,
    force: bool = False,
) -> None:
    """Write a confirmed candidate's first good seed as a source model in `out`.

    Raises UserError that lists the candidates where `name` is none of them, or where `out` exists
    without `force`.
    """
    candidate = confirmation.trained(name)
    good = next(run for run in candidate.runs if run.score is not None)
    seed = seed_for(study.search.seed, "confirm", good.seed)
    write_model(
        study, storage, candidate.config, (seed, good.rows_seed), good.folder,
        confirmation.score_of(candidate), out, force=force,
    )  # fmt: skip


def write_model(
    study: Study,
    storage: RunStorage,
    config: dict[str, Any],
    seeds: tuple[int, int | None],
    folder: str,
    score: dict[str, float | None],
    out: Place,
    *,
    force: bool,
) -> None:
    """Write what a trial trained, of which `folder` has the checkpoint. `seeds`: the trial's own,
    and that of its rows, None for the study's. Raises UserError where `out` exists without
    `force`."""
    trial, material = TrialConfig.from_flat(config), Material.of(study)
    parts = build_trial(material, trial, *seeds)
    load_checkpoint(storage.newest_checkpoint(folder), parts.model)
    save_trained(study, trial, parts, material.domains.target.dataset, score, out, force=force)


def save_trained(
    study: Study,
    trial: TrialConfig,
    parts: TrialParts,
    dataset: Dataset,
    score: Mapping[str, float | None] | None,
    out: Place,
    *,
    force: bool,
    **trained_on: Any,
) -> SourceSpec:
    """Write what a trial trained as a source model. `dataset`: the target domain's; `trained_on`:
    what else is said of that. Raises UserError where `out` exists without `force`."""
    merge_adapters(parts.model)
    spec = parts.spec.model_copy(
        update={
            "task": dict(parts.task.facts()),
            "fusion": trial.fusion,
            "mapper": trial.mapper,
            "head": trial.head,
            "trained_on": {
                "study": study.study,
                "source_model": trial.source_model,
                "recipe": trial.recipe,
                "dataset": study.target_domain.dataset.name,
                **trained_on,
            },
            "score": score,
            "rows": RowsSpec(**rows_facts(dataset, parts.spec.parts)),
        }
    )
    return save_source_model(out, parts.model, spec, force=force)
