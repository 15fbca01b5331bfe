"""The cluster files as Ray reads them, and their commands as Ray runs them on a node."""

import copy
import os
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ray.autoscaler._private.command_runner import _with_interactive
from ray.autoscaler._private.util import prepare_config, validate_config, with_envs
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.autoscaler.v2.scheduler import ResourceDemandScheduler, SchedulingRequest
from ray.autoscaler.v2.utils import ResourceRequestUtil
from tests_support import ROOT

FILES = {
    "aws": ROOT / "cluster.yaml",
    "gcp": ROOT / "clusters" / "gcp.yaml",
    "azure": ROOT / "clusters" / "azure.yaml",
}
SDKS = {"aws": "boto3", "gcp": "google-api-python-client", "azure": "azure-mgmt-compute"}
SETUP = ("initialization_commands", "head_setup_commands", "worker_setup_commands")
START = ("head_start_ray_commands", "worker_start_ray_commands")


def plain(cloud: str) -> dict[str, Any]:
    """Return a cluster file as it is written."""
    return dict(yaml.safe_load(FILES[cloud].read_text(encoding="utf-8")))


def prepared(cloud: str) -> dict[str, Any]:
    """Return a cluster file with Ray's defaults, valid by its schema."""
    config = prepare_config(copy.deepcopy(plain(cloud)))
    validate_config(config)
    return dict(config)


def run_on_node(
    command: str, home: Path, env: Mapping[str, str] = os.environ, **given: str
) -> subprocess.CompletedProcess[str]:
    """Run a command as Ray would over SSH on a node whose user's home is `home`.

    `given`: what Ray exports in front of it.
    """
    (home / ".bashrc").touch()
    *shell, quoted = _with_interactive(with_envs([command], given)[0])
    (script,) = shlex.split(quoted)  # SSH would take the quotes off
    return subprocess.run(
        [*shell, script], env=dict(env) | {"HOME": str(home), "USER": "ubuntu"}, cwd=home,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        start_new_session=True,
    )  # fmt: skip


def commands(cloud: str, *which: str) -> list[str]:
    """Return the commands of the lists `which`, with what Ray adds."""
    config = prepared(cloud)
    return [command for key in which for command in config[key]]


GPU, CPU = {"CPU": 8, "GPU": 1}, {"CPU": 1}


def launched(
    config: dict[str, Any], bundles: list[dict[str, int]], failing: tuple[str, ...] = ()
) -> dict[str, int]:
    """Return how many nodes of each type Ray's autoscaler starts for what is wanted; those of the
    types `failing` could not be had just now."""
    reading = AutoscalingConfig(config, skip_content_hash=True)
    wanted = [ResourceRequestUtil.make(bundle) for bundle in bundles]
    request = SchedulingRequest(
        disable_launch_config_check=True,
        node_type_configs=reading.get_node_type_configs(),
        max_num_nodes=reading.get_max_num_nodes(),
        resource_requests=ResourceRequestUtil.group_by_count(wanted),
        recoverable_resource_availabilities=dict.fromkeys(failing, 0.0),
    )
    reply = ResourceDemandScheduler(event_logger=None).schedule(request)
    return {each.instance_type: each.count for each in reply.to_launch}
