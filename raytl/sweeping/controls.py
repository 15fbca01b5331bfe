"""Controls: the baselines that every study runs before it searches.

A control is trial 0's configuration with the control's recipe. So that it is no straw man, each
is tried at several learning rates spread over the range that the study searches, with the same
epochs and seed as every trial; the best by the study's own objective is confirmed.
"""

from typing import Any

from raytl.config import CONTROLS, ControlName, Study, TrialConfig
from raytl.errors import ConfigError
from raytl.recipes import RECIPES
from raytl.search_space import SearchSpace, quantiles


def skipped_controls(study: Study) -> dict[ControlName, str]:
    """Return the controls that make no sense in this study, and why."""
    skipped: dict[ControlName, str] = {}
    for control in CONTROLS:
        try:
            RECIPES[control].streams(study.labelled, study.source_domain is not None)
        except ConfigError as error:
            skipped[control] = str(error)
    return skipped


def control_trials(study: Study, space: SearchSpace) -> list[tuple[ControlName, TrialConfig]]:
    """Return the control trials in the order in which they run."""
    base = space.resolve(space.default_params() or {}).flat()
    # A control transfers nothing, so blocks need no gentler learning rate and no frozen prefix.
    base |= {"mapper": "identity", "frozen_depth": "0%", "optimizer.transferred_lr_scale": 1.0}
    skipped = skipped_controls(study)
    trials = []
    for control in CONTROLS:
        if control in skipped:
            continue
        for lr in _learning_rates(study, space, base):
            flat = base | {"recipe": control, "optimizer.lr": lr}
            trials.append((control, TrialConfig.from_flat(flat)))
    return trials


def _learning_rates(study: Study, space: SearchSpace, base: dict[str, Any]) -> list[float]:
    distribution = space.distributions.get("optimizer.lr")
    if distribution is None:
        return [base["optimizer.lr"]]
    return list(dict.fromkeys(quantiles(distribution, study.search.control_tries)))
