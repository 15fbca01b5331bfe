"""Controls of a source model that reads several columns: trial 0 with each of them alone, off which
is read whether fusing them helps."""

from collections.abc import Collection
from dataclasses import dataclass

from raytl.config import Study, TrialConfig
from raytl.data.domain import Domains
from raytl.recipes import RECIPES
from raytl.search_space import SearchSpace
from raytl.sweeping.search.control_facts import ALONE
from raytl.sweeping.search.controls import taken_over, tries_of
from raytl.training.trial_feeds import reads_source


@dataclass(frozen=True)
class AloneControls:
    """`trials`: in the order in which they run. `skipped`: those that make no sense, and why."""

    trials: tuple[tuple[str, TrialConfig], ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()


def alone_controls(
    study: Study, space: SearchSpace, domains: Domains, columns: Collection[str]
) -> AloneControls:
    """Return the controls that read one of the `columns` of trial 0's source model, as the study
    calls them; none where trial 0 reads a single one."""
    first = space.resolve(space.default_params() or {})
    if len(columns) < 2 or first.inputs != "all":
        return AloneControls()
    trials: list[tuple[str, TrialConfig]] = []
    skipped: list[tuple[str, str]] = []
    for column in columns:
        why = _left_out(study, first.recipe, domains, column)
        if why is not None:
            skipped.append((f"{column}{ALONE}", why))
            continue
        depth = first.branch_depths.get(column, first.frozen_depth)
        own = {"recipe": first.recipe, "inputs": column, "frozen_depth": depth}
        plain = TrialConfig.from_flat(taken_over(first) | own)
        trials += tries_of(study, f"{column}{ALONE}", plain)
    return AloneControls(tuple(trials), tuple(skipped))


def _left_out(study: Study, recipe: str, domains: Domains, column: str) -> str | None:
    """Return why a column alone is no control; None where it is one."""
    of = RECIPES[recipe]
    if of.uses_student:
        return f"{recipe} trains a student, whose columns are its own"
    if domains.column_in(domains.target, column) is None:
        return f"the target domain has no column {column}"
    streams = of.streams(study.labelled, domains.source is not None)
    if domains.source is None or not reads_source(study, streams):
        return None
    if domains.column_in(domains.source, column) is None:
        return f"{recipe} reads the source domain, which has no column {column}"
    return None
