"""Confirmation: the best trials and the controls, retrained with several seeds.

Only here is the test split read: once by each retrained model, after its last epoch. Which
candidate is selected depends on the validation objective alone.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict
from ray.tune.experiment import Trial

from raytl.config import Study
from raytl.files import write_atomically
from raytl.scoring.classification import class_recall
from raytl.sweeping.leaderboard import error_text
from raytl.sweeping.objective import objective_metric
from raytl.sweeping.statistics import (
    WITHOUT_TRANSFER,
    mean_and_standard_error,
    paired_difference,
    verdict_sentence,
)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Run(_Part):
    """One retraining."""

    seed: int
    accuracy: float | None
    macro_f1: float | None
    calibration_error: float | None
    objective: float | None
    seconds: float
    folder: str
    error: str | None


class Candidate(_Part):
    """One configuration over its seeds. `mean` is of the accuracy; `confusion` counts test rows,
    true by predicted class, summed over seeds; `recall` is each class's, of those counts."""

    name: str
    trial: str
    control: str | None
    selected: bool = False
    config: dict[str, Any]
    runs: list[Run]
    n: int
    mean: float | None
    standard_error: float | None
    macro_f1: float | None
    calibration_error: float | None
    objective: float | None
    trainable_parameters: int | None
    confusion: list[list[int]] | None
    recall: list[float | None] | None


class Comparison(_Part):
    """A candidate against a control, paired by seed."""

    candidate: str
    control: str
    difference: float
    interval: tuple[float, float]
    n: int
    verdict: str
    sentence: str


class Verdict(_Part):
    """The answer to: does it help? `kind` and `sentence` compare the selected candidate with the
    controls that transfer nothing, `against_plain` with those that transfer plainly
    (linear_probe, target_only). `better_control` is the strongest control that it is worse than.
    """

    kind: str
    sentence: str
    against_plain: str | None = None
    better_control: str | None = None


class Confirmation(_Part):
    """The content of confirmation.json."""

    split: str
    test_rows: int
    classes: list[str]
    seeds: list[int]
    level: float
    candidates: list[Candidate]
    comparisons: list[Comparison]
    verdict: Verdict

    @property
    def selected(self) -> Candidate | None:
        """The candidate that the validation objective prefers."""
        return next((c for c in self.candidates if c.selected), None)

    @property
    def recommended(self) -> Candidate | None:
        """The selected candidate, or the control that is better."""
        names = {c.name: c for c in self.candidates}
        return names.get(self.verdict.better_control or "", self.selected)


def build_confirmation(
    study: Study, trials: Sequence[Trial], classes: Sequence[str], run: Path
) -> Confirmation:
    """Gather the retrained trials into means, paired differences and the verdict."""
    searched_first = sorted(trials, key=lambda trial: trial.config["control"] is not None)
    names = list(dict.fromkeys(trial.config["candidate"] for trial in searched_first))
    candidates = [
        _candidate([t for t in trials if t.config["candidate"] == name], study, run)
        for name in names
    ]
    candidates = _select(candidates, study)
    comparisons = _compare(candidates, study)
    rows = next((t.last_result["test/rows"] for t in trials if "test/rows" in t.last_result), 0)
    return Confirmation(
        split=study.target_domain.splits.test,
        test_rows=rows,
        classes=list(classes),
        seeds=sorted({trial.config["seed_index"] for trial in trials}),
        level=study.confirm.level,
        candidates=candidates,
        comparisons=comparisons,
        verdict=_verdict(candidates, comparisons),
    )


def _candidate(trials: list[Trial], study: Study, run: Path) -> Candidate:
    metric = objective_metric(study).name
    runs, confusions = [], []
    for trial in sorted(trials, key=lambda t: t.config["seed_index"]):
        result = trial.last_result or {}
        accuracy = result.get("test/accuracy")
        if accuracy is not None:
            confusions.append(result["test/confusion"])
        folder = Path(str(trial.path)).name
        runs.append(
            Run(
                seed=trial.config["seed_index"],
                accuracy=accuracy,
                macro_f1=result.get("test/macro_f1"),
                calibration_error=result.get("test/calibration_error"),
                objective=result.get(metric) if accuracy is not None else None,
                seconds=float(result.get("time_total_s", 0.0)),
                folder=folder,
                error=error_text(run / folder / "error.txt") if accuracy is None else None,
            )
        )
    accuracies = [r.accuracy for r in runs if r.accuracy is not None]
    confusion = _sum(confusions) if confusions else None
    mean, error = mean_and_standard_error(accuracies) if accuracies else (None, None)
    config = trials[0].config
    return Candidate(
        name=config["candidate"],
        trial=config["of_trial"],
        control=config["control"],
        config=config["trial"],
        runs=runs,
        n=len(accuracies),
        mean=mean,
        standard_error=error if len(accuracies) > 1 else None,
        macro_f1=_mean([r.macro_f1 for r in runs]),
        calibration_error=_mean([r.calibration_error for r in runs]),
        objective=_mean([r.objective for r in runs]),
        trainable_parameters=(trials[0].last_result or {}).get("trainable_parameters"),
        confusion=confusion,
        recall=class_recall(confusion) if confusion else None,
    )


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _sum(matrices: list[list[list[int]]]) -> list[list[int]]:
    return [
        [sum(cells) for cells in zip(*rows, strict=True)] for rows in zip(*matrices, strict=True)
    ]


def _select(candidates: list[Candidate], study: Study) -> list[Candidate]:
    searched = [c for c in candidates if c.control is None and c.objective is not None]
    if not searched:
        return candidates
    sign = 1 if objective_metric(study).mode == "max" else -1
    best = max(searched, key=lambda c: sign * (c.objective or 0.0))
    return [c.model_copy(update={"selected": c is best}) for c in candidates]


def _compare(candidates: list[Candidate], study: Study) -> list[Comparison]:
    controls = [c for c in candidates if c.control is not None]
    comparisons = []
    for candidate in (c for c in candidates if c.control is None):
        for control in controls:
            comparison = _comparison(candidate, control, study)
            if comparison is not None:
                comparisons.append(comparison)
    return comparisons


def _comparison(candidate: Candidate, control: Candidate, study: Study) -> Comparison | None:
    theirs = {run.seed: run.accuracy for run in control.runs if run.accuracy is not None}
    pairs = [
        (run.accuracy, theirs[run.seed])
        for run in candidate.runs
        if run.accuracy is not None and run.seed in theirs
    ]
    if len(pairs) < 2:
        return None
    ours, others = [a for a, _ in pairs], [b for _, b in pairs]
    difference = paired_difference(ours, others, study.confirm.level)
    assert control.control is not None
    return Comparison(
        candidate=candidate.name,
        control=control.control,
        difference=difference.difference,
        interval=difference.interval,
        n=difference.n,
        verdict=difference.kind,
        sentence=verdict_sentence(_what(candidate), control.control, difference),
    )


def _what(candidate: Candidate) -> str:
    source_model, recipe = candidate.config["source_model"], candidate.config["recipe"]
    return f"transfer from {source_model} by {recipe}"


def _verdict(candidates: list[Candidate], comparisons: list[Comparison]) -> Verdict:
    """The selected candidate against the strongest control that transfers nothing and against the
    strongest that transfers plainly. Strongest is the best mean test accuracy: the choice that
    flatters the candidate least."""
    selected = next((c for c in candidates if c.selected), None)
    means = {c.control: c.mean or 0.0 for c in candidates if c.control is not None}
    ours = [c for c in comparisons if selected is not None and c.candidate == selected.name]
    ours.sort(key=lambda comparison: -means[comparison.control])
    without = next((c for c in ours if c.control in WITHOUT_TRANSFER), None)
    plain = next((c for c in ours if c.control not in WITHOUT_TRANSFER), None)
    if without is None:
        return Verdict(
            kind="unknown",
            sentence="no verdict: too few of the confirmed trials or controls ended well",
        )
    better = next((c for c in ours if c.verdict == "hurts"), None)
    return Verdict(
        kind=without.verdict,
        sentence=without.sentence,
        against_plain=None if plain is None else plain.sentence,
        better_control=None if better is None else f"{better.control} control",
    )


def save_confirmation(confirmation: Confirmation, run: Path) -> None:
    """Write confirmation.json."""
    data = confirmation.model_dump(mode="json")
    write_atomically(run / "confirmation.json", json.dumps(data, indent=1))
