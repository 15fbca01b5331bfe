"""A confirmed candidate trained once more, on every row whose label is known."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from raytl.config import Study, TrialConfig
from raytl.data.domain import Domains
from raytl.errors import UserError
from raytl.models.source_spec import SourceSpec
from raytl.seeds import seed_for
from raytl.sweeping.exporting import save_trained, test_score
from raytl.sweeping.verdict.confirmed import Confirmation
from raytl.training.material import Material, open_domains
from raytl.training.trial import run_trial
from raytl.training.whole_target import whole_target
from raytl.urls import Place

Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Refitted:
    """What was written. `candidate`: the name of what was trained; `rows`: labelled ones that it
    learnt from; `before`: the score that the run measured of the same training on fewer rows."""

    spec: SourceSpec
    candidate: str
    rows: int
    before: dict[str, float | None]


def refit(
    study: Study,
    confirmation: Confirmation,
    name: str | None,
    out: Place,
    *,
    force: bool = False,
    progress: Progress = lambda metrics: None,
) -> Refitted:
    """Train a confirmed candidate, the recommended one by default, on all labelled rows of the
    target, and write it as a source model in `out`. `study`: with what opening it decided.

    Raises UserError that lists the candidates where `name` is none of them, or where `out` exists
    without `force`; ConfigError where no label was held out; TrainingError where a loss is not
    finite.
    """
    candidate = confirmation.candidate(name or confirmation.recommended)
    if candidate is None:
        known = ", ".join(f"'{c.name}'" for c in confirmation.candidates)
        lacks = f"no confirmed candidate '{name}'" if name else "no candidate is recommended"
        raise UserError(f"{lacks}; there are {known}")
    domains = open_domains(study)
    whole = whole_target(domains.target, study.search.seed)
    assert whole.learnt_K is not None
    trial = TrialConfig.from_flat(candidate.config)
    on_all = study.model_copy(update={"target_domain": whole.config})
    material = Material.of(on_all, Domains(whole, domains.source))
    parts = run_trial(
        material, trial, seed_for(study.search.seed, "refit"), lambda metrics, _: progress(metrics),
        device=_device(study),
    )  # fmt: skip
    parts.model.cpu()
    rows = len(whole.learnt_K)
    spec = save_trained(
        study, trial, parts, domains.target.dataset, None, out, force=force, labelled_rows=rows
    )
    return Refitted(spec, candidate.name, rows, test_score(confirmation, candidate))


def _device(study: Study) -> str:
    """Return what this process trains on: a GPU where trials had one and there is one here."""
    gpu = study.resources.gpus_per_worker > 0 and torch.cuda.is_available()
    return os.environ.get("RAYTL_DEVICE") or ("cuda" if gpu else "cpu")
