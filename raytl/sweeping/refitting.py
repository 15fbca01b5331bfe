"""What a run chose, trained once more on every row whose label is known."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from raytl.config import Study, TrialConfig
from raytl.data.domain import Domains
from raytl.devices import device_for
from raytl.models.source_spec import SourceSpec
from raytl.seeds import seed_for
from raytl.sweeping.chosen import Chosen
from raytl.sweeping.exporting import save_trained
from raytl.training.material import Material
from raytl.training.trial import run_trial
from raytl.training.whole_target import whole_target
from raytl.urls import Place

Progress = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Refitted:
    """What was written. `candidate`: the name of what was trained; `rows`: labelled ones that it
    learnt from; `before`: what the run measured of the same training on fewer rows, by name."""

    spec: SourceSpec
    candidate: str
    rows: int
    before: dict[str, float | None]


def refit(
    study: Study,
    domains: Domains,
    chosen: Chosen,
    out: Place,
    *,
    force: bool = False,
    progress: Progress = lambda metrics: None,
) -> Refitted:
    """Train what a run chose on all labelled rows of the target, and write it as a source model in
    `out`. `study`: with what opening it decided; `domains`: its own, opened.

    Raises UserError where `out` exists without `force`, ConfigError where no label was held out,
    TrainingError where a loss is not finite.
    """
    whole = whole_target(domains.target, study.search.seed)
    assert whole.learnt_K is not None
    trial = TrialConfig.from_flat(chosen.config)
    on_all = study.model_copy(update={"target_domain": whole.config})
    material = Material.of(on_all, Domains(whole, domains.source))
    parts = run_trial(
        material, trial, seed_for(study.search.seed, "refit"), lambda metrics, _: progress(metrics),
        device=device_for(study.resources.gpus_per_worker) or "cpu",
    )  # fmt: skip
    parts.model.cpu()
    rows = len(whole.learnt_K)
    spec = save_trained(
        study, trial, parts, domains.target.dataset, None, out, force=force, labelled_rows=rows
    )
    return Refitted(spec, chosen.name, rows, chosen.score)
