"""Trials that train together report what each would report alone."""

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from raytl.config import Study, TrialConfig
from raytl.errors import TrainingError
from raytl.training import fused_group
from raytl.training.fused_group import (
    MemberConfig,
    forget_group,
    group_folder,
    run_fused_trial,
)
from raytl.training.material import Material
from raytl.training.prefix_cache import STALE_S
from raytl.training.trial import run_trial

MakeStudy = Callable[..., Study]
Results = list[list[dict[str, Any]]]  # of each member, after each epoch
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
def material(tiny_study: MakeStudy) -> Material:
    budget = {"epochs": 3, "batch_size": 8, "steps_per_epoch": 6, "fuse": 3}
    return Material.of(tiny_study(train=budget))


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


def alone(material: Material, index: int, tmp_path: Path) -> list[dict[str, Any]]:
    reports = Reports(tmp_path / f"alone-{index}")
    of = MEMBERS[index]
    run_trial(material, of.trial, of.seed, reports, rows_seed=of.rows_seed)
    return reports.results


def close(one: list[dict[str, Any]], other: list[dict[str, Any]]) -> bool:
    return len(one) == len(other) and all(
        a == pytest.approx(b, rel=1e-3, abs=1e-4) for a, b in zip(one, other, strict=True)
    )


def test_each_member_reports_what_it_would_alone(material: Material, tmp_path: Path) -> None:
    reports = [Reports(tmp_path / str(i)) for i in range(3)]
    for index in (1, 0, 2):
        run_fused_trial(material, MEMBERS, index, "g-each", reports[index])
        # The first to ask computed all of it.
        assert (group_folder("g-each") / "2" / "3").exists()
    for index in range(3):
        assert close(reports[index].results, alone(material, index, tmp_path))


@pytest.fixture
def together(material: Material, tmp_path: Path) -> Results:
    """What each member of a group reports of which nobody was stopped or lost."""
    reports = [Reports(tmp_path / f"calm-{index}") for index in range(3)]
    for index in range(3):
        run_fused_trial(material, MEMBERS, index, "g-calm", reports[index])
    forget_group("g-calm")
    return [report.results for report in reports]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_when_somebody_is_stopped_changes_nothing_for_the_others(
    material: Material, tmp_path: Path, together: Results, order: tuple[int, ...]
) -> None:
    stopped, *others = order
    group = f"g-stop-{stopped}"
    with pytest.raises(InterruptedError):
        run_fused_trial(material, MEMBERS, stopped, group, Reports(tmp_path / "0", stop_after=1))
    for index in others:
        reports = Reports(tmp_path / f"other-{index}")
        run_fused_trial(material, MEMBERS, index, group, reports)
        assert reports.results == together[index]
    assert (group_folder(group) / f"{stopped}" / "3").exists()


def test_a_member_goes_on_where_the_groups_folder_is_lost(
    material: Material, tmp_path: Path, together: Results
) -> None:
    first = Reports(tmp_path / "2", stop_after=2)
    with pytest.raises(InterruptedError):
        run_fused_trial(material, MEMBERS, 2, "g-before", first)
    rest = Reports(tmp_path / "rest")
    run_fused_trial(material, MEMBERS, 2, "g-after", rest, start=2, resume_from=first.folder)
    assert first.results + rest.results == together[2]


def test_what_a_lost_process_left_half_done_is_computed_again(
    material: Material, tmp_path: Path, together: Results
) -> None:
    run_fused_trial(material, MEMBERS, 0, "g-half", Reports(tmp_path / "0"))
    fused_group._last.clear()  # as in another process
    shutil.rmtree(group_folder("g-half") / "1" / "2")
    shutil.rmtree(group_folder("g-half") / "1" / "3")
    shutil.rmtree(group_folder("g-half") / "2" / "3")
    for index in (1, 2, 0):
        reports = Reports(tmp_path / f"again-{index}")
        run_fused_trial(material, MEMBERS, index, "g-half", reports)
        assert reports.results == together[index]


def test_a_group_that_memory_does_not_hold_trains_one_by_one(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("no more")

    monkeypatch.setattr(fused_group, "train_fused_epoch", no_room)
    for index in range(3):
        reports = Reports(tmp_path / str(index))
        run_fused_trial(material, MEMBERS, index, "g-memory", reports)
        assert reports.results == alone(material, index, tmp_path)


def test_only_the_member_that_diverges_fails(material: Material, tmp_path: Path) -> None:
    wild = TrialConfig.from_flat(BASE | {"optimizer.lr": 1e30, "head.dropout": 0.1})
    members = [MemberConfig(wild, 3), MEMBERS[1]]
    with pytest.raises(TrainingError, match="at step 2 of 18"):
        run_fused_trial(material, members, 0, "g-wild", Reports(tmp_path / "0"))
    good = Reports(tmp_path / "1")
    run_fused_trial(material, members, 1, "g-wild", good)
    assert close(good.results, alone(material, 1, tmp_path))


def test_a_group_that_cannot_be_fused_trains_alone(material: Material, tmp_path: Path) -> None:
    members = [
        replace(of, trial=of.trial.replace(frozen_depth="50%", optimizer__transferred_lr_scale=1.0))
        for of in MEMBERS
    ]
    reports = Reports(tmp_path / "0")
    run_fused_trial(material, members, 0, "g-alone", reports)
    own = Reports(tmp_path / "own")
    run_trial(material, members[0].trial, members[0].seed, own)
    assert reports.results == own.results
    assert not group_folder("g-alone").exists()


def test_a_member_of_a_group_that_trains_alone_goes_on_from_its_checkpoint(
    material: Material, tmp_path: Path
) -> None:
    train = material.study.train.model_copy(update={"fuse": "auto"})
    study = material.study.model_copy(update={"train": train})
    narrow = replace(material, study=study)
    first = Reports(tmp_path / "0", stop_after=1)  # three are too few for a CPU
    with pytest.raises(InterruptedError):
        run_fused_trial(narrow, MEMBERS, 0, "g-few", first)
    fused_group._last.clear()  # as in another process
    rest = Reports(tmp_path / "rest")
    run_fused_trial(narrow, MEMBERS, 0, "g-few", rest, start=1, resume_from=first.folder)
    assert first.results + rest.results == alone(material, 0, tmp_path)
    assert not group_folder("g-few").exists()


def test_groups_that_nobody_goes_on_with_are_deleted(material: Material, tmp_path: Path) -> None:
    for group, age in (("g-stale", STALE_S + 60), ("g-recent", STALE_S - 60)):
        group_folder(group).mkdir(parents=True)
        os.utime(group_folder(group), (time.time() - age,) * 2)
    run_fused_trial(material, MEMBERS, 0, "g-new", Reports(tmp_path / "0"))
    assert not group_folder("g-stale").exists()
    assert group_folder("g-recent").exists() and group_folder("g-new").exists()
    forget_group("g-new")
    forget_group("g-new")  # there is nothing left to forget
    assert not group_folder("g-new").exists()
