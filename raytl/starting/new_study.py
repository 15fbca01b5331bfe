"""`raytl new`: look at data, find source models, measure, and write a study."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from raytl.config import DomainConfig, TargetDomainConfig, load_study
from raytl.config.reading import check_study
from raytl.config.yaml_text import parse_yaml
from raytl.data.domain import Domain, Domains
from raytl.errors import ConfigError, UserError
from raytl.files import check_writable, write_atomically
from raytl.folders import check_place
from raytl.starting.candidates import Fitting
from raytl.starting.datasets import (
    Given,
    as_source,
    given_data,
    placed,
    plain_name,
    source_facts,
    target_facts,
)
from raytl.starting.draft import Draft
from raytl.starting.drafting import complete
from raytl.starting.facts import Facts
from raytl.starting.models_found import find_models
from raytl.starting.raw import Wanted
from raytl.starting.remarks import Origin, remark
from raytl.starting.sharding import is_dataset
from raytl.starting.spaces import Labels
from raytl.starting.study_text import study_text
from raytl.sweeping.preflight import preflight
from raytl.training.fitted_task import fitted_task

Say = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """What `raytl new` is asked. `data` and `source`: a dataset of raytl's or raw data; `models`:
    files and folders of source models; `place`: where raw data come to be a dataset."""

    data: str
    out: Path | None = None
    minutes: float = 30.0
    labels: Labels = "all"
    source: str | None = None
    models: tuple[Path, ...] = ()
    place: Path | None = None
    target: str | None = None
    pattern: str | None = None
    force: bool = False


def new_study(asked: Asked, say: Say) -> Path:
    """Write a study and return its path. It is written whole and last, once raytl's own preflight
    has passed; a dataset that was sharded for it stays.

    Raises UserError where a file stands where it is to be written, ConfigError for what is asked
    that cannot be, and what `look`, `facts_of`, `find_models` and `preflight` raise.
    """
    out = asked.out or Path(f"{plain_name(asked.data)}.yaml")
    _check(asked, out)
    target, source = _given(asked)
    target = target if asked.place else placed(target)
    facts = target_facts(target, looks=asked.labels != "none", force=asked.force, say=say)
    of_source = None
    if source is not None:
        source = as_source(source, facts)
        source = source if asked.place else placed(source)
        of_source = source_facts(source, facts, force=asked.force, say=say)
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


def _check(asked: Asked, out: Path) -> None:
    check_writable(out)
    if out.exists() and not asked.force:
        raise UserError(f"{out}: exists already; give another --out, or replace it with --force")
    if not 0 < asked.minutes < float("inf"):
        raise ConfigError(f"--minutes > 0 must hold, got {asked.minutes:g}")
    if asked.labels == "none" and asked.source is None:
        raise ConfigError(
            "--labels none leaves no label to learn from; give a labelled source domain with "
            "--source DATA2"
        )
    if isinstance(asked.labels, int) and asked.labels < 2:
        raise ConfigError(
            f"--labels >= 2 must hold, one of a class to learn from and one to be selected by, got "
            f"{asked.labels}"
        )


def _given(asked: Asked) -> tuple[Given, Given | None]:
    """Return what the data are, both before any is sharded."""
    place = asked.place or _usual_place(asked.data)
    target = given_data(asked.data, place, Wanted(asked.target, asked.pattern))
    source = None
    if asked.source is not None:
        beside = (
            place.parent / plain_name(asked.source) if asked.place else _usual_place(asked.source)
        )
        # Of raw data the columns are called alike; of datasets each has its own
        wanted = asked.target
        if wanted is None and target.raw is not None:
            wanted = target.raw.options.get("target")
        source = given_data(asked.source, beside, Wanted(wanted, asked.pattern))
        if source.place == target.place and (asked.place or asked.source == asked.data):
            raise ConfigError(
                f"--source: its dataset would be {source.place}, which is the target's; give other "
                "data, or shard one of them by hand under another name"
            )
    for one in (target, source):
        if one is not None and one.raw is not None and isinstance(one.place, Path):
            check_place(one.place)
    return target, source


def _usual_place(data: str) -> Path:
    """Return data/NAME, or beside it where something else than a dataset stands there: the raw data
    themselves, say."""
    place = Path("data") / plain_name(data)
    free = not place.exists() or is_dataset(place)
    return place if free else place.with_name(f"{place.name}_shards")


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
