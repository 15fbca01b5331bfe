"""What one trial's process says of an error, and where the trial goes on."""

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from ray.exceptions import ActorDiedError

from raytl.config import Study, TrialConfig
from raytl.errors import ConfigError, RaytlError, TrainingError
from raytl.packages import check_raytl, source_digest
from raytl.sweeping.kept.records import TRAINED_ON
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.on_ray import trainable
from raytl.sweeping.on_ray.faults import Failure, MetByWorkerError
from raytl.sweeping.on_ray.trainable import (
    AVOID,
    FAILED,
    METRICS,
    STARTED,
    Reporter,
    build_trainable,
)
from raytl.training.checkpoint import FILE_NAME

MakeStudy = Callable[..., Study]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What Tune is told, but where a trial starts."""
    reports: list[dict[str, Any]] = []
    monkeypatch.setattr(
        tune, "report", lambda report: None if STARTED in report else reports.append(report)
    )
    return reports


def epochs(told: list[dict[str, Any]]) -> list[int]:
    return [json.loads(report[METRICS])["epoch"] for report in told]


CONFIG = {
    "name": "trial-00000", "phase": "search", "seed": 3, "rows_seed": None, "micro_batches": 1,
    "trial": TrialConfig(source_model="net", frozen_depth="100%").flat(),
}  # fmt: skip


def failing(
    error: Exception, study: Study, storage: RunStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run a trial that fails."""

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(trainable, "_alone", fail)
    build_trainable(study, storage)(CONFIG)


@pytest.mark.parametrize("error", [TrainingError("loss must be finite"), ConfigError("no such")])
def test_an_error_of_raytls_own_leaves_the_process_to_the_next_trial(
    tiny_study: MakeStudy, tmp_path: Path, told: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch, error: Exception,
) -> None:  # fmt: skip
    failing(error, tiny_study(), RunStorage(tmp_path), monkeypatch)
    (report,) = told
    assert Failure.parse(report[FAILED]) == Failure.of(error)
    assert "in fail" in (tmp_path / "trial-00000" / "error.txt").read_text()


def test_an_error_that_nobody_knows_ends_the_process(
    tiny_study: MakeStudy, tmp_path: Path, told: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    with pytest.raises(ValueError, match="a bug"):
        failing(ValueError("a bug"), tiny_study(), RunStorage(tmp_path), monkeypatch)
    assert Failure.parse(told[0][FAILED]).text == "ValueError: a bug"
    assert "a bug" in (tmp_path / "trial-00000" / "error.txt").read_text()


@pytest.mark.parametrize(
    "fault", [OSError(errno.ENOSPC, "No space left"), ActorDiedError(), MemoryError()]
)
def test_a_fault_of_the_machine_ends_the_process_and_is_no_error_of_the_trial(
    tiny_study: MakeStudy, tmp_path: Path, told: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch, fault: Exception,
) -> None:  # fmt: skip
    with pytest.raises(type(fault)):
        failing(fault, tiny_study(), RunStorage(tmp_path), monkeypatch)
    assert Failure.parse(told[0][FAILED]).kind == "machine"
    assert not (tmp_path / "trial-00000").exists()


def test_what_a_worker_met_is_told_as_it_was_there(
    tiny_study: MakeStudy, tmp_path: Path, told: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    met = Failure("doubtful", "nan", "TrainingError", step=7, node="n1", sound=True)
    error = MetByWorkerError(met, "the worker's traceback")
    failing(error, tiny_study(), RunStorage(tmp_path), monkeypatch)
    assert Failure.parse(told[0][FAILED]) == met
    assert (tmp_path / "trial-00000" / "error.txt").read_text() == "the worker's traceback"


def test_a_trial_asks_for_room_away_from_the_nodes_that_it_avoids(
    tiny_study: MakeStudy, tmp_path: Path
) -> None:
    wanted = build_trainable(tiny_study(), RunStorage(tmp_path))._resources
    anywhere, elsewhere = wanted(CONFIG), wanted(CONFIG | {AVOID: ("b", "a")})
    assert anywhere.required_resources == elsewhere.required_resources == {"CPU": 1.0}
    assert anywhere == wanted(CONFIG | {AVOID: ()})
    assert elsewhere == wanted(CONFIG | {AVOID: ("a", "b")})
    assert anywhere != elsewhere


def test_a_node_with_another_raytl_trains_nothing() -> None:
    check_raytl(source_digest())
    with pytest.raises(
        RaytlError, match=r"raytl here is not the driver's \(source [0-9a-f]{12}, "
    ) as e:
        check_raytl("f" * 64)
    assert Failure.of(e.value).kind == "machine"


def test_what_a_folder_holds_is_told_again(tmp_path: Path, told: list[dict[str, Any]]) -> None:
    folder = RunStorage(tmp_path).trial("trial-00000")
    report = Reporter(folder, CONFIG, 3, "1 × 1")
    assert (report.epoch, report.saved) == (0, None)
    for epoch in (1, 2):
        report({"epoch": epoch}, lambda at: None)
    after_a_loss = Reporter(folder, CONFIG, 3, "1 × 1")
    assert after_a_loss.epoch == 2
    assert after_a_loss.saved is not None
    assert after_a_loss.saved.config == CONFIG | {TRAINED_ON: ["1 × 1"]}
    assert told[2:] == told[:2]  # also how long each took
    after_a_loss = Reporter(folder, CONFIG, 3, "1 × 2")  # resumed with more threads
    del told[4:]
    after_a_loss({"epoch": 3}, lambda at: None)
    saved = folder.newest()
    assert saved is not None and saved.config[TRAINED_ON] == ["1 × 1", "1 × 2"]
    seconds = [json.loads(report[METRICS])["seconds"] for report in told[2:]]
    assert seconds == sorted(seconds) and epochs(told) == [1, 2, 1, 2, 3]
    assert [path.name for path in (tmp_path / "trial-00000").iterdir()] == ["checkpoint-00003"]


def test_what_a_folder_holds_says_nothing_of_the_node(
    tiny_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(tune, "report", lambda report: said.extend(report))
    storage = RunStorage(tmp_path)
    Reporter(storage.trial("trial-00000"), CONFIG, 3, "1 × 1")({"epoch": 1}, lambda at: None)
    said.clear()
    monkeypatch.setattr(trainable, "_alone", lambda *_: None)
    build_trainable(tiny_study(), storage)(CONFIG)
    assert said == [METRICS, STARTED]


@pytest.fixture
def whole(tiny_study: MakeStudy) -> Study:
    return tiny_study(train={"epochs": 3, "batch_size": 8, "steps_per_epoch": 3})


def without_times(told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    curve = [json.loads(report[METRICS]) for report in told]
    return [{k: v for k, v in metrics.items() if "seconds" not in k} for metrics in curve]


def test_from_a_checkpoint_that_cannot_be_read_a_trial_goes_one_further_back(
    whole: Study, tmp_path: Path, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    build_trainable(whole, RunStorage(tmp_path / "calm"))(CONFIG)
    calm = without_times(told)
    assert [metrics["epoch"] for metrics in calm] == [1, 2, 3]

    storage = RunStorage(tmp_path / "run")
    _lose_after(2, whole, storage, monkeypatch)
    newest = storage.newest_checkpoint("trial-00000") / FILE_NAME
    assert newest.parent.name == "checkpoint-00002"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1  # its size says nothing, and torch would read it
    newest.write_bytes(content)
    told.clear()
    build_trainable(whole, storage)(CONFIG)
    assert epochs(told) == [1, 2, 1, 2, 3]  # the driver takes each once
    assert without_times(told)[2:] == calm


def _lose_after(
    epoch: int, study: Study, storage: RunStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Train a trial until its process is lost."""

    def report(self: Reporter, metrics: dict[str, Any], save: Any) -> None:
        keep(self, metrics, save)
        if self.epoch == epoch:
            raise ActorDiedError

    keep = Reporter.__call__
    with monkeypatch.context() as patch:
        patch.setattr(Reporter, "__call__", report)
        with pytest.raises(ActorDiedError):
            build_trainable(study, storage)(CONFIG)


def test_a_trial_whose_every_checkpoint_is_lost_begins_anew(
    whole: Study, tmp_path: Path, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = RunStorage(tmp_path / "run")
    _lose_after(2, whole, storage, monkeypatch)
    for file in (tmp_path / "run").rglob(FILE_NAME):
        file.write_bytes(bytes(file.stat().st_size))
    told.clear()
    build_trainable(whole, storage)(CONFIG)
    assert epochs(told) == [1, 2, 1, 1, 2, 3]


def test_a_trial_that_is_done_is_told_and_not_trained(
    whole: Study, tmp_path: Path, told: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = RunStorage(tmp_path / "run")
    build_trainable(whole, storage)(CONFIG)
    monkeypatch.setattr(trainable, "_train", lambda *_: pytest.fail("trained again"))
    build_trainable(whole, storage)(CONFIG)
    assert told[3:] == told[:3]
