"""Studies that go wrong: a trial that fails, Ctrl-C, a kill, and going on after each."""

import errno
import json
import random
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray_processes import TRIAL, epochs_reported, own_actors, sweeping, wait_for

import raytl
from raytl.config import Study, dump_study
from raytl.errors import RaytlError

MakeStudy = Callable[..., Study]

pytestmark = pytest.mark.ray


@pytest.mark.usefixtures("ray_cluster")
def test_a_failed_trial_does_not_end_the_study(tiny_study: MakeStudy, tmp_path: Path) -> None:
    study = tiny_study(
        source_domain=None,
        space={"optimizer.lr": {"choice": [1e30, 0.05]}},
        defaults={"optimizer.transferred_lr_scale": 1.0},
    )
    result = raytl.verbs.sweep(study, tmp_path / "run", store=False)
    rows = {row.config["optimizer.lr"]: row for row in result.leaderboard.trials if not row.control}
    failed = rows[1e30]
    assert (failed.status, rows[0.05].status) == ("failed", "completed")
    assert failed.error is not None and failed.error.startswith(
        "loss and gradient must be finite, but at step"
    )
    assert failed.log is not None
    assert "in train_epoch" in (tmp_path / "run" / failed.log).read_text()
    assert result.confirmation is not None
    assert "loss and gradient must be finite" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.usefixtures("ray_cluster")
def test_a_study_whose_every_trial_fails_says_why(tiny_study: MakeStudy, tmp_path: Path) -> None:
    study = tiny_study(
        source_domain=None,
        space={"optimizer.lr": {"choice": [1e30]}},
        defaults={"optimizer.transferred_lr_scale": 1.0},
    )
    with pytest.raises(RaytlError, match="no searched trial ran to its end; the first said: loss"):
        raytl.verbs.sweep(study, tmp_path / "run")
    assert raytl.inspect(tmp_path / "run")["trials"]["failed"] >= 1


@pytest.mark.usefixtures("ray_cluster")
def test_a_disk_that_is_full_on_the_driver_is_told_in_a_line(
    tiny_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("raytl.sweeping.recall.write_record", full)
    with pytest.raises(RaytlError, match=r"/run: cannot write the run: the disk is full$"):
        raytl.verbs.sweep(tiny_study(), tmp_path / "run", store=False)


def test_failures_are_a_line_each_on_the_terminal(tiny_study: MakeStudy, tmp_path: Path) -> None:
    study = tiny_study(
        source_domain=None,
        space={"optimizer.lr": {"choice": [1e30]}},
        defaults={"optimizer.transferred_lr_scale": 1.0},
        train={"epochs": 1, "batch_size": 1000, "steps_per_epoch": 2},
    )
    file, run = tmp_path / "study.yaml", tmp_path / "run"
    file.write_text(dump_study(study))
    with sweeping(file, run) as process:
        output = process.communicate()[0]
        assert process.returncode == 1, output
    assert "Traceback" not in output
    assert "ERROR" not in output
    lines = output.strip().splitlines()
    warned = "warning: train.batch_size: a batch of 1,000 is larger than the"
    assert len([line for line in lines if line.startswith(warned)]) == 1
    assert lines[-1].startswith(f"raytl: {run}: no searched trial ran to its end; the first said")
    failed = "failed after epoch 0: loss and gradient must be finite"
    (cause,) = [line for line in lines if failed in line]
    log = Path(cause.rpartition("(log: ")[2].rstrip(")"))
    assert "in train_epoch" in log.read_text()  # the traceback
    assert len(lines) <= 20, output


class Chaos(threading.Thread):
    """Kills processes that run an actor, one at a time, at seeded moments."""

    def __init__(self, titles: tuple[str, ...], kills: int) -> None:
        super().__init__(daemon=True)
        self.titles, self.left, self.killed = titles, kills, 0
        self.over = threading.Event()

    def run(self) -> None:
        generator = random.Random(0)
        while self.left and not self.over.wait(generator.uniform(0.5, 3.0)):
            running = own_actors(self.titles)
            if running:
                generator.choice(running).kill()
                self.left -= 1
                self.killed += 1

    def __enter__(self) -> "Chaos":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.join()


def outcome(run: Path) -> list[dict[str, Any]]:
    """Return the leaderboard but for what time and place make different."""
    board = json.loads((run / "leaderboard.json").read_text())["trials"]
    for row in board:
        row.pop("seconds"), row.pop("log")
        row["metrics"].pop("train/seconds", None)
    return board


@pytest.mark.slow
@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("fuse", ["off", 2])
def test_lost_actors_change_nothing(tiny_study: MakeStudy, tmp_path: Path, fuse: Any) -> None:
    study = tiny_study(
        space={
            "recipe": {"choice": ["finetune", "dann"]},
            "optimizer.lr": {"choice": [0.01, 0.03]},
        },
        defaults={"frozen_depth": "100%"},
        search={"sampler": "grid", "trials": 4, "scheduler": "none", "control_tries": 1},
        train={"epochs": 3, "batch_size": 8, "steps_per_epoch": 50, "fuse": fuse},
    )
    raytl.verbs.sweep(study, tmp_path / "calm", store=False)
    with Chaos(TRIAL, kills=3) as chaos:
        result = raytl.verbs.sweep(study, tmp_path / "run", store=False)
    assert chaos.killed == 3
    assert result.leaderboard.state == "complete"
    assert outcome(tmp_path / "run") == outcome(tmp_path / "calm")


@pytest.mark.slow
def test_ctrl_c_and_a_kill_lose_no_trial(tiny_study: MakeStudy, tmp_path: Path) -> None:
    study: Study = tiny_study(
        space={"optimizer.lr": {"choice": [0.01, 0.04]}},
        search={"sampler": "grid", "trials": 2, "scheduler": "none", "control_tries": 1},
        train={"epochs": 3, "batch_size": 16, "steps_per_epoch": 40},
        resources={"max_concurrent": 1},
    )
    file, run = tmp_path / "study.yaml", tmp_path / "run"
    file.write_text(yaml.safe_dump(study.model_dump(mode="json", by_alias=True, exclude_none=True)))

    with sweeping(file, run, "--resume") as first:  # as a restart policy has it from the start on
        wait_for(lambda: epochs_reported(run) >= 1, first)
        first.send_signal(signal.SIGINT)
        output = first.communicate()[0]
    assert first.returncode == 130, output
    assert f"go on with: raytl sweep {file} --out {run} --resume --no-store" in output
    assert "Traceback" not in output

    with sweeping(file, run, "--resume") as second:
        seen = epochs_reported(run)
        wait_for(lambda: epochs_reported(run) >= seen + 2, second)
        time.sleep(1)
        second.kill()
        second.communicate()

    with sweeping(file, run, "--resume") as third:
        output = third.communicate()[0]
    assert third.returncode == 0, output
    board: dict[str, Any] = json.loads((run / "leaderboard.json").read_text())
    assert [row["status"] for row in board["trials"]] == ["completed"] * 5
    searched = [r["config"]["optimizer.lr"] for r in board["trials"] if not r["control"]]
    assert sorted(searched) == [0.01, 0.04]
    names = sorted(row["trial"] for row in board["trials"])
    assert names == ["00000", "00001", "constant-0", "scratch-0", "source_only-0"]
    assert (run / "report.html").exists()
