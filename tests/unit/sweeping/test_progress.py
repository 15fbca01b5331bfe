"""What a person sees while trials run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raytl.sweeping.kept.records import Metrics, Record, Status
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.progress import LONGEST_CAUSE, Progress
from raytl.sweeping.search.objective import ObjectiveMetric

ACCURACY = ObjectiveMetric("target/validation_accuracy", "max", "target validation accuracy")
ENTROPY = ObjectiveMetric(
    "target/validation_entropy", "min", "prediction entropy on the target, no labels (nats)"
)
SEARCH: Any = SimpleNamespace(counts={"search": 3, "confirm": 2})


def ended(
    name: str,
    values: list[float],
    error: str | None = None,
    *,
    control: str | None = None,
    phase: str = "search",
    objective: str = ACCURACY.name,
    parts: int | None = None,
) -> Record:
    trial = {"recipe": "dann", "source_model": "net", "mapper": "mlp"}
    curve: list[Metrics] = [
        {"epoch": epoch, objective: value, "frozen_blocks": 3, "train/micro_batches": parts}
        for epoch, value in enumerate(values, 1)
    ]
    status: Status = "failed" if error else "completed"
    config = {"name": name, "phase": phase, "control": control, "trial": trial}
    return Record(config, curve, status, error)


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    return Progress(ACCURACY, RunStorage(tmp_path / "run"))


def lines_of(captured: pytest.CaptureFixture[str]) -> list[str]:
    return [line.strip() for line in captured.readouterr().err.strip().splitlines()]


def test_the_plan_and_what_is_best_come_first(
    progress: Progress, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress.shown(SEARCH, "2 trials at once [of 4]"):
        pass
    assert lines_of(capsys) == [
        "2 trials at once [of 4]",
        "trials are selected by target validation accuracy, max is best",
    ]


def test_each_trial_has_a_line(progress: Progress, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.shown(SEARCH, "plan"):
        progress.ended(ended("trial-00000", [0.25, 0.5]))
        progress.ended(ended("control-scratch-0", [0.75], control="scratch"))
        progress.ended(ended("confirm-scratch-seed0", [0.125], phase="confirm"))
        progress.ended(ended("trial-00001", [0.5, 0.25], parts=4))
    lines = [line.partition(" ")[2] for line in lines_of(capsys)[2:]]  # after the time of day
    does = "dann from net, 3 blocks frozen, mapper mlp: target validation accuracy"
    assert lines == [
        f"search 1/3  trial-00000: {does} 0.5000 after epoch 2",
        f"search 2/3  control-scratch-0: {does} 0.7500 after epoch 1",
        f"confirm 1/2  confirm-scratch-seed0: {does} 0.1250 after epoch 1",
        f"search 3/3  trial-00001: {does} 0.2500 after epoch 2 "
        "(memory ran out: batches in 4 parts)",
    ]


def test_a_trial_whose_gpu_has_no_bfloat16_says_so(
    progress: Progress, capsys: pytest.CaptureFixture[str]
) -> None:
    record = ended("trial-00000", [0.25])
    record.curve[-1]["train/in_float32"] = 1
    with progress.shown(SEARCH, "plan"):
        progress.ended(record)
    assert lines_of(capsys)[-1].endswith("1 (its GPU has no bfloat16: trained in float32)")


def test_a_failed_trial_has_a_line_for_its_cause(
    progress: Progress, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cause = "loss must be finite, but got [task]=nan"
    with progress.shown(SEARCH, "plan"):
        progress.ended(ended("trial-00000", [0.25], cause))
        progress.ended(ended("trial-00001", [], "x" * 1000))
    one, why, other, long = lines_of(capsys)[2:]
    assert one.endswith(
        "3 blocks frozen, mapper mlp: target validation accuracy failed after epoch 1"
    )
    log = tmp_path / "run" / "trial-00000" / "error.txt"
    assert why == f"trial-00000 failed: {cause} (log: {log})"
    assert other.endswith(
        "? blocks frozen, mapper mlp: target validation accuracy failed after epoch 0"
    )
    assert long.startswith(f"trial-00001 failed: {'x' * LONGEST_CAUSE} (log: ")


def test_a_trial_that_goes_on_is_told(
    progress: Progress, capsys: pytest.CaptureFixture[str]
) -> None:
    progress.recovered("trial-00001", None)
    progress.recovered("trial-00002", "OSError: disk full")
    progress.avoided("node-7")
    assert lines_of(capsys) == [
        "trial-00001 lost its process; goes on from its last checkpoint",
        "trial-00002 met OSError: disk full; goes on from its last checkpoint",
        "node-7: one trial after another fails there; all stay away for a while",
    ]


def test_prefix_features_are_told_of_once(
    progress: Progress, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path))
    with progress.shown(SEARCH, "plan"):
        progress.look()
        assert len(lines_of(capsys)) == 2
        draft = tmp_path / "prefix" / "key.draft"
        draft.mkdir(parents=True)
        (draft / "ready").write_text("4")
        (draft / "done-0").touch()
        for _ in range(2):
            progress.look()
    assert lines_of(capsys) == ["computing prefix features"]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(
    ("objective", "best"), [(ACCURACY, "best 0.7500"), (ENTROPY, "best 0.2500")]
)
def test_a_terminal_shows_the_best_of_what_is_no_control(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, objective: ObjectiveMetric, best: str
) -> None:
    progress = Progress(objective, RunStorage(tmp_path))
    with progress.shown(SEARCH, "plan"):
        for value in (0.5, 0.25, 0.75, 0.375):
            progress.ended(ended("trial", [value], objective=objective.name))
        for value in (0.125, 0.875):
            control = ended("control", [value], control="scratch", objective=objective.name)
            progress.ended(control)
        progress.ended(ended("trial", [], "out of range"))
        capsys.readouterr()
    assert best in capsys.readouterr().err


@pytest.mark.usefixtures("terminal")
def test_no_number_is_never_the_best(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    progress = Progress(ACCURACY, RunStorage(tmp_path))
    with progress.shown(SEARCH, "plan"):
        progress.ended(ended("trial-00000", [float("nan")]))
        progress.ended(ended("trial-00001", [0.5]))
        capsys.readouterr()
    assert "best 0.5000" in capsys.readouterr().err


def test_a_notebook_gets_the_same_plain_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    with Progress(ACCURACY, RunStorage(tmp_path / "run")).shown(SEARCH, "2 trials at once"):
        pass
    assert lines_of(capsys)[0] == "2 trials at once"
