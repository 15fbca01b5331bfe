"""`raytl new`: look at data, find source models, measure, and write a study."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from raytl.config import DomainConfig, TargetDomainConfig, load_study
from raytl.config.reading import check_study
from raytl.config.yaml_text import parse_yaml
from raytl.data.domain import Domain, Domains
from raytl.files import write_atomically
from raytl.starting.asked import Asked
from raytl.starting.candidates import Fitting
from raytl.starting.datasets import (
    Given,
    as_source,
    check_alike,
    lacks_labels,
    placed,
    plain_name,
    source_facts,
    target_facts,
    with_classes,
)
from raytl.starting.draft import Draft
from raytl.starting.drafting import complete
from raytl.starting.facts import Facts
from raytl.starting.models_found import find_models
from raytl.starting.remarks import Origin, remark
from raytl.starting.study_text import study_text
from raytl.sweeping.preflight import preflight
from raytl.training.fitted_task import fitted_task

Say = Callable[[str], None]


def new_study(asked: Asked, target: Given, source: Given | None, say: Say) -> Path:
    """Write a study and return its path. It is written whole and last, once raytl's own preflight
    has passed; a dataset that was sharded for it stays. `target` and `source`: as `data_of` found
    them.

    Raises ConfigError for what is asked that cannot be, and what `facts_of`, `find_models` and
    `preflight` raise.
    """
    out = asked.file
    target, facts, source, of_source = _sharded(asked, target, source, say)
    raws = [(one.raw, one.place) for one in (target, source) if one is not None and one.raw]
    origin = Origin(
        tuple(raw.command(str(place)) for raw, place in raws),
        tuple(note for raw, _ in raws for note in raw.notes), (), asked.minutes,
    )  # fmt: skip
    name = plain_name(asked.data if asked.out is None else asked.out.stem)
    draft = _drafted(asked, name, facts, of_source, origin, say)
    text = study_text(draft.study, draft.models, draft.downloads, draft.notes)
    data, lines = parse_yaml(text, str(out))
    preflight(check_study(data, out, lines))
    write_atomically(out, text)
    load_study(out)
    return out


def _sharded(
    asked: Asked, target: Given, source: Given | None, say: Say
) -> tuple[Given, Facts, Given | None, Facts | None]:
    """Return the data as they were sharded, and their facts. The source domain is given the
    target's classes; a target that lacks labels has the source's, which comes first then."""

    def of_target(given: Given) -> tuple[Given, Facts]:
        own = given if asked.place else placed(given)
        looks = asked.labels == "all"
        return own, target_facts(own, looks=looks, force=asked.force, say=say)

    def of_source(given: Given) -> tuple[Given, Facts]:
        own = given if asked.place else placed(given)
        return own, source_facts(own, force=asked.force, say=say)

    if source is None:
        return *of_target(target), None, None
    source = as_source(source)
    if lacks_labels(target):
        source, known = of_source(source)
        target, facts = of_target(with_classes(target, known))
    else:
        target, facts = of_target(target)
        source, known = of_source(with_classes(source, facts))
    check_alike(known, facts)
    return target, facts, source, known


def _drafted(
    asked: Asked, name: str, facts: Facts, source: Facts | None, origin: Origin, say: Say
) -> Draft:
    draft = Draft.begun(name, facts, source, asked.labels)
    target = Domain.open(TargetDomainConfig.model_validate(draft.study["target_domain"]))
    of_source = draft.study.get("source_domain")
    domains = Domains(
        target, None if of_source is None else Domain.open(DomainConfig.model_validate(of_source))
    )
    say("looking for source models that fit")
    tried = Fitting(domains, fitted_task(domains, target, 0))
    found, draft.downloads = find_models(domains, tried, asked.models, facts.task)
    draft.models = found.models
    for line in found.left:
        say(line)
    sized = complete(draft, domains, asked.minutes, say)
    level, minutes = sized.budget.level, max(1, round(sized.budget.minutes))
    say(f"{level.trials} trials beside the controls, about {minutes} of {asked.minutes:g} minutes")
    remark(draft, sized, replace(origin, left=tuple(found.left)))
    return draft
