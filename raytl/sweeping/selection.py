"""Which trials are confirmed: by the validation objective alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ray.tune.experiment import Trial

from raytl.config import CONTROLS, Study
from raytl.seeds import seed_for


@dataclass(frozen=True)
class Outcome:
    """A trial that ran its whole budget; `loss` is its objective, negated where more is better."""

    number: int
    control: str | None
    trial: dict[str, Any]
    loss: float


def confirmation_trials(study: Study, outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return what is retrained: the top trials and the best of each control, for every seed.

    Nothing where no searched trial ran to its end.
    """
    ranked = sorted(outcomes, key=lambda outcome: (outcome.loss, outcome.number))
    best = [outcome for outcome in ranked if outcome.control is None][: study.confirm.top]
    if not best:
        return []
    firsts = [next((o for o in ranked if o.control == control), None) for control in CONTROLS]
    chosen = [*best, *(outcome for outcome in firsts if outcome is not None)]
    return [
        {
            "phase": "confirm",
            "count": len(chosen) * study.confirm.seeds,
            "name": f"confirm-{_slug(outcome)}-seed{index}",
            "candidate": _name(outcome),
            "of_trial": trial_name(outcome.number),
            "control": outcome.control,
            "searched": [],
            "seed_index": index,
            "seed": seed_for(study.search.seed, "confirm", index),
            "trial": outcome.trial,
        }
        for outcome in chosen
        for index in range(study.confirm.seeds)
    ]


def trial_name(number: int) -> str:
    """Return how a trial of the search is called."""
    return f"{number:05d}"


def folder_name(trial: Trial) -> str:
    """Return the name of a Tune trial's folder."""
    return str(trial.config.get("name") or f"trial-{trial_name(trial.config['number'])}")


def _name(outcome: Outcome) -> str:
    return (
        f"{outcome.control} control" if outcome.control else f"trial {trial_name(outcome.number)}"
    )


def _slug(outcome: Outcome) -> str:
    return outcome.control or f"trial-{trial_name(outcome.number)}"
