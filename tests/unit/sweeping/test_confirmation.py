"""Confirmed trials become a verdict, and decide what is exported."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raytl.config import Study
from raytl.sweeping.confirmation import Confirmation, build_confirmation


def retrained(name: str, control: str | None, accuracies: list[float], objective: float) -> Any:
    """Return one candidate's trials: two classes, 100 test rows each."""
    trials = []
    for seed, accuracy in enumerate(accuracies):
        right = round(100 * accuracy)
        result = {
            "test/accuracy": accuracy,
            "test/macro_f1": accuracy,
            "test/calibration_error": 0.1,
            "test/rows": 200,
            "test/confusion": [[right, 100 - right], [100 - right, right]],
            "target/validation_accuracy": objective,
            "trainable_parameters": 7,
        }
        config = {
            "candidate": name, "control": control, "of_trial": name, "seed_index": seed,
            "trial": {"source_model": "net", "recipe": "finetune"},
        }  # fmt: skip
        trials.append(SimpleNamespace(last_result=result, config=config, path=f"/run/{name}{seed}"))
    return trials


def confirm(study: Study, **accuracies: list[float]) -> Confirmation:
    trials = []
    for name, values in accuracies.items():
        control = name if name in ("scratch", "source_only", "target_only") else None
        trials += retrained(f"{name} control" if control else name, control, values, 0.5)
    return build_confirmation(study, trials, ["a", "b"], Path("/run"))


@pytest.fixture
def study(tiny_study: Callable[..., Study]) -> Study:
    return tiny_study()


def test_the_strongest_control_without_transfer_decides(study: Study) -> None:
    found = confirm(
        study, ours=[0.9, 0.91], scratch=[0.7, 0.71], source_only=[0.5, 0.5], target_only=[0.8, 0.9]
    )
    assert found.verdict.kind == "helps"
    assert "+20.0 ± 0.0 points over training from scratch" in found.verdict.sentence
    assert found.verdict.against_plain is not None
    assert "target_only" in found.verdict.against_plain
    assert found.recommended is not None and found.recommended.name == "ours"
    candidate = found.candidates[0]
    assert (candidate.mean, candidate.trainable_parameters) == (pytest.approx(0.905), 7)
    assert candidate.recall == [pytest.approx(0.905)] * 2


def test_where_transfer_hurts_the_control_is_exported(study: Study) -> None:
    found = confirm(study, ours=[0.6, 0.61], scratch=[0.7, 0.71])
    assert found.verdict.kind == "hurts"
    assert "do not transfer" in found.verdict.sentence
    assert found.recommended is not None and found.recommended.name == "scratch control"


def test_where_plain_fine_tuning_is_better_it_is_exported(study: Study) -> None:
    found = confirm(study, ours=[0.8, 0.81], scratch=[0.7, 0.71], target_only=[0.9, 0.91])
    assert found.verdict.kind == "helps"
    assert found.recommended is not None and found.recommended.name == "target_only control"


def test_without_a_control_there_is_no_verdict(study: Study) -> None:
    found = confirm(study, ours=[0.8, 0.81])
    assert found.verdict.kind == "unknown"
    assert found.recommended is not None and found.recommended.name == "ours"
