"""A study through `ray job submit`, on a cluster of this test's own with token authentication."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from ray_processes import AUTH, RAY, TOKEN, free_port, ray_head

from raytl.config import Study, dump_study

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def submit(address: str, *more: str, token: str = TOKEN) -> subprocess.CompletedProcess[str]:
    """Submit a job, again where the head's agent has not joined yet."""
    while True:
        done = submit_once(address, *more, token=token)
        if "No available agent" not in done.stderr:
            return done
        time.sleep(1)


def submit_once(address: str, *more: str, token: str) -> subprocess.CompletedProcess[str]:
    env = os.environ | AUTH | {"RAY_AUTH_TOKEN": token}
    return subprocess.run(
        [RAY, "job", "submit", "--address", address, *more],
        capture_output=True, text=True, env=env, check=False,
    )  # fmt: skip


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[str]:
    """Start a head with two CPUs; yield the job server's address."""
    with ray_head(tmp_path / "head.log", free_port(), "--num-cpus=2") as dashboard:
        yield dashboard


def test_a_job_runs_the_study_and_exits_as_it_does(
    cluster: str, tiny_study: Callable[..., Study], tmp_path: Path
) -> None:
    plain = yaml.safe_load(dump_study(tiny_study(search={"sampler": "grid", "trials": 1})))
    for domain in ("source_domain", "target_domain"):
        plain[domain]["dataset"] = Path(plain[domain]["dataset"]).name  # under RAYTL_ROOT
    clone = tmp_path / "clone"
    clone.mkdir()
    (clone / "tiny.yaml").write_text(yaml.safe_dump(plain))
    (clone / "broken.yaml").write_text(yaml.safe_dump(plain | {"spaces": {}}))
    env_vars = {"RAYTL_ROOT": str(tmp_path), "RAYTL_CACHE": str(tmp_path / "cache")}
    options = [
        "--working-dir",
        str(clone),
        "--runtime-env-json",
        json.dumps({"env_vars": env_vars}),
    ]
    command = ["--", sys.executable, "-m", "raytl.cli", "sweep"]

    refused = submit(cluster, *options, *command, "tiny.yaml", token="x" * 32)
    assert refused.returncode != 0
    assert not (tmp_path / "runs").exists()

    done = submit(cluster, *options, *command, "tiny.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "search 1/" in done.stdout
    assert (tmp_path / "runs" / "tiny" / "report.html").exists()
    assert TOKEN not in "".join(
        path.read_text(errors="replace")
        for path in (tmp_path / "runs").rglob("*")
        if path.is_file()
    )

    broken = submit(cluster, *options, *command, "broken.yaml")
    assert broken.returncode != 0
    assert "unknown key 'spaces'" in broken.stdout
