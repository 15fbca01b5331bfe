"""A node that is killed while its trial trains, and one that comes in its place; one where every
trial fails; and an error that comes on whatever node there is."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray_processes import (
    AUTH,
    TRIAL,
    epochs_reported,
    free_port,
    own_actors,
    ray_head,
    start_node,
    stop,
    sweeping,
    wait_for,
)

from raytl.config import Study, dump_study

MakeStudy = Callable[..., Study]

pytestmark = [pytest.mark.ray, pytest.mark.nodes]

# So that a lost node is noticed in seconds.
HEALTH = {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "3"}


def test_a_lost_node_loses_no_trial(
    tiny_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tiny_study(
        source_domain=None,
        space={"optimizer.lr": {"choice": [0.01, 0.04]}},
        train={"epochs": 3, "batch_size": 16, "steps_per_epoch": 300},
        resources={"max_concurrent": 2},
    )
    file, run = tmp_path / "study.yaml", tmp_path / "run"
    file.write_text(yaml.safe_dump(study.model_dump(mode="json", by_alias=True, exclude_none=True)))
    port = free_port()
    for name, value in (AUTH | {"RAY_ADDRESS": f"127.0.0.1:{port}"}).items():
        monkeypatch.setenv(name, value)
    nodes = []

    def add(name: str) -> None:
        nodes.append(start_node(tmp_path / f"{name}.log", port, "--num-cpus=1"))

    with ray_head(tmp_path / "head.log", port, "--num-cpus=0", env=HEALTH):
        try:
            add("lost")
            add("staying")
            with sweeping(file, run) as sweep:
                wait_for(lambda: epochs_reported(run) >= 1, sweep)
                wait_for(lambda: bool(own_actors(TRIAL, nodes[0].pid)), sweep)
                os.killpg(nodes[0].pid, signal.SIGKILL)
                add("coming")
                output = sweep.communicate()[0]
        finally:
            for node in nodes:
                stop(node)
    assert sweep.returncode == 0, output
    board: dict[str, Any] = json.loads((run / "leaderboard.json").read_text())
    assert [(row["status"], row["epochs"]) for row in board["trials"]] == [("completed", 3)] * 4
    assert sorted(row["trial"] for row in board["trials"]) == [
        "00000", "00001", "constant-0", "scratch-0"
    ]  # fmt: skip
    assert "lost its process; goes on" in output, "no trial ran on the node that was lost"


def test_where_every_trial_fails_none_go_and_what_fails_everywhere_ends(
    tiny_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tiny_study(
        source_domain=None,
        space={"optimizer.lr": {"choice": [1e30, *(number / 500 for number in range(1, 14))]}},
        defaults={"optimizer.transferred_lr_scale": 1.0},
        search={"sampler": "grid", "trials": 14, "scheduler": "none", "control_tries": 1},
        train={"epochs": 3, "batch_size": 16, "steps_per_epoch": 200},
        resources={"max_concurrent": 3},
    )
    file, run, port = tmp_path / "study.yaml", tmp_path / "run", free_port()
    file.write_text(dump_study(study))
    nodes = []
    with ray_head(tmp_path / "head.log", port, "--num-cpus=0", env=HEALTH):
        try:
            for name in ("one", "two", "broken"):
                with monkeypatch.context() as patch:
                    if name == "broken":  # its trials look for a GPU that is not there
                        patch.setenv("RAYTL_DEVICE", "cuda")
                    nodes.append(start_node(tmp_path / f"{name}.log", port, "--num-cpus=1"))
            for name, value in (AUTH | {"RAY_ADDRESS": f"127.0.0.1:{port}"}).items():
                monkeypatch.setenv(name, value)
            with sweeping(file, run) as sweep:
                output = sweep.communicate()[0]
        finally:
            for node in nodes:
                stop(node)
    assert sweep.returncode == 0, output
    board: dict[str, Any] = json.loads((run / "leaderboard.json").read_text())
    found = {row["config"]["optimizer.lr"]: row for row in board["trials"] if not row["control"]}
    failed = found.pop(1e30)
    assert {row["status"] for row in found.values()} == {"completed"}, output
    assert output.count("one trial after another fails there; all stay away") == 1, output
    assert failed["status"] == "failed" and "Trials did not complete" not in output
    record = json.loads((run / failed["folder"] / "record.json").read_text())
    assert record["sure"] is True
    assert f"{failed['folder']} met loss and gradient must be finite" in output
