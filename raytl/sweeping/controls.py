"""Controls: the baselines that every study runs before it searches.

A control is trial 0's configuration with the control's recipe. So that it is no straw man, each
is tried at several learning rates spread over the range that the study searches, with the same
epochs and seed as every trial; the best by the study's own objective is confirmed.
"""

from collections.abc import Sequence
from typing import Any

from raytl.config import CONTROLS, ControlName, Study, TrialConfig
from raytl.errors import ConfigError
from raytl.recipes import RECIPES
from raytl.search_space import SearchSpace, quantiles

# Controls that say what a pretrained model gives by itself.
OF_A_SOURCE_MODEL = ("linear_probe", "target_only")


def skipped_controls(study: Study, space: SearchSpace) -> dict[ControlName, str]:
    """Return the controls that make no sense in this study, and why."""
    skipped: dict[ControlName, str] = {}
    for control in CONTROLS:
        try:
            RECIPES[control].streams(study.labelled, study.source_domain is not None)
        except ConfigError as error:
            skipped[control] = str(error)
        if control in OF_A_SOURCE_MODEL and _pretrained(study, space) is None:
            skipped[control] = f"{control} needs a pretrained source model"
    return skipped


def _pretrained(study: Study, space: SearchSpace) -> str | None:
    """Return trial 0's source model where it is pretrained, else the first one that is."""
    first = space.resolve(space.default_params() or {}).source_model
    names = [first, *space.choices("source_model")]
    return next((name for name in names if not study.source_models[name].is_fresh), None)


def control_trials(study: Study, space: SearchSpace) -> list[tuple[ControlName, TrialConfig]]:
    """Return the control trials in the order in which they run."""
    base = space.resolve(space.default_params() or {}).flat()
    # A control is plain: nothing is frozen or slowed down but by its own recipe.
    base |= {"mapper": "identity", "frozen_depth": "0%", "optimizer.transferred_lr_scale": 1.0}
    base |= {"tuned_blocks": None, "lora_rank": 0}
    skipped = skipped_controls(study, space)
    trials = []
    for control in CONTROLS:
        if control in skipped:
            continue
        flat = base | {"recipe": control}
        if control in OF_A_SOURCE_MODEL:
            flat["source_model"] = _pretrained(study, space)
        for lr in _learning_rates(study, space, base):
            trials.append((control, TrialConfig.from_flat(flat | {"optimizer.lr": lr})))
    return trials


def _learning_rates(study: Study, space: SearchSpace, base: dict[str, Any]) -> list[float]:
    distribution = space.distributions.get("optimizer.lr")
    if distribution is None:
        return [base["optimizer.lr"]]
    return list(dict.fromkeys(quantiles(distribution, study.search.control_tries)))


def lower_tries(tries: Sequence[TrialConfig]) -> list[TrialConfig]:
    """Return the tries of a control that all failed at a tenth of their learning rates."""
    return [trial.replace(optimizer__lr=trial.optimizer.lr / 10) for trial in tries]
