"""Trials that train together report what each would report alone."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from raytl.config import Study, TrialConfig
from raytl.errors import TrainingError
from raytl.training import fused_group
from raytl.training.fused_group import MemberConfig, group_folder, mark_ended, run_fused_trial
from raytl.training.trial import run_trial

MakeStudy = Callable[..., Study]
BASE = {"source_model": "net", "frozen_depth": "100%", "recipe": "finetune"}
MEMBERS = [
    MemberConfig(
        TrialConfig.from_flat(BASE | {"optimizer.lr": lr, "head.dropout": dropout}), seed, rows_seed
    )
    for lr, dropout, seed, rows_seed in [
        (0.05, 0.0, 3, None), (0.01, 0.5, 3, None), (0.002, 0.2, 4, 77)
    ]
]  # fmt: skip


@pytest.fixture
def study(tiny_study: MakeStudy) -> Study:
    return tiny_study(train={"epochs": 3, "batch_size": 8, "steps_per_epoch": 6, "fuse": 3})


class Reports:
    """What a trial reports; keeps its last checkpoint, and can stop the trial as Tune does."""

    def __init__(self, folder: Path, stop_after: int | None = None) -> None:
        self.metrics: list[dict[str, Any]] = []
        self.folder, self._stop_after = folder, stop_after

    def __call__(self, metrics: dict[str, Any], save: Callable[[Path], None]) -> None:
        self.folder.mkdir(exist_ok=True)
        save(self.folder)
        self.metrics.append(metrics)
        if len(self.metrics) == self._stop_after:
            raise InterruptedError

    @property
    def results(self) -> list[dict[str, Any]]:
        return [{k: v for k, v in m.items() if k != "train/seconds"} for m in self.metrics]


def alone(study: Study, index: int, tmp_path: Path) -> list[dict[str, Any]]:
    reports = Reports(tmp_path / f"alone-{index}")
    of = MEMBERS[index]
    run_trial(study, of.trial, of.seed, reports, rows_seed=of.rows_seed)
    return reports.results


def close(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    return len(one) == len(other) and all(
        a == pytest.approx(b, rel=1e-3, abs=1e-4) for a, b in zip(one, other, strict=True)
    )


def test_each_member_reports_what_it_would_alone(study: Study, tmp_path: Path) -> None:
    reports = [Reports(tmp_path / str(i)) for i in range(3)]
    for index in (1, 0, 2):
        run_fused_trial(study, MEMBERS, index, "g-each", reports[index])
        # The first to ask computed all of it.
        assert (group_folder("g-each") / "2" / "3").exists()
    for index in range(3):
        assert close(reports[index].results, alone(study, index, tmp_path))


def test_nothing_is_computed_for_a_member_that_was_stopped(study: Study, tmp_path: Path) -> None:
    with pytest.raises(InterruptedError):
        run_fused_trial(study, MEMBERS, 0, "g-stop", Reports(tmp_path / "0", stop_after=1))
    mark_ended(group_folder("g-stop"), 0)
    second = Reports(tmp_path / "1")
    run_fused_trial(study, MEMBERS, 1, "g-stop", second)
    assert close(second.results, alone(study, 1, tmp_path))
    assert not (group_folder("g-stop") / "0" / "2").exists()
    assert (group_folder("g-stop") / "2" / "3").exists()


def test_a_member_goes_on_where_the_groups_folder_is_lost(study: Study, tmp_path: Path) -> None:
    first = Reports(tmp_path / "2", stop_after=2)
    with pytest.raises(InterruptedError):
        run_fused_trial(study, MEMBERS, 2, "g-before", first)
    rest = Reports(tmp_path / "rest")
    run_fused_trial(study, MEMBERS, 2, "g-after", rest, resume_from=first.folder)
    assert close(first.results + rest.results, alone(study, 2, tmp_path))


def test_a_group_that_memory_does_not_hold_trains_alone(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr(fused_group, "train_fused_epoch", no_room)
    reports = Reports(tmp_path / "0")
    run_fused_trial(study, MEMBERS, 0, "g-memory", reports)
    assert reports.results == alone(study, 0, tmp_path)
    assert not (group_folder("g-memory") / "1").exists()


def test_only_the_member_that_diverges_fails(study: Study, tmp_path: Path) -> None:
    wild = TrialConfig.from_flat(BASE | {"optimizer.lr": 1e30, "head.dropout": 0.1})
    members = [MemberConfig(wild, 3), MEMBERS[1]]
    with pytest.raises(TrainingError, match="at step 2 of 18"):
        run_fused_trial(study, members, 0, "g-wild", Reports(tmp_path / "0"))
    good = Reports(tmp_path / "1")
    run_fused_trial(study, members, 1, "g-wild", good)
    assert close(good.results, alone(study, 1, tmp_path))


def test_a_group_that_cannot_be_fused_trains_alone(study: Study, tmp_path: Path) -> None:
    members = [
        replace(of, trial=of.trial.replace(frozen_depth="50%", optimizer__transferred_lr_scale=1.0))
        for of in MEMBERS
    ]
    reports = Reports(tmp_path / "0")
    run_fused_trial(study, members, 0, "g-alone", reports)
    own = Reports(tmp_path / "own")
    run_trial(study, members[0].trial, members[0].seed, own)
    assert reports.results == own.results
    assert not group_folder("g-alone").exists()
