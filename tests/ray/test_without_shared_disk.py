"""Two nodes that share no folder: data, source model and run lie in a bucket, and no node can keep
the data whole. One of them is lost; the answer is that of one machine."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray_processes import (
    AUTH,
    TRIAL,
    free_port,
    own_actors,
    ray_head,
    start_node,
    stop,
    sweeping,
    wait_for,
)
from s3_server import put, s3_bucket

from raytl.config import Study
from raytl.remote_files import files_in
from raytl.training.pretrain import pretrain
from raytl.urls import Url

MakeStudy = Callable[..., Study]

pytestmark = [pytest.mark.ray, pytest.mark.nodes]

# So that a lost node is noticed in seconds.
HEALTH = {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "3"}
# Processes of tasks stay, though the node has one CPU: each would import torch anew.
POOL = {"RAY_num_workers_soft_limit": "4"}
CACHE_BYTES = 8000  # the target alone has more


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Url]:
    with s3_bucket(monkeypatch) as url:
        yield url


def answers(run: Path) -> dict[str, Any]:
    """Return each trial's objective, and what was confirmed."""
    board = json.loads((run / "leaderboard.json").read_text())
    confirmed = json.loads((run / "confirmation.json").read_text())
    trials = {row["trial"]: (row["status"], row["objective"]) for row in board["trials"]}
    return trials | {"confirmed": [(c["name"], c["mean"]) for c in confirmed["candidates"]]}


def write(study: Study, file: Path) -> Path:
    content = study.model_dump(mode="json", by_alias=True, exclude_none=True)
    file.write_text(yaml.safe_dump(content))
    return file


def test_a_study_in_a_bucket_answers_as_on_one_machine_although_a_node_is_lost(
    tiny_study: MakeStudy,
    domains: tuple[Path, Path],
    tmp_path: Path,
    bucket: Url,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, target = domains
    pretrain(source, "small_cnn", tmp_path / "net", epochs=1, batch_size=16, threads=1)
    for name, folder in {"target": target, "net": tmp_path / "net"}.items():
        put(folder, bucket / name)

    def study(target: str, net: str, feed: str, **more: Any) -> Study:
        return tiny_study(
            source_domain=None,
            target_domain={"dataset": target, "labels": "all"},
            source_models={"net": {"path": net}},
            space={"recipe": {"choice": ["finetune"]}},
            train={"epochs": 1, "batch_size": 8, "steps_per_epoch": 12, "feed": feed,
                   "reuse_prefix": False},
            resources={"max_concurrent": 2, **more},
        )  # fmt: skip

    def place(name: str) -> str:
        return str(bucket / name)

    here = study(str(target), str(tmp_path / "net"), "resident")
    there = study(place("target"), place("net"), "auto", storage_path=place("runs"))

    with sweeping(write(here, tmp_path / "here.yaml"), tmp_path / "one") as sweep:
        output = sweep.communicate()[0]
    assert sweep.returncode == 0, output

    port, nodes = free_port(), []
    for name, value in (AUTH | {"RAY_ADDRESS": f"127.0.0.1:{port}"}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAYTL_SHARD_CACHE_BYTES", str(CACHE_BYTES))

    def add(name: str) -> None:
        env = {"RAYTL_CACHE": str(tmp_path / f"cache-{name}")} | POOL
        nodes.append(start_node(tmp_path / f"{name}.log", port, "--num-cpus=1", env=env))

    with ray_head(tmp_path / "head.log", port, "--num-cpus=0", env=HEALTH):
        try:
            add("lost")
            add("staying")
            with sweeping(write(there, tmp_path / "there.yaml"), tmp_path / "two") as sweep:
                wait_for(lambda: _reported(bucket / "runs"), sweep)
                wait_for(lambda: bool(own_actors(TRIAL, nodes[0].pid)), sweep)
                os.killpg(nodes[0].pid, signal.SIGKILL)
                add("coming")
                output = sweep.communicate()[0]
        finally:
            for node in nodes:
                stop(node)
    assert sweep.returncode == 0, output
    resolved = yaml.safe_load((tmp_path / "two" / "study.yaml").read_text())
    assert resolved["train"]["feed"] == "ray_data"
    assert answers(tmp_path / "two") == answers(tmp_path / "one")
    for name in ("staying", "coming"):
        held = (tmp_path / f"cache-{name}" / "fetched").glob("*.arrow")
        assert 0 < sum(file.stat().st_size for file in held) <= 1.1 * CACHE_BYTES


@pytest.mark.parametrize("feed", ["resident", "streaming"])
def test_nodes_share_prefix_features_through_the_bucket(
    tiny_study: MakeStudy,
    domains: tuple[Path, Path],
    tmp_path: Path,
    bucket: Url,
    monkeypatch: pytest.MonkeyPatch,
    feed: str,
) -> None:
    """Resident data: one node publishes, the others fetch. Streamed data: the pool computes."""
    source, target = domains
    net = tmp_path / "net"
    pretrain(source, "small_cnn", net, epochs=1, batch_size=16, threads=1, args={"width": 16})
    for name, folder in {"target": target, "net": net}.items():
        put(folder, bucket / name)

    def study(target: str, net: str, feed: str, **more: Any) -> Study:
        return tiny_study(
            source_domain=None,
            target_domain={"dataset": target, "labels": "all"},
            source_models={"net": {"path": net}},
            space={"recipe": {"choice": ["linear_probe"]}},
            search={"sampler": "random", "trials": 4, "scheduler": "none", "control_tries": 1},
            train={"epochs": 1, "batch_size": 8, "steps_per_epoch": 12, "feed": feed,
                   "fuse": "off"},
            resources={"max_concurrent": 2, **more},
        )  # fmt: skip

    here = study(str(target), str(net), "resident")
    there = study(
        str(bucket / "target"), str(bucket / "net"), feed, storage_path=str(bucket / "runs")
    )
    with sweeping(write(here, tmp_path / "here.yaml"), tmp_path / "one") as sweep:
        output = sweep.communicate()[0]
    assert sweep.returncode == 0, output

    port, nodes = free_port(), []
    for name, value in (AUTH | {"RAY_ADDRESS": f"127.0.0.1:{port}"}).items():
        monkeypatch.setenv(name, value)
    with ray_head(tmp_path / "head.log", port, "--num-cpus=0"):
        try:
            for name in ("a", "b"):
                env = {"RAYTL_CACHE": str(tmp_path / f"cache-{name}")} | POOL
                nodes.append(start_node(tmp_path / f"{name}.log", port, "--num-cpus=1", env=env))
            with sweeping(write(there, tmp_path / "there.yaml"), tmp_path / "two") as sweep:
                output = sweep.communicate()[0]
        finally:
            for node in nodes:
                stop(node)
    assert sweep.returncode == 0, output
    assert answers(tmp_path / "two") == answers(tmp_path / "one")
    shared = {name.split("/")[1] for name in files_in(bucket / "runs" / "two" / "prefix")}
    own = {name: _names(tmp_path / f"cache-{name}") for name in ("a", "b")}
    if feed == "resident":
        assert "info.json" in shared
        assert all(own.values())  # computed or fetched
    else:
        assert "features.json" in shared and "info.json" not in shared
        assert "features of 2 shards are computed first" in output


def _names(cache: Path) -> set[str]:
    """Return the keys of the features that a node has computed and fetched."""
    return {file.parent.name for file in cache.glob("*/*/features.npy")}


def _reported(runs: Url) -> bool:
    """Whether a trial has kept a checkpoint."""
    return any("checkpoint" in name for name in files_in(runs))
