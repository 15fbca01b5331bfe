"""Controls: the baselines that every study runs before it searches.

A control is plain: it takes over from trial 0 which source model, head, optimiser and class weights
it uses, and all else is at the defaults, whatever the study sets for what it searches. So that it
is no straw man, each that learns is tried at several learning rates of the range that suits what it
trains, with the seed and epochs of every trial; the best by the study's own objective is confirmed.
"""

from collections.abc import Sequence
from typing import Any

from raytl.config import CONTROLS, ControlName, Distribution, Study, TrialConfig
from raytl.config.learning_rates import LEARNING_RATES, Trained
from raytl.config.trial import UNTRAINED_HEADS
from raytl.errors import ConfigError
from raytl.recipes import RECIPES
from raytl.search_space import SearchSpace, quantiles
from raytl.sweeping.search.control_facts import CONTROL_FACTS

# From trial 0: what every training of this target would have, with transfer or without.
TAKEN_OVER = ("source_model", "head", "head.hidden", "optimizer", "class_weights")

# Of a control that has its answer before any step: nothing moves it.
UNTRAINED = {"class_weights": "none", "optimizer.weight_decay": 0.0}


def controls_of(study: Study) -> list[ControlName]:
    """Return the controls that there are for the study's task."""
    return [control for control in CONTROLS if CONTROL_FACTS[control].only_of <= study.gives]


def skipped_controls(study: Study, space: SearchSpace) -> dict[ControlName, str]:
    """Return the controls that make no sense in this study, and why."""
    skipped: dict[ControlName, str] = {}
    for control in controls_of(study):
        try:
            RECIPES[control].streams(study.labelled, study.source_domain is not None)
        except ConfigError as error:
            skipped[control] = str(error)
        missing = RECIPES[control].needs - study.gives
        if missing:
            skipped[control] = f"{control} needs {' and '.join(sorted(missing))}"
        if CONTROL_FACTS[control].needs_pretrained and _pretrained(study, space) is None:
            skipped[control] = f"{control} needs a pretrained source model"
    return skipped


def _pretrained(study: Study, space: SearchSpace) -> str | None:
    """Return trial 0's source model where it is pretrained, else the first one that is."""
    first = space.resolve(space.default_params() or {}).source_model
    names = [first, *space.choices("source_model")]
    return next((name for name in names if not study.source_models[name].is_fresh), None)


def control_trials(study: Study, space: SearchSpace) -> list[tuple[str, TrialConfig]]:
    """Return the control trials in the order in which they run."""
    taken = taken_over(space.resolve(space.default_params() or {}))
    skipped = skipped_controls(study, space)
    trials: list[tuple[str, TrialConfig]] = []
    for control in (c for c in controls_of(study) if c not in skipped):
        flat = taken | {"recipe": control}
        if CONTROL_FACTS[control].needs_pretrained:
            flat["source_model"] = _pretrained(study, space)
        if not CONTROL_FACTS[control].learns:
            flat |= UNTRAINED | {"head": UNTRAINED_HEADS[control]}
            trials.append((control, TrialConfig.from_flat(flat)))
            continue
        trials += tries_of(study, control, TrialConfig.from_flat(flat))
    return trials


def taken_over(first: TrialConfig) -> dict[str, Any]:
    """Return what every control takes over from trial 0, `first`."""
    flat = first.flat()
    return {key: flat[key] for key in TAKEN_OVER}


def tries_of(study: Study, control: str, plain: TrialConfig) -> list[tuple[str, TrialConfig]]:
    """Return a control that learns at each of its learning rates."""
    rates = spread(*_range(study, plain), study.search.control_tries)
    return [(control, plain.replace(optimizer__lr=rate)) for rate in rates]


def spread(low: float, high: float, count: int) -> list[float]:
    """Return `count` rates spread evenly over [low, high], on a logarithmic scale, rising."""
    return quantiles(Distribution.model_validate({"float": [low, high], "log": True}), count)


def lower_tries(study: Study, tries: Sequence[TrialConfig]) -> list[TrialConfig]:
    """Return as many tries again for a control whose `tries` all failed, at the rates that follow
    below theirs: as many decades lower as the range of its rates is wide.

    None where the tries already lie below the range: then it is not the rate that is to blame.
    """
    low, high = _range(study, tries[0])
    if min(trial.optimizer.lr for trial in tries) < low:
        return []
    return [trial.replace(optimizer__lr=trial.optimizer.lr * low / high) for trial in tries]


def _range(study: Study, control: TrialConfig) -> tuple[float, float]:
    return LEARNING_RATES[control.optimizer.name][_trained(study, control)]


def _trained(study: Study, control: TrialConfig) -> Trained:
    recipe = RECIPES[control.recipe]
    if recipe.freezes == "all":
        return "head"
    fresh = recipe.fresh_backbone or study.source_models[control.source_model].trains_fresh
    return "fresh" if fresh else "transferred"
