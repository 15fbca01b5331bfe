"""The cluster files: by Ray's schema, its scheduler and its defaults."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from cluster_files import CPU, FILES, GPU, SDKS, SETUP, START, commands, launched, plain, prepared
from packaging.requirements import Requirement
from tests_support import ROOT

LOCK = (ROOT / "clusters" / "requirements.txt").read_text(encoding="utf-8").split()
every_cloud = pytest.mark.parametrize("cloud", list(FILES))


@every_cloud
def test_ray_accepts_the_file_and_none_of_its_own_commands_is_left(cloud: str) -> None:
    config = prepared(cloud)
    assert config["provider"]["type"] == cloud
    text = " ".join(commands(cloud, *SETUP, *START))
    assert "ray-wheels" not in text, "Ray's default installs a nightly build"
    assert "conda" not in text


@every_cloud
def test_the_head_has_what_starts_workers_and_workers_have_not(cloud: str) -> None:
    """Ray's own command for it goes with the first list of one's own."""
    config = prepared(cloud)
    assert f"{SDKS[cloud]}==" in " ".join(config["head_setup_commands"])
    assert SDKS[cloud] not in " ".join(config["worker_setup_commands"])


@every_cloud
def test_clouds_differ_in_what_they_must(cloud: str) -> None:
    mine, aws = plain(cloud), plain("aws")
    same = {"cluster_name", "max_workers", "upscaling_speed", "idle_timeout_minutes", "auth",
            "head_node_type", "file_mounts", "rsync_exclude"}  # fmt: skip
    assert {key: mine[key] for key in same} == {key: aws[key] for key in same}
    for name, of_aws in aws["available_node_types"].items():
        mine_too = mine["available_node_types"][name]
        assert {**mine_too, "node_config": 0} == {**of_aws, "node_config": 0}
    for key in START:
        text = json.dumps(mine[key]).replace(f"--cloud {cloud}", "--cloud aws")
        assert json.loads(text) == aws[key]
    assert mine["setup_commands"][:4] == aws["setup_commands"][:4]


def test_workers_come_and_go_and_the_head_runs_no_trial() -> None:
    types = plain("aws")["available_node_types"]
    assert types["head"]["resources"] == {"CPU": 0}
    workers = {name: each for name, each in types.items() if name != "head"}
    assert all(each["min_workers"] == 0 for each in workers.values())
    spot = {n for n, t in workers.items() if "InstanceMarketOptions" in t["node_config"]}
    assert spot == {"cpu_spot", "gpu_spot"}
    assert "GPU" not in types["cpu_spot"]["resources"]


@every_cloud
@pytest.mark.parametrize(
    ("bundles", "failing", "nodes"),
    [
        ([GPU], (), {"gpu_spot": 1}),
        ([GPU] * 9, (), {"gpu_spot": 2}),
        ([GPU] * 256, (), {"gpu_spot": 32}),
        ([GPU] * 9, ("gpu_spot",), {"gpu_on_demand": 2}),
        ([CPU] * 20, (), {"cpu_spot": 3}),
        ([CPU] * 20, ("cpu_spot",), {"cpu_on_demand": 3}),
        ([GPU] * 8 + [CPU] * 4, (), {"gpu_spot": 1, "cpu_spot": 1}),
    ],
)
def test_spot_comes_first_and_no_gpu_for_work_that_wants_none(
    cloud: str, bundles: list[dict[str, int]], failing: tuple[str, ...], nodes: dict[str, int]
) -> None:
    assert launched(prepared(cloud), bundles, failing) == nodes


def test_azure_takes_what_its_nodes_are_given() -> None:
    """Ray hands these to a template of its own, which refuses unknown names and other kinds."""
    package = Path(ray.__file__).parent
    template = package / "autoscaler" / "_private" / "_azure" / "azure-vm-template.json"
    known = json.loads(template.read_text())["parameters"]
    kinds = {"string": str, "object": dict, "int": int}
    for each in plain("azure")["available_node_types"].values():
        for name, value in each["node_config"]["azure_arm_parameters"].items():
            assert isinstance(value, kinds[known[name]["type"]]), name


def test_nothing_listens_openly_and_every_connection_needs_the_token() -> None:
    config = plain("aws")
    for key in START:
        (start,) = [command for command in config[key] if "ray start" in command]
        assert "RAY_AUTH_MODE=token" in start
    assert "--dashboard-host=127.0.0.1" in " ".join(config["head_start_ray_commands"])
    assert "/home/ubuntu/.ray/auth_token" in config["file_mounts"]


def test_nodes_get_the_whole_package_and_nothing_large() -> None:
    excluded = plain("aws")["rsync_exclude"]
    anywhere = {pattern for pattern in excluded if not pattern.startswith("/")}
    own = [path.relative_to(ROOT) for top in ("raytl", "search_spaces", "clusters")
           for path in (ROOT / top).rglob("*") if "__pycache__" not in path.parts]  # fmt: skip
    assert not [path for path in own if anywhere & set(path.parts)]
    assert {".git", "/data", "/runs"} <= set(excluded)


def test_every_version_is_pinned_and_none_against_pyproject() -> None:
    pins = dict(line.split("==") for line in LOCK)
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    wanted = re.search(r"^dependencies = \[(.*?)^\]", text, re.S | re.M)
    extras = re.findall(r"^(?:text|datasets) = \[(.*?)\]$", text, re.M)
    assert wanted is not None and len(extras) == 2
    for line in re.findall(r'"(.*?)"', " ".join([wanted[1], *extras])):
        requirement = Requirement(line)
        name = requirement.name.lower()
        assert requirement.specifier.contains(pins[name]), (
            f"clusters/requirements.txt: {name} {pins.get(name)}; see docs/operations.md, Versions"
        )
    assert {"ray", "torch", "torchvision"} <= pins.keys()


def rayjob() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "docs" / "rayjob.yaml").read_text(encoding="utf-8")))


def test_the_kubernetes_job_is_the_same_cluster() -> None:
    """What KubeRay's operator itself would check is not checked here: it needs a Kubernetes."""
    job = rayjob()
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["rayVersion"] == dict(line.split("==") for line in LOCK)["ray"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert cluster["enableInTreeAutoscaling"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    groups = {group["groupName"]: group for group in cluster["workerGroupSpecs"]}
    types = plain("aws")["available_node_types"]
    for name, group in groups.items():
        (container,) = group["template"]["spec"]["containers"]
        offered = types[f"{name}_spot"]["resources"]
        assert group["minReplicas"] == 0
        assert group["maxReplicas"] == types[f"{name}_spot"]["max_workers"]
        assert container["resources"]["limits"]["cpu"] == str(offered["CPU"])
        gpus = container["resources"]["limits"].get("nvidia.com/gpu", "0")
        assert gpus == str(offered.get("GPU", 0))


def test_the_kubernetes_job_goes_on_and_shares_no_disk() -> None:
    spec = rayjob()["spec"]
    assert spec["entrypoint"].startswith("raytl sweep ")
    assert spec["entrypoint"].endswith(" --resume")
    assert spec["backoffLimit"] > 0
    cluster = spec["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        kinds = {kind for volume in pod["volumes"] for kind in volume if kind != "name"}
        assert kinds <= {"emptyDir", "configMap"}
        (container,) = pod["containers"]
        mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounted.keys() == {volume["name"] for volume in pod["volumes"]}
        (cache,) = [each["value"] for each in container["env"] if each["name"] == "RAYTL_CACHE"]
        assert cache.startswith(mounted["scratch"])
