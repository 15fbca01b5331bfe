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


def best_controls(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the best trial of each control, in the order of `CONTROLS`."""
    ranked = _ranked(outcomes)
    firsts = [next((o for o in ranked if o.control == control), None) for control in CONTROLS]
    return [outcome for outcome in firsts if outcome is not None]


def best_searched(study: Study, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the top searched trials."""
    return [o for o in _ranked(outcomes) if o.control is None][: study.confirm.top]


def _ranked(outcomes: Sequence[Outcome]) -> list[Outcome]:
    return sorted(outcomes, key=lambda outcome: (outcome.loss, outcome.number))


def retrainings(study: Study, chosen: Sequence[Outcome], count: int) -> list[dict[str, Any]]:
    """Return the trials that retrain each of `chosen` with every seed of the confirmation, which
    has `count` trials in all."""
    return [
        {
            "phase": "confirm",
            "count": count,
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
