"""The space and the numbers of a study: measured, and as large as the minutes allow."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from raytl.config import TrialConfig
from raytl.config.reading import check_study
from raytl.data.domain import Domains
from raytl.search_space import SearchSpace
from raytl.starting.budget import GOOD, Budget, Work, budget_for
from raytl.starting.draft import Draft
from raytl.starting.facts import Facts
from raytl.starting.measuring import device, step_seconds
from raytl.starting.smaller_inputs import sides_of, with_side
from raytl.starting.spaces import recipes_for, searched
from raytl.sweeping.opening import open_study
from raytl.sweeping.search.alone_controls import alone_controls
from raytl.sweeping.search.controls import control_trials
from raytl.sweeping.search.probe_controls import probe_controls
from raytl.training.splits import source_rows, target_rows

# Without target labels: bnm, the usual objective, is safe between recipes, not between networks
BETWEEN_NETWORKS = "iwv"
DENSE_BATCH = {"segmentation": 8, "detection": 4}


@dataclass(frozen=True)
class Sized:
    """What was measured and decided. `side`: of smaller images, in pixels, where networks read
    such; `reason`: why the `metric` is not the usual one."""

    budget: Budget
    work: Work
    side: int | None
    metric: str
    reason: str | None


def complete(draft: Draft, domains: Domains, minutes: float, say: Callable[[str], None]) -> Sized:
    """Complete a study that has its source models: measured, and as large as the minutes allow."""
    pretrained = [model.name for model in draft.models if model.pretrained]
    recipes = recipes_for(draft.facts, draft.labels, draft.source is not None, bool(pretrained))
    _put(draft, draft.models[0].name, recipes, ("0%",), None, 1)
    opened = open_study(check_study(draft.study))
    trials = {
        model.name: SearchSpace(opened.study)
        .resolve({})
        .replace(source_model=model.name, recipe=recipes[0], frozen_depth="0%")
        for model in draft.models
    }
    say(f"measuring training steps of {len(trials)} source models")
    work = _work(draft, domains, minutes)
    seconds = step_seconds(opened.study, domains, trials, work.batch)
    chosen = _chosen(draft, replace(work, step_row=seconds), recipes)
    if chosen.side is not None:
        draft.models = [with_side(model, chosen.side, draft.facts) for model in draft.models]
    _put(draft, chosen.first, recipes, chosen.budget.depths, chosen.budget, work.batch)
    return Sized(chosen.budget, chosen.work, chosen.side, opened.study.metric, opened.reason)


def _work(draft: Draft, domains: Domains, minutes: float) -> Work:
    """Return what trials have to do; how long steps take is to be measured."""
    rows, facts = target_rows(domains.target, 0), draft.facts
    stream, streams = len(rows.labelled), 1
    of_source = 0
    if domains.source is not None:
        of_source = len(source_rows(domains.source, 0).train)
        stream, streams = max(stream, len(rows.unlabelled), of_source), 2
    every = sum(split.rows for split in facts.dataset.info.splits.values()) + of_source
    tested = domains.target.split(domains.target.config.splits.test).rows
    return Work(
        step_row={}, stream=stream, streams=streams, batch=_batch(facts, stream), rows=every,
        judged=len(rows.validation), tested=tested, slots=_slots(), minutes=minutes,
    )  # fmt: skip


def _batch(facts: Facts, stream: int) -> int:
    if facts.task in DENSE_BATCH:
        return min(DENSE_BATCH[facts.task], stream)
    return min(stream, 16 if stream < 200 else 32 if stream < 2000 else 64)


def _slots() -> int:
    if device() == "cuda":
        import torch

        return torch.cuda.device_count()
    return len(os.sched_getaffinity(0))


@dataclass(frozen=True)
class _Chosen:
    """A budget with trial 0's source model, `first`, and the `side` of smaller images, if any."""

    budget: Budget
    work: Work
    side: int | None
    first: str

    @property
    def rank(self) -> tuple[int, float]:
        """What is less is better."""
        return self.budget.index, self.budget.minutes


def _chosen(draft: Draft, work: Work, recipes: Sequence[str]) -> _Chosen:
    """Return the first that makes a good study, or the best: of the likeliest source model; of
    networks that read smaller images; with the cheapest one as trial 0, which controls train
    whole."""
    pretrained = [model.name for model in draft.models if model.pretrained]
    fresh = [model.name for model in draft.models if not model.pretrained]
    cheapest = min(pretrained or fresh[:1], key=lambda name: work.step_row[name])
    best: _Chosen | None = None
    for first in dict.fromkeys((draft.models[0].name, cheapest)):
        controls = _controls(draft, first, recipes, work.batch)
        for side, shares in sides_of(draft.models, draft.facts):
            smaller = {name: s * shares.get(name, 1.0) for name, s in work.step_row.items()}
            tried = replace(work, step_row=smaller)
            found = _Chosen(budget_for(tried, controls, pretrained, fresh), tried, side, first)
            if found.budget.index <= GOOD:
                return found
            best = found if best is None or found.rank < best.rank else best
    assert best is not None, "the models' own side is tried"
    return best


def _controls(
    draft: Draft, first: str, recipes: Sequence[str], batch: int
) -> list[tuple[str, TrialConfig]]:
    """Return the study's controls with one try each, where trial 0 has the source model `first`."""
    _put(draft, first, recipes, ("50%",), None, batch)
    opened = open_study(check_study(draft.study))
    study, space = opened.study, opened.space
    columns = {name: list(config.parts or [""]) for name, config in study.source_models.items()}
    return [
        *control_trials(study, space), *probe_controls(study, space),
        *alone_controls(study, space, opened.domains, columns).trials,
    ]  # fmt: skip


def _put(
    draft: Draft,
    first: str,
    recipes: Sequence[str],
    depths: Sequence[str],
    budget: Budget | None,
    batch: int,
) -> None:
    """Put source models, space and numbers into the study."""
    plan = searched(draft.facts, draft.models, first, recipes, depths)
    draft.study["source_models"] = {model.name: model.config for model in draft.models}
    draft.study["defaults"], draft.study["space"] = plan.defaults, plan.space
    train: dict[str, Any] = {"epochs": 1, "batch_size": batch}
    search: dict[str, Any] = {"sampler": "tpe", "trials": 1, "seed": 0, "scheduler": "asha"}
    confirm: dict[str, Any] = {}
    if budget is None:
        search["control_tries"] = 1
    else:
        level = budget.level
        search |= {"trials": level.trials, "control_tries": level.tries}
        search |= {"metric": "auto", "ranking": _ranking(draft)}
        if draft.labels == "none" and len(draft.models) > 1:
            search["objective"] = BETWEEN_NETWORKS
        train["epochs"] = budget.epochs
        if budget.steps_per_epoch is not None:
            train["steps_per_epoch"] = budget.steps_per_epoch
        seeds = level.seeds[0] if level.seeds[0] == level.seeds[1] else list(level.seeds)
        confirm = {"top": min(level.top, level.trials), "seeds": seeds}
    gpus = 1 if device() == "cuda" else 0
    resources = {"workers_per_trial": 1, "cpus_per_worker": 1, "gpus_per_worker": gpus}
    draft.study |= {"search": search, "train": train, "confirm": confirm, "resources": resources}


def _ranking(draft: Draft) -> str:
    """Return the score by which source models are tried first: of several that are pretrained."""
    several = sum(model.pretrained for model in draft.models) > 1
    scored = bool(draft.facts.gives & {"classes", "values"})
    return "log_me" if several and scored and draft.labels != "none" else "none"
