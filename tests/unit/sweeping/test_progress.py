"""What a person sees while trials run."""

import io
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from raytl.config import Study
from raytl.sweeping.kept.records import Metrics, Record, Status
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.live_table import MOST_ROWS, live_table
from raytl.sweeping.on_ray.attempts import Going
from raytl.sweeping.on_ray.resources import Plan
from raytl.sweeping.progress import LONGEST_CAUSE, Progress, looked_at
from raytl.sweeping.search.objective import ObjectiveMetric

ACCURACY = ObjectiveMetric("target/validation_accuracy", "max", "target validation accuracy")
ENTROPY = ObjectiveMetric(
    "target/validation_entropy", "min", "prediction entropy on the target, no labels (nats)"
)
SEARCH: Any = SimpleNamespace(
    counts={"search": 3, "controls": 4, "confirm": 2}, may_confirm_more=True
)


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
    trial = {"recipe": "dann", "source_model": "net", "mapper": "mlp", "frozen_depth": "50%"}
    curve: list[Metrics] = [
        {"epoch": epoch, objective: value, "frozen_blocks": 3, "train/micro_batches": parts}
        for epoch, value in enumerate(values, 1)
    ]
    status: Status = "failed" if error else "completed"
    config = {"name": name, "phase": phase, "control": control, "trial": trial}
    return Record(config, curve, status, error)


STUDY = Study.model_validate(
    {
        "study": "tiny",
        "target_domain": {"dataset": "target", "labels": 10},
        "source_models": {"net": {"backbone": "small_cnn"}},
        "space": {"recipe": {"choice": ["finetune"]}},
        "train": {"epochs": 6},
        "confirm": {"seeds": [3, 8]},
    }
)
PLAN = Plan(2, "2 trials at once [of 4]", "1 CPU")


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    return Progress(STUDY, ACCURACY, RunStorage(tmp_path / "run"))


def lines_of(captured: pytest.CaptureFixture[str]) -> list[str]:
    return [line.strip() for line in captured.readouterr().err.strip().splitlines()]


def test_the_plan_and_what_is_best_come_first(
    progress: Progress, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress.shown(SEARCH, PLAN):
        pass
    assert lines_of(capsys) == [
        "2 trials at once [of 4]",
        "trials are selected by target validation accuracy, max is best",
    ]


def test_each_trial_has_a_line(progress: Progress, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.shown(SEARCH, PLAN):
        progress.ended(ended("trial-00000", [0.25, 0.5]))
        progress.ended(ended("control-scratch-0", [0.75], control="scratch"))
        progress.ended(ended("confirm-scratch-seed0", [0.125], phase="confirm"))
        progress.ended(ended("trial-00001", [0.5, 0.25], parts=4))
    lines = [line.partition(" ")[2] for line in lines_of(capsys)[2:]]  # after the time of day
    does = "dann from net, 3 blocks frozen, mapper mlp"
    assert lines == [
        f"search 1/3  trial-00000 0.5000 after epoch 2: {does} (best so far)",
        f"controls 1/4  control-scratch-0 0.7500 after epoch 1: {does}",
        f"confirm 1/2  confirm-scratch-seed0 0.1250 after epoch 1: {does}",
        f"search 2/3  trial-00001 0.2500 after epoch 2: {does} "
        "(memory ran out: batches in 4 parts)",
    ]


def test_a_trial_whose_gpu_has_no_bfloat16_says_so(
    progress: Progress, capsys: pytest.CaptureFixture[str]
) -> None:
    record = ended("trial-00000", [0.25])
    record.curve[-1]["train/in_float32"] = 1
    with progress.shown(SEARCH, PLAN):
        progress.ended(record)
    assert lines_of(capsys)[-1].endswith(
        "(best so far; its GPU has no bfloat16: trained in float32)"
    )


def test_a_failed_trial_is_one_line_with_its_log(
    progress: Progress, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    cause = "loss must be finite,\nbut got [task]=nan"
    with progress.shown(SEARCH, PLAN):
        progress.ended(ended("trial-00000", [0.25], cause))
        progress.ended(ended("trial-00001", [], "x" * 1000))
    one, long = (line.partition(" ")[2] for line in lines_of(capsys)[2:])
    log = tmp_path / "run" / "trial-00000" / "error.txt"
    assert one == (
        "search 1/3  trial-00000 failed after epoch 1: loss must be finite, but got [task]=nan "
        f"(log: {log})"
    )
    assert long.startswith(
        f"search 2/3  trial-00001 failed after epoch 0: {'x' * LONGEST_CAUSE} (log: "
    )


def test_a_trial_that_goes_on_is_told(
    progress: Progress, capsys: pytest.CaptureFixture[str]
) -> None:
    progress.recovered("trial-00001", None)
    progress.recovered("trial-00002", "OSError:\ndisk full")
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
    with progress.shown(SEARCH, PLAN):
        progress.look([])
        assert len(lines_of(capsys)) == 2
        draft = tmp_path / "prefix" / "key.draft"
        draft.mkdir(parents=True)
        (draft / "ready").write_text("4")
        (draft / "done-0").touch()
        for _ in range(2):
            progress.look([])
    assert lines_of(capsys) == ["computing prefix features"]


class Clock:
    """A clock that a test sets."""

    at = 100.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


def on_terminal(folder: Path, clock: Clock, objective: ObjectiveMetric = ACCURACY) -> Progress:
    console = Console(file=io.StringIO(), force_terminal=True, width=140, height=40)
    return Progress(STUDY, objective, RunStorage(folder), console=console, live=True, now=clock)


def drawn(progress: Progress, now: float) -> list[str]:
    """Return the table's lines, without colours."""
    console = Console(file=io.StringIO(), width=140)
    console.print(live_table(progress.state, now))
    file = console.file
    assert isinstance(file, io.StringIO)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_a_terminal_shows_what_runs_what_waits_and_what_is_left(
    tmp_path: Path, clock: Clock
) -> None:
    progress = on_terminal(tmp_path, clock)
    first, second, third = (ended(f"trial-0000{n}", [0.5]).config for n in range(3))
    control = ended("control-scratch-0", [0.9], control="scratch")
    nodes = [{"CPU": 2.0, "GPU": 1.0}, {"CPU": 2.0}]
    with progress.shown(SEARCH, PLAN, lambda: nodes):
        progress.look([Going(first, since=100.0), Going(control.config, since=110.0)])
        progress.reported(first, {"epoch": 1, ACCURACY.name: 0.5})
        clock.at = 130.0
        progress.ended(ended("trial-00000", [0.25, 0.75]))
        progress.ended(control)
        progress.look([Going(second, since=120.0), Going(third), Going(first, due=145.0)])
        progress.reported(second, {"epoch": 2, ACCURACY.name: 0.625})
        progress.look([Going(second, since=120.0), Going(third), Going(first, due=145.0)])
    rows = drawn(progress, 132.0)
    assert rows[0] == "tiny: by target validation accuracy"
    assert rows[1].startswith("search    ━") and rows[1].endswith(" 1/3")
    assert rows[2].startswith("controls  ━") and rows[2].endswith(" 1/4")
    assert rows[3].startswith("confirm ") and rows[3].endswith(" 0/2 so far")
    does = "dann from net, 3 blocks frozen, mapper mlp"
    assert rows[4] == f"best      0.7500  trial-00000: {does}"
    # One slot is filled: 2 searched trials of 30 s, 3 controls of 20 s, 2 retrainings of 25 s,
    # less the 12 s that are done.
    assert rows[5] == (
        "time      30 s so far; left: at least 3 min, and the best are confirmed after the search"
    )
    assert rows[6] == "cluster   2 trials at once; 4 CPUs, 1 GPU, 2 nodes"
    waits = "dann from net, frozen depth 50%, mapper mlp"
    assert [row.split(None, 3) for row in rows[8:11]] == [
        ["trial-00001", "2/6", "0.6250", f"12  {waits}"],
        ["trial-00002", "0/6", "waits", "for room: 1 CPU"],
        ["trial-00000", "0/6", "waits", "to be tried again in 15 s"],
    ]
    assert [row.split()[:3] for row in rows[11:]] == [
        ["trial-00000", "2/6", "0.7500"],
        ["control-scratch-0", "1/6", "0.9000"],
    ]


def test_a_terminal_has_lines_of_what_went_wrong_alone(tmp_path: Path, clock: Clock) -> None:
    progress = on_terminal(tmp_path, clock)
    with progress.shown(SEARCH, PLAN):
        progress.ended(ended("trial-00000", [0.5]))
        progress.ended(ended("trial-00001", [], "out of [range]"))
    file = progress._console.file
    assert isinstance(file, io.StringIO)
    said = [line for line in file.getvalue().splitlines() if "after epoch" in line]
    assert len(said) == 1 and "trial-00001 failed after epoch 0: out of [range] (log: " in said[0]


def test_the_table_is_drawn_while_trials_run_and_gone_afterwards(
    tmp_path: Path, clock: Clock
) -> None:
    progress = on_terminal(tmp_path, clock)
    file = progress._console.file
    assert isinstance(file, io.StringIO)
    with progress.shown(SEARCH, PLAN):
        progress.look([Going(ended("trial-00000", [0.5]).config)])
        deadline = time.monotonic() + 10
        while "waits for room: 1 CPU" not in file.getvalue():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        height = len(drawn(progress, 100.0))
    assert file.getvalue().count("\x1b[2K") >= height  # each line is wiped out
    assert file.getvalue().endswith("\x1b[?25h") or "\x1b[?25h" in file.getvalue()  # the cursor


@pytest.mark.parametrize(
    ("objective", "best"), [(ACCURACY, "0.7500  trial-2"), (ENTROPY, "0.2500  trial-1")]
)
def test_the_best_is_that_of_what_is_no_control(
    tmp_path: Path, clock: Clock, objective: ObjectiveMetric, best: str
) -> None:
    progress = on_terminal(tmp_path, clock, objective)
    with progress.shown(SEARCH, PLAN):
        for place, value in enumerate((0.5, 0.25, 0.75, 0.375)):
            progress.ended(ended(f"trial-{place}", [value], objective=objective.name))
        for value in (0.125, 0.875):
            control = ended("control", [value], control="scratch", objective=objective.name)
            progress.ended(control)
        progress.ended(ended("trial", [], "out of range"))
        progress.ended(ended("trial", [float("nan")], objective=objective.name))
    assert progress.state.best.startswith(best)


def test_many_trials_are_counted_not_listed(tmp_path: Path, clock: Clock) -> None:
    progress = on_terminal(tmp_path, clock)
    going = [Going(ended(f"trial-{n:05}", []).config) for n in range(MOST_ROWS + 3)]
    with progress.shown(SEARCH, PLAN):
        progress.look(going)
    assert drawn(progress, 100.0)[-1] == "and 3 more"


@pytest.mark.parametrize(
    ("environment", "is_tty", "shows"),
    [({}, True, True), ({}, False, False), ({"CI": "true"}, True, False),
     ({"TERM": "dumb"}, True, False), ({"FORCE_COLOR": "1"}, False, False)],
)  # fmt: skip
def test_the_table_is_for_a_person_at_a_terminal(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], is_tty: bool, shows: bool
) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_tty, raising=False)
    assert looked_at(Console(stderr=True)) == shows


def test_a_notebook_gets_the_same_plain_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    with Progress(STUDY, ACCURACY, RunStorage(tmp_path / "run")).shown(SEARCH, PLAN):
        pass
    assert capsys.readouterr().err.splitlines()[0] == PLAN.text
