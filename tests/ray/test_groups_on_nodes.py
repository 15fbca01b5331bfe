"""Trials that train together on nodes that share no cache; the node that trains them is lost."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ray_processes import (
    AUTH,
    free_port,
    ray_head,
    start_node,
    stop,
    sweeping,
    wait_for,
)

from raytl.config import Study, dump_study

MakeStudy = Callable[..., Study]
MEMBERS, EPOCHS = 4, 4

pytestmark = [pytest.mark.ray, pytest.mark.nodes]

# So that a lost node is noticed in seconds.
HEALTH = {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "3"}


def trials(run: Path) -> dict[str, list[dict[str, Any]]]:
    """Return the curves of the searched trials."""
    return {
        file.parent.name: json.loads(file.read_text())["curve"]
        for file in sorted(run.glob("trial-*/record.json"))
    }


def timeless(curves: dict[str, list[dict[str, Any]]]) -> Any:
    return {
        name: [{k: v for k, v in metrics.items() if "seconds" not in k} for metrics in curve]
        for name, curve in curves.items()
    }


def times(curves: dict[str, list[dict[str, Any]]], epoch: int) -> set[float]:
    """Return how long an epoch took, of each time that the group was trained for it."""
    return {curve[epoch - 1]["train/seconds"] for curve in curves.values()}


def test_a_group_is_trained_once_and_goes_on_elsewhere(
    tiny_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tiny_study(
        source_domain=None,
        space={"optimizer.lr": {"choice": [0.01, 0.02, 0.04, 0.08]}},
        defaults={"frozen_depth": "100%"},
        search={"sampler": "grid", "trials": MEMBERS, "scheduler": "none", "control_tries": 1},
        train={"epochs": EPOCHS, "batch_size": 8, "steps_per_epoch": 300, "fuse": MEMBERS},
        resources={"max_concurrent": 2},
    )
    file, port = tmp_path / "study.yaml", free_port()
    file.write_text(dump_study(study))
    nodes = []

    def add(name: str) -> None:
        with monkeypatch.context() as patch:
            patch.setenv("RAYTL_CACHE", str(tmp_path / name))
            nodes.append(start_node(tmp_path / f"{name}.log", port, "--num-cpus=1"))

    with ray_head(tmp_path / "head.log", port, "--num-cpus=0", env=HEALTH):
        try:
            for name, value in (AUTH | {"RAY_ADDRESS": f"127.0.0.1:{port}"}).items():
                monkeypatch.setenv(name, value)
            add("first")
            with sweeping(file, tmp_path / "lost") as sweep:
                # The first node alone trains the first epoch, so it is that one that is lost.
                first = tmp_path / "lost" / "trial-00003" / "checkpoint-00001" / "commit.json"
                wait_for(first.exists, sweep)
                os.killpg(nodes[0].pid, signal.SIGKILL)
                add("second")
                output = sweep.communicate()[0]
                assert sweep.returncode == 0, output
            add("third")
            with sweeping(file, tmp_path / "calm") as sweep:
                output_of_calm = sweep.communicate()[0]
                assert sweep.returncode == 0, output_of_calm
        finally:
            for node in nodes:
                stop(node)
    lost, calm = trials(tmp_path / "lost"), trials(tmp_path / "calm")
    assert "lost its process; goes on" in output
    assert len(calm) == MEMBERS and timeless(lost) == timeless(calm)
    for epoch in range(1, EPOCHS + 1):
        assert len(times(calm, epoch)) == 1
    assert len(times(lost, EPOCHS)) == 1
