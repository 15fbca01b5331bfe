"""Whether a run that has ended can be taken further: its data and source models are still those
that it was made with."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from raytl.config import SourceModelConfig, Study
from raytl.data.dataset import Dataset
from raytl.errors import CorruptError, UserError
from raytl.files import sha256_of
from raytl.models.source_spec import read_spec
from raytl.sweeping.environment_facts import Environment
from raytl.weight_files import check_file

# A place in the study, its digest then and now, where they are known
Compared = tuple[str, str | None, str | None]


def check_made_with(run: Path, study: Study, config: Mapping[str, Any]) -> None:
    """Raise UserError where a trial of a run would be taken further with other data, or another
    source model, than it was trained with, whose transform and classes its weights do not fit;
    CorruptError where environment.json is broken. Of a run without one nothing is known.

    `config`: the trial's, flat.
    """
    file = run / "environment.json"
    if not file.exists():
        return
    try:
        then = Environment.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CorruptError(
            f"{file}: cannot be read: {str(error).splitlines()[0]}; copy the run again"
        ) from None
    for place, was, now in (*_datasets(study, then), *_source_models(study, then, config)):
        if None not in (was, now) and was != now:
            raise UserError(
                f"{run}: {place} is not what this run was made with ({was:.12}… then, {now:.12}… "
                "now); put that back, or run the study anew"
            )


def _datasets(study: Study, then: Environment) -> Iterator[Compared]:
    for role, domain in (("target", study.target_domain), ("source", study.source_domain)):
        if domain is not None and role in then.datasets:
            now = Dataset.open(domain.dataset).fingerprint
            yield f"{role}_domain.dataset", then.datasets[role].fingerprint, now


def _source_models(
    study: Study, then: Environment, config: Mapping[str, Any]
) -> Iterator[Compared]:
    """Yield the trial's source models, of which only weights in one file of the user's are known
    now."""
    for name in map(str, (config.get("source_model"), config.get("student"))):
        if name in study.source_models and name in then.source_models:
            was, now = then.source_models[name].weights_sha256, _weights(study.source_models[name])
            yield f"source_models.{name}", was, now


def _weights(config: SourceModelConfig) -> str | None:
    if config.folder is not None:
        return read_spec(config.folder).weights_sha256
    if not config.has_local_weights:
        return None
    check_file(config.weights_file)
    return sha256_of(config.weights_file)
