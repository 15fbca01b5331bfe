"""Controls of the source models that the space has besides trial 0's: each of them frozen under a
head, so that a candidate is compared with the plainest transfer of its own source model."""

from raytl.config import Study, TrialConfig
from raytl.search_space import SearchSpace
from raytl.sweeping.search.control_facts import PROBE
from raytl.sweeping.search.controls import control_trials, tries_of

FROZEN = "linear_probe"


def probe_controls(study: Study, space: SearchSpace) -> list[tuple[str, TrialConfig]]:
    """Return linear_probe of each further pretrained source model, at each of its learning rates;
    none where the study has no such control."""
    plain = next((trial for name, trial in control_trials(study, space) if name == FROZEN), None)
    if plain is None:
        return []
    others = [
        name
        for name in dict.fromkeys(space.choices("source_model"))
        if name != plain.source_model and not study.source_models[name].is_fresh
    ]
    return [
        one
        for name in others
        for one in tries_of(study, f"{name}{PROBE}", plain.replace(source_model=name))
    ]
