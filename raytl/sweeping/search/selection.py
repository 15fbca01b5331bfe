"""Which trials are confirmed: by validation alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raytl.config import CONTROLS, Study
from raytl.seeds import seed_for
from raytl.sweeping.kept.records import Config, Record
from raytl.sweeping.search.control_facts import WITHOUT_TRANSFER
from raytl.sweeping.search.objective import ObjectiveMetric

CONFIRM = "confirm-"  # begins the name of each retraining
CLEAR = 3.0  # standard errors by which a control is clearly behind another


@dataclass(frozen=True)
class Outcome:
    """A trial that ran its whole budget; `loss` is its objective, negated where more is better.
    `accuracy` is that on the `rows` target rows held out; None where their labels may not be
    used, or the study is judged by another metric. `id`: how a person calls it; those with the same
    loss are ranked by it."""

    id: str
    control: str | None
    trial: dict[str, Any]
    loss: float
    accuracy: float | None = None
    rows: int = 0
    micro_batches: int = 1

    @property
    def name(self) -> str:
        """What the trial is called once it is confirmed."""
        return f"{self.control} control" if self.control else f"trial {self.id}"


def outcome_of(record: Record, objective: ObjectiveMetric) -> Outcome:
    """Return what a searched trial or control that ran to its end came to."""
    value, by_accuracy = record.last[objective.name], objective.metric == "accuracy"
    return Outcome(
        id=record.config["id"],
        control=record.config["control"],
        trial=record.config["trial"],
        loss=value if objective.mode == "min" else -value,
        accuracy=record.last.get("target/validation_accuracy") if by_accuracy else None,
        rows=record.last.get("validation_rows", 0),
        micro_batches=record.last.get("train/micro_batches") or record.config["micro_batches"],
    )


def outcomes_of(records: Sequence[Record], objective: ObjectiveMetric) -> list[Outcome]:
    """Return the searched trials and controls that ran to their ends."""
    return [
        outcome_of(record, objective)
        for record in records
        if record.whole and record.config["phase"] == "search"
    ]


@dataclass(frozen=True)
class Dropped:
    """A control that is not retrained, for validation puts it clearly behind another."""

    control: str
    accuracy: float
    behind: str
    its_accuracy: float
    rows: int

    @property
    def sentence(self) -> str:
        """Why, in words."""
        return (
            f"the {self.control} control was not retrained: {100 * self.accuracy:.1f} % against "
            f"{100 * self.its_accuracy:.1f} % of {self.behind} on {self.rows} validation rows"
        )


def best_controls(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the best trial of each control, in the order of `CONTROLS`, without those that
    `dropped_controls` names."""
    dropped = {found.control for found in dropped_controls(outcomes)}
    return [outcome for outcome in _firsts(outcomes) if outcome.control not in dropped]


def dropped_controls(outcomes: Sequence[Outcome]) -> list[Dropped]:
    """Return the controls that lie clearly behind another of their kind (those that transfer
    nothing, those that transfer plainly) by their accuracy on the validation rows. By another
    metric none is: one trial's errors tell too little of what it would do with other seeds."""
    found = []
    for control in _firsts(outcomes):
        kin = [o for o in _firsts(outcomes) if _transfers(o) == _transfers(control)]
        best = max(kin, key=lambda o: -1.0 if o.accuracy is None else o.accuracy)
        if _clearly_behind(control, best):
            assert control.control is not None and best.control is not None
            assert control.accuracy is not None and best.accuracy is not None
            found.append(
                Dropped(
                    control.control, control.accuracy, best.control, best.accuracy, control.rows
                )
            )
    return found


def _transfers(outcome: Outcome) -> bool:
    return outcome.control not in WITHOUT_TRANSFER


def _clearly_behind(outcome: Outcome, best: Outcome) -> bool:
    """Whether the difference is CLEAR standard errors of two independent shares of the rows, a
    success and a failure added to each (Agresti & Caffo 2000)."""
    if outcome.accuracy is None or best.accuracy is None:
        return False
    rows = outcome.rows + 2
    shares = [(o.accuracy * o.rows + 1) / rows for o in (outcome, best)]  # type: ignore[operator]
    error = math.sqrt(sum(share * (1 - share) / rows for share in shares))
    return shares[1] - shares[0] > CLEAR * error


def _firsts(outcomes: Sequence[Outcome]) -> list[Outcome]:
    ranked = _ranked(outcomes)
    others = sorted({o.control for o in ranked if o.control is not None})
    every = dict.fromkeys([*CONTROLS, *others])
    firsts = [next((o for o in ranked if o.control == control), None) for control in every]
    return [outcome for outcome in firsts if outcome is not None]


def best_searched(study: Study, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the top searched trials."""
    return [o for o in _ranked(outcomes) if o.control is None][: study.confirm.top]


def _ranked(outcomes: Sequence[Outcome]) -> list[Outcome]:
    def key(outcome: Outcome) -> tuple[bool, float, str]:
        return math.isnan(outcome.loss), outcome.loss, outcome.id

    return sorted(outcomes, key=key)


def retraining_name(slug: str, index: int) -> str:
    """Return the name, and the folder's, of a retraining with the confirmation's seed of an index:
    of a control, or of a searched trial as `of_trial` calls it."""
    return f"{CONFIRM}{slug}-seed{index}"


def of_trial(trial: str) -> str:
    """Return what its retrainings call a searched trial."""
    return f"trial-{trial}"


def retrainings(study: Study, outcome: Outcome, seeds: range, redraw: bool) -> list[Config]:
    """Return the trials that retrain `outcome` with the confirmation's seeds of these indices.
    `redraw`: each seed draws labelled rows of its own."""
    slug = outcome.control or of_trial(outcome.id)
    return [
        {
            "name": retraining_name(slug, index),
            "id": f"{slug}-seed{index}",
            "phase": "confirm",
            "control": outcome.control,
            "searched": [],
            "seed": seed_for(study.search.seed, "confirm", index),
            "rows_seed": seed_for(study.search.seed, "confirm rows", index) if redraw else None,
            "trial": outcome.trial,
            "micro_batches": outcome.micro_batches,
            "candidate": outcome.name,
            "of_trial": outcome.id,
            "seed_index": index,
        }
        for index in seeds
    ]


def trial_name(number: int) -> str:
    """Return how a searched trial is called."""
    return f"{number:05d}"
