"""Confirmed trials become a verdict, and decide what is exported."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raytl.config import Study
from raytl.data.domain import Domain
from raytl.errors import CorruptError, UserError
from raytl.predictions import Predictions
from raytl.sweeping.kept.records import Record
from raytl.sweeping.verdict.confirmation import build_confirmation
from raytl.sweeping.verdict.confirmed import Confirmation, load_confirmation, save_confirmation

CONTROLS = ("scratch", "source_only", "linear_probe", "target_only")
METRIC = "target/validation_accuracy"


class Made:
    """Records of a study's trials, and the predictions that they wrote."""

    def __init__(self, rows_seed: int | None = None) -> None:
        self.records: list[Record] = []
        self.files: dict[str, Predictions] = {}
        self.rows_seed = rows_seed

    def search(self, control: str | None, accuracy: float | None, rows: int = 20) -> None:
        config: dict[str, Any] = {
            "name": "x", "id": f"{control}-{len(self.records)}", "phase": "search",
            "control": control, "trial": {}, "rows_seed": None, "micro_batches": 1,
        }  # fmt: skip
        self._add(config, None if accuracy is None else {METRIC: accuracy, "validation_rows": rows})

    def confirm(
        self,
        name: str,
        rights: list[int | None],
        objective: float = 0.5,
        objective_name: str = METRIC,
    ) -> None:
        """`rights`: how many of 40 test rows each seed has right; None where it failed."""
        control = name if name in CONTROLS else None
        for seed, right in enumerate(rights):
            config = {
                "phase": "confirm", "candidate": f"{name} control" if control else name,
                "control": control, "of_trial": name, "seed_index": seed, "name": f"{name}{seed}",
                "rows_seed": self.rows_seed and self.rows_seed + seed,
                "trial": {"source_model": "net", "recipe": "dann"},
            }  # fmt: skip
            metrics: dict[str, Any] | None = None
            if right is not None:
                metrics = {
                    "test/accuracy": right / 40, "test/macro_f1": right / 40, "test/rows": 40,
                    "test/calibration_error": 0.1, objective_name: objective,
                    "test/confusion": [[right // 2, 0], [40 - right, right - right // 2]],
                    "trainable_parameters": 7,
                }  # fmt: skip
                target = np.arange(40) % 2
                flipped = np.where(np.arange(40) < right, target, 1 - target)
                self.files[f"{name}{seed}"] = Predictions(np.arange(40), target, flipped)
            self._add(config, metrics)

    def _add(self, config: dict[str, Any], metrics: dict[str, Any] | None) -> None:
        if metrics is None:
            self.records.append(Record(config, (), "failed", "loss must be finite"))
        else:
            self.records.append(Record(config, [{"epoch": 2} | metrics], "completed"))


@pytest.fixture
def confirm(
    tiny_study: Callable[..., Study], domains: tuple[Path, Path], tmp_path: Path
) -> Callable[..., Confirmation]:
    def build(made: Made, **keys: Any) -> Confirmation:
        study, run = tiny_study(**keys), tmp_path / "run"
        run.mkdir(exist_ok=True)
        target = Domain.open(study.target_domain)
        return build_confirmation(study, made.records, target, run, made.files.__getitem__)

    return build


Confirm = Callable[..., Confirmation]


def test_better_than_every_control_without_transfer_helps(confirm: Confirm) -> None:
    made = Made()
    made.confirm("ours", [36, 37, 36], objective=0.9)
    made.confirm("scratch", [20, 21, 20])
    made.confirm("source_only", [10, 10, 10])
    made.confirm("target_only", [38, 39, 38])
    found = confirm(made)
    assert found.verdict.kind == "helps"
    assert "helps: +40.0 ± " in found.verdict.sentence
    assert "training from scratch, the closest of 2 controls" in found.verdict.sentence
    assert len(found.verdict.against_plain) == 1
    assert "target_only" in found.verdict.against_plain[0]
    assert found.recommended == "ours"
    candidate = found.candidates[0]
    assert (candidate.mean, candidate.trainable_parameters) == (pytest.approx(109 / 120), 7)
    # What a sentence says is read off the interval that stands beside it.
    shown = found.verdict.difference
    assert shown is not None and shown.interval[0] > 0
    assert {c.control for c in found.comparisons} == {"scratch", "source_only", "target_only"}


@pytest.mark.parametrize(
    ("control", "advice"), [("scratch", "do not transfer"), ("source_only", "do not adapt")]
)
def test_where_a_control_wins_the_verdict_advises(
    confirm: Confirm, control: str, advice: str
) -> None:
    made = Made()
    made.confirm("ours", [15, 16, 15])
    made.confirm(control, [35, 36, 35], objective=0.9)
    found = confirm(made)
    assert found.verdict.kind == "hurts"
    assert found.verdict.sentence.endswith(advice)
    assert found.recommended == f"{control} control"
    assert any("best/ holds it" in remark for remark in found.verdict.remarks)


def test_without_labels_the_selected_trial_is_exported_and_the_better_control_named(
    confirm: Confirm, domains: tuple[Path, Path]
) -> None:
    made = Made()
    bnm = "target/validator/bnm"
    made.confirm("ours", [15, 16, 15], objective=0.2, objective_name=bnm)
    made.confirm("source_only", [35, 36, 35], objective=0.9, objective_name=bnm)
    found = confirm(made, target_domain={"dataset": domains[1], "labels": "none"})
    assert (found.verdict.kind, found.recommended) == ("hurts", "ours")
    (remark,) = found.verdict.remarks
    assert "source_only control did better on the test rows (ours: -50.0" in remark
    assert found.labels_read == 0


def test_a_failed_seed_is_named(confirm: Confirm) -> None:
    made = Made()
    made.confirm("ours", [36, None, 36])
    made.confirm("scratch", [20, 21, 20])
    found = confirm(made)
    assert found.verdict.kind == "undecided"
    assert "ours failed with seed 1" in found.verdict.sentence
    assert found.candidates[0].runs[1].error == "loss must be finite"


def test_without_a_control_nothing_is_decided(confirm: Confirm) -> None:
    made = Made()
    made.confirm("ours", [36, 36, 36])
    assert "no control that transfers nothing" in confirm(made).verdict.sentence
    made.confirm("scratch", [20, None, 20])
    found = confirm(made)
    assert found.verdict.kind == "undecided"
    assert "the scratch control failed with seed 1 and is left out" in found.verdict.remarks


def test_controls_that_are_no_opponents_are_named(confirm: Confirm) -> None:
    made = Made()
    made.search("scratch", 0.5, rows=400)
    made.search("source_only", 0.9, rows=400)
    made.search("target_only", None)
    made.confirm("ours", [36, 36, 36])
    made.confirm("source_only", [20, 20, 20])
    remarks = confirm(made).verdict.remarks
    assert any("the scratch control was not retrained: 50.0 %" in r for r in remarks)
    assert "the target_only control failed at every learning rate that was tried" in remarks
    assert any("no better than a constant guess (50.0 against 50.0 %)" in r for r in remarks)


def test_labels_that_no_seed_drew_anew_are_said(confirm: Confirm) -> None:
    for rows_seed, read in ((None, 20), (5, None)):
        made = Made(rows_seed)
        made.confirm("ours", [36, 36, 36])
        made.confirm("scratch", [20, 20, 20])
        found = confirm(made)
        fixed = "this holds for these 10 labels a class: no seed drew others"
        assert (fixed in found.verdict.remarks) == (rows_seed is None)
        assert found.labels_read == 20 if read else found.labels_read > 20


def test_it_is_read_back(confirm: Confirm, tmp_path: Path) -> None:
    made = Made()
    made.confirm("ours", [36, 36, 36])
    made.confirm("scratch", [20, 20, 20])
    found = confirm(made)
    save_confirmation(found, tmp_path)
    assert load_confirmation(tmp_path) == found
    (tmp_path / "confirmation.json").write_text("{}")
    with pytest.raises(CorruptError, match="cannot be read"):
        load_confirmation(tmp_path)
    with pytest.raises(UserError, match="not a run that has been confirmed"):
        load_confirmation(tmp_path / "none")
