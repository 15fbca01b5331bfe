"""Pretraining: a source model from a labelled dataset, by the same loop as every trial."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from raytl.config import (
    PRETRAINING,
    TASK_FACTS,
    DomainConfig,
    OptimizerConfig,
    SourceModelConfig,
    Study,
    TargetDomainConfig,
    TrainConfig,
    TrialConfig,
    checked_options,
)
from raytl.data.domain import Domain, Domains
from raytl.data.raw.stored_as import rows_facts
from raytl.errors import ConfigError
from raytl.folders import refuse_existing
from raytl.models.source_spec import SPEC_FILE, RowsSpec, SourceSpec
from raytl.seeds import seed_for
from raytl.training.splits import target_rows
from raytl.urls import Place

Progress = Callable[[dict[str, Any]], None]


class _LearntFrom(TargetDomainConfig):
    """A domain that no model is judged by: its test split is not read, and need not be there."""

    def read_splits(self) -> list[str]:
        return DomainConfig.read_splits(self)


def pretrain(
    dataset: Place,
    backbone: str,
    out: Place,
    *,
    epochs: int = 5,
    batch_size: int = 128,
    optimizer: OptimizerConfig | None = None,
    args: dict[str, Any] | None = None,
    input_size: int | None = None,
    validation_fraction: float = 0.1,
    seed: int = 0,
    device: str = "cpu",
    threads: int | None = None,
    force: bool = False,
    progress: Progress = lambda metrics: None,
) -> SourceSpec:
    """Train a fresh `backbone` with its task's usual head on `dataset` and save it as a source
    model.

    The score in `source.json`, by the task's `scored_by`, is of rows held out of the training
    split. `progress` gets the metrics after each epoch, that score among them. `threads`: of torch
    on the CPU, as many as there are by default; weights hang on their number, a little. Raises
    UserError for options that cannot be, and where `out` exists without `force`.
    """
    refuse_existing(out, force, SPEC_FILE)
    if threads is not None and threads < 1:
        raise ConfigError(f"pretrain: threads >= 1 must hold, got {threads}")
    if seed < 0:
        raise ConfigError(f"pretrain: seed >= 0 must hold, got {seed}")
    with checked_options("pretrain"):
        train = TrainConfig(epochs=epochs, batch_size=batch_size)
        target = _LearntFrom(dataset=dataset, labels="all", validation_fraction=validation_fraction)
        model = SourceModelConfig(backbone=backbone, args=args or {}, input_size=input_size)
        study = Study(
            study="pretrain", target_domain=target, source_models={backbone: model}, space={},
            train=train,
        )  # fmt: skip
        trial = TrialConfig(
            source_model=backbone, recipe="scratch", optimizer=optimizer or PRETRAINING
        )
    domain = Domain.open(target)
    target_rows(domain, study.search.seed)

    # Imported when all is well so far: torch takes seconds.
    from raytl.models.source_model import save_source_model
    from raytl.training.fitted_task import fitted_task
    from raytl.training.material import Material
    from raytl.training.trial import run_trial

    domains = Domains(domain, None)
    score = fitted_task(domains, domain, study.search.seed).scored_by
    study = study.decided(metric=score)
    trial = trial.replace(head=TASK_FACTS[study.task].heads[0])
    last: dict[str, Any] = {}

    def report(metrics: dict[str, Any], save: object) -> None:
        last["score"] = {f"validation_{score}": metrics[f"target/validation_{score}"]}
        progress(metrics | last)

    with _threads(threads):
        parts = run_trial(
            Material.of(study, domains), trial, seed_for(seed, "pretrain"), report, device=device
        )
    spec = parts.spec.model_copy(
        update={
            "task": dict(parts.task.facts()),
            "mapper": trial.mapper,
            "head": trial.head,
            "trained_on": {
                "dataset": dataset.name,
                "fingerprint": domain.dataset.fingerprint,
                "epochs": epochs,
                "seed": seed,
            },
            "score": last["score"],
            "rows": RowsSpec(**rows_facts(domain.dataset, parts.spec.parts)),
        }
    )
    return save_source_model(out, parts.model.cpu(), spec, force=force)


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
