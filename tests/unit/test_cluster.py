"""The cluster files: by Ray's schema, its scheduler and its defaults."""

import json
import re
from pathlib import Path

import pytest
import ray
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
