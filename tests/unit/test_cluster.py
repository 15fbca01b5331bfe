"""cluster.yaml and its variants for other clouds, against Ray's own schema."""

import copy
import re
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from tests_support import ROOT


def variant(provider: str) -> dict[str, Any]:
    """Return cluster.yaml with what docs/operations.md replaces for `provider`."""
    config: dict[str, Any] = yaml.safe_load((ROOT / "cluster.yaml").read_text(encoding="utf-8"))
    if provider == "aws":
        return config
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    found = re.search(rf"```yaml {provider}\n(.*?)```", text, re.S)
    assert found is not None
    changes = yaml.safe_load(found[1])
    config |= {"provider": changes["provider"], "auth": changes["auth"]}
    for name, node_type in config["available_node_types"].items():
        node_type["node_config"] = changes["available_node_types"][name]["node_config"]
    return config


@pytest.mark.parametrize("provider", ["aws", "gcp", "azure"])
def test_ray_accepts_the_cluster(provider: str) -> None:
    prepared = prepare_config(copy.deepcopy(variant(provider)))
    validate_config(prepared)
    assert prepared["provider"]["type"] == provider


def test_workers_come_and_go_and_the_head_runs_no_trial() -> None:
    config = variant("aws")
    types = config["available_node_types"]
    assert types[config["head_node_type"]]["resources"] == {"CPU": 0}
    workers = {name: t for name, t in types.items() if name != config["head_node_type"]}
    assert all(t["min_workers"] == 0 and t["resources"]["GPU"] for t in workers.values())
    spot = {n for n, t in workers.items() if "InstanceMarketOptions" in t["node_config"]}
    assert spot == {"gpu_spot"}


def test_nothing_listens_openly_and_every_node_needs_the_token() -> None:
    config = variant("aws")
    starts = config["head_start_ray_commands"] + config["worker_start_ray_commands"]
    starts = [command for command in starts if " start " in command]
    assert len(starts) == 2
    assert all(command.startswith("RAY_AUTH_MODE=token ") for command in starts)
    assert "--dashboard-host=127.0.0.1" in starts[0]
    assert "/home/ubuntu/.ray/auth_token" in config["file_mounts"]
    assert {".git", "data", "runs"} <= set(config["rsync_exclude"])


def test_the_kubernetes_job_is_the_same_cluster() -> None:
    """What KubeRay's operator itself would check is not checked here: it needs a Kubernetes."""
    job = yaml.safe_load((ROOT / "docs" / "rayjob.yaml").read_text(encoding="utf-8"))
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["enableInTreeAutoscaling"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    assert all(group["minReplicas"] == 0 for group in cluster["workerGroupSpecs"])
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    specs = [group["template"]["spec"] for group in groups]
    assert all(spec["containers"][0]["volumeMounts"][0]["mountPath"] == "/shared" for spec in specs)
    pinned = re.search(r"==(\d+\.\d+)\.\*", " ".join(variant("aws")["setup_commands"]))
    assert pinned is not None and cluster["rayVersion"].startswith(f"{pinned[1]}.")


def test_the_versions_are_pinned() -> None:
    config = variant("aws")
    text = " ".join(config["setup_commands"])
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    pinned = re.search(r"==(\d+\.\d+)\.\*", text)
    assert pinned is not None
    assert f'"ray[default,data,train,tune]>={pinned[1]},' in pyproject
    assert "nightly" not in text
