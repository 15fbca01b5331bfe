"""Controls of source models that read several columns: trial 0 with each of them alone, off which
is read whether fusing them helps."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from raytl.config import Study, TrialConfig
from raytl.data.domain import Domains
from raytl.recipes import RECIPES
from raytl.search_space import SearchSpace
from raytl.sweeping.search.control_facts import ALONE
from raytl.sweeping.search.controls import taken_over, tries_of
from raytl.training.rows_read import reads_source


@dataclass(frozen=True)
class AloneControls:
    """`trials`: in the order in which they run. `skipped`: those that make no sense, and why."""

    trials: tuple[tuple[str, TrialConfig], ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()


def alone_controls(
    study: Study, space: SearchSpace, domains: Domains, columns: Mapping[str, Collection[str]]
) -> AloneControls:
    """Return the controls that read one column of trial 0's source model alone, and of each further
    one that the space has; none of those that read a single one. They are frozen as trial 0 is, or
    as it would be with their source model. `columns`: by source model, as the study calls them."""
    first = space.resolve(space.default_params() or {})
    if first.inputs != "all":
        return AloneControls()
    trials: list[tuple[str, TrialConfig]] = []
    skipped: dict[str, str] = {}
    for model in dict.fromkeys([first.source_model, *space.choices("source_model")]):
        its = space.resolve(space.default_params(source_model=model) or {"source_model": model})
        for column in columns[model] if len(columns[model]) > 1 else ():
            why = _left_out(study, its.recipe, domains, column)
            if why is not None:
                skipped[f"{column}{ALONE}"] = why
                continue
            depth = its.branch_depths.get(column, its.frozen_depth)
            own = {"recipe": its.recipe, "inputs": column, "frozen_depth": depth}
            plain = TrialConfig.from_flat(taken_over(its) | own)
            of = "" if model == first.source_model else f"{model}."
            trials += tries_of(study, f"{of}{column}{ALONE}", plain)
    return AloneControls(tuple(trials), tuple(skipped.items()))


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
