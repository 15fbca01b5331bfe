"""A study on a cluster without room: nodes come for its trials and go when it is done.

The cluster is Ray's fake multi-node provider: its autoscaler starts raylets on this machine.
"""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from ray_processes import AUTH, free_port, ray_head

from raytl.config import Study, dump_study

pytestmark = [pytest.mark.ray, pytest.mark.slow]

HEAD_ID = "f" * 51 + "00000"
EMPTY = {
    "auth": {}, "docker": {}, "file_mounts": {}, "cluster_synced_files": [], "rsync_exclude": [],
    "rsync_filter": [], "file_mounts_sync_continuously": False, "initialization_commands": [],
    "setup_commands": [], "head_setup_commands": [], "worker_setup_commands": [],
    "head_start_ray_commands": [], "worker_start_ray_commands": [],
}  # fmt: skip


def autoscaling(port: int) -> dict[str, object]:
    """A head without CPUs, and up to two workers with one CPU and one GPU (by name only) each."""
    return EMPTY | {
        "cluster_name": "fake",
        "max_workers": 2,
        "idle_timeout_minutes": 0.1,
        "upscaling_speed": 10,
        "provider": {
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "gcs_address": f"127.0.0.1:{port}",
            "head_node_id": HEAD_ID,
            "launch_multiple": True,
        },
        "available_node_types": {
            "ray.head.default": {"resources": {}, "node_config": {}, "max_workers": 0},
            "worker": {
                "resources": {"CPU": 1, "GPU": 1}, "node_config": {}, "min_workers": 0,
                "max_workers": 2,
            },
        },
        "head_node_type": "ray.head.default",
    }  # fmt: skip


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    port, config = free_port(), tmp_path / "autoscaling.json"
    config.write_text(json.dumps(autoscaling(port)))
    env = {
        "RAY_FAKE_CLUSTER": "1",
        "RAY_enable_autoscaler_v2": "1",
        "RAY_CLOUD_INSTANCE_ID": HEAD_ID,
        "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD_ID,
        "AUTOSCALER_UPDATE_INTERVAL_S": "1",
        "RAYTL_DEVICE": "cpu",
    }
    options = ("--num-cpus=0", f"--autoscaling-config={config}")
    with ray_head(tmp_path / "head.log", port, *options, env=env):
        yield f"127.0.0.1:{port}"


def alive_nodes(address: str) -> int:
    """Return how many nodes the cluster has, 0 while it does not answer."""
    text = (
        "import ray; ray.init(address='%s', log_to_driver=False, logging_level='ERROR'); "
        "print('ALIVE', sum(node['Alive'] for node in ray.nodes()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", text % address], capture_output=True, text=True, check=False,
        env=os.environ | AUTH,
    )  # fmt: skip
    found = re.search(r"ALIVE (\d+)", done.stdout)
    return int(found[1]) if found else 0


def wait_for_nodes(address: str, count: int) -> None:
    while alive_nodes(address) != count:
        time.sleep(1)


def test_nodes_come_for_a_study_and_go(
    cluster: str, tiny_study: Callable[..., Study], tmp_path: Path
) -> None:
    study = tiny_study(
        search={"sampler": "grid", "trials": 1, "control_tries": 1},
        resources={"gpus_per_worker": 1, "max_concurrent": 2, "wait_s": 90},
    )
    file, run = tmp_path / "study.yaml", tmp_path / "run"
    file.write_text(dump_study(study))
    wait_for_nodes(cluster, 1)
    done = subprocess.run(
        [sys.executable, "-m", "raytl.cli", "sweep", str(file), "--out", str(run)],
        capture_output=True, text=True, check=False,
        env=os.environ | AUTH | {"RAY_ADDRESS": cluster},
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "waiting for 1 CPU and 1 GPU: the cluster has 0 CPUs and 0 GPUs" in said
    assert "2 trials at once" in said
    board = yaml.safe_load((run / "leaderboard.json").read_text())
    assert {row["status"] for row in board["trials"]} == {"completed"}
    wait_for_nodes(cluster, 1)
