"""What a study says is a function of the study: not of how many trials run at once, of what is
killed, or of what a cache holds. And nothing is trained twice."""

import contextlib
import json
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from ray_processes import AUTH, TRIAL, free_port, own_actors, ray_head, sweeping, wait_for

import raytl
from raytl.config import Study, dump_study
from raytl.errors import UserError
from raytl.folders import cache_folder

MakeStudy = Callable[..., Study]

pytestmark = pytest.mark.ray

LOST = "lost its process; goes on from its last checkpoint"


# A validator's value tells apart what differs in a single bit.
SEARCH = {
    "sampler": "tpe", "trials": 10, "scheduler": "asha", "control_tries": 2, "objective": "bnm",
}  # fmt: skip


def searching(tiny_study: MakeStudy, **more: Any) -> Study:
    """A study with all that timing used to decide: TPE, early stopping, fused trials, controls."""
    plain = {
        "space": {
            "recipe": {"choice": ["linear_probe", "dann"]},
            "frozen_depth": {"choice": ["50%", "100%"]},
            "optimizer.lr": {"float": [1e-3, 1e-1], "log": True},
            "head.dropout": {"float": [0.0, 0.5]},
        },
        "source_models": {"net": {"backbone": "small_cnn", "args": {"width": 5}}},
        "search": SEARCH,
        "train": {"epochs": 4, "batch_size": 8, "steps_per_epoch": 4},
    }
    return tiny_study(**(plain | more))


def answer(run: Path) -> Any:
    """Return the leaderboard and the confirmation but for seconds."""
    files = [run / "leaderboard.json", run / "confirmation.json"]
    return [_timeless(json.loads(file.read_text())) for file in files]


def _timeless(content: Any) -> Any:
    if isinstance(content, dict):
        return {k: _timeless(v) for k, v in content.items() if "seconds" not in k}
    return [_timeless(each) for each in content] if isinstance(content, list) else content


@pytest.mark.usefixtures("ray_cluster")
def test_one_slot_or_two_and_a_cold_or_a_warm_cache(tiny_study: MakeStudy, tmp_path: Path) -> None:
    for name, slots in (("two", 2), ("one", 1)):  # the second finds prefix features
        study = searching(tiny_study, resources={"max_concurrent": slots})
        raytl.verbs.sweep(study, tmp_path / name, store=False)
    statuses = {row["status"] for row in answer(tmp_path / "two")[0]["trials"]}
    assert statuses == {"completed", "stopped early"}
    assert answer(tmp_path / "one") == answer(tmp_path / "two")


@pytest.mark.usefixtures("ray_cluster")
def test_nothing_is_trained_twice(
    tiny_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "cache"))
    first = raytl.verbs.sweep(searching(tiny_study), tmp_path / "first")
    capsys.readouterr()
    again = raytl.verbs.sweep(searching(tiny_study), tmp_path / "again")
    trained = len(list((tmp_path / "first").glob("*/record.json")))
    assert f"{trained} trials were trained before" in capsys.readouterr().err
    assert answer(tmp_path / "again") == answer(tmp_path / "first")
    assert (tmp_path / "again" / "best" / "model.safetensors").exists()

    # With more trials only those are trained, there or in another run.
    more = searching(tiny_study, search=SEARCH | {"trials": 12})
    longer = raytl.verbs.sweep(more, tmp_path / "first", resume=True)
    trials = {row.trial: row.config for row in longer.leaderboard.trials}
    assert len(trials) == len(first.leaderboard.trials) + 2
    assert all(trials[row.trial] == row.config for row in again.leaderboard.trials)
    assert answer(tmp_path / "first")[0]["state"] == "complete"


@pytest.mark.usefixtures("ray_cluster")
def test_a_run_goes_on_with_nothing_but_what_it_was_started_with(
    tiny_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    study, run = tiny_study(), Path("run")
    raytl.verbs.sweep(study, run)
    facts = json.loads((run / "environment.json").read_text())
    (run / "environment.json").write_text(json.dumps(facts | {"device": "abacus"}))
    with pytest.raises(UserError, match="device was abacus when this run was started and is cpu"):
        raytl.verbs.sweep(study, run, resume=True)
    (run / "environment.json").write_text(json.dumps(facts))
    record = run / "trial-00001" / "record.json"
    other = json.loads(record.read_text())
    other["config"]["trial"]["optimizer.lr"] = 0.5
    record.write_text(json.dumps(other))
    with pytest.raises(UserError, match=r"suggests another trial-00001 .*optimizer.lr 0.5 there"):
        raytl.verbs.sweep(study, run, resume=True)


@pytest.mark.slow
def test_four_slots_whose_actors_and_drivers_are_killed(
    tiny_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = {"epochs": 4, "batch_size": 8, "steps_per_epoch": 12}
    study = searching(tiny_study, search=SEARCH | {"parallel": 4}, train=train)
    file = tmp_path / "study.yaml"
    file.write_text(dump_study(study))
    with sweeping(file, tmp_path / "calm") as calm:
        output = calm.communicate()[0]
        assert calm.returncode == 0, output

    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "cold"))
    run, port = tmp_path / "run", free_port()
    with ray_head(tmp_path / "head.log", port, "--num-cpus=4"):
        for name, value in (AUTH | {"RAY_ADDRESS": f"127.0.0.1:{port}"}).items():
            monkeypatch.setenv(name, value)
        with sweeping(file, run) as first:
            wait_for(lambda: len(list(run.glob("*/record.json"))) >= 3, first)
            first.kill()
            first.communicate()
        with sweeping(file, run, "--resume") as second:
            wait_for(lambda: not own_actors(TRIAL), second)  # those of the first are gone
            output = _output_with_a_trial_lost(second)
            assert second.returncode == 0, output
    assert LOST in output
    assert answer(run) == answer(tmp_path / "calm")
    assert not list((cache_folder() / "fused").glob("*"))


def _output_with_a_trial_lost(sweep: subprocess.Popen[str]) -> str:
    """Kill all that trains until a trial is told lost: one that had just ended is not."""
    lines: list[str] = []
    reader = threading.Thread(target=_read_lines, args=(sweep, lines))
    reader.start()
    while reader.is_alive() and not any(LOST in line for line in lines):
        actors = own_actors(TRIAL)
        for actor in actors:
            with contextlib.suppress(psutil.NoSuchProcess):
                actor.kill()
        reader.join(5 if actors else 0.1)
    reader.join()
    sweep.wait()
    return "".join(lines)


def _read_lines(sweep: subprocess.Popen[str], lines: list[str]) -> None:
    assert sweep.stdout is not None
    for line in sweep.stdout:
        lines.append(line)
