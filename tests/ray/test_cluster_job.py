"""A study from a clone, as docs/operations.md submits it, on nodes that are started by the commands
of cluster.yaml; it is kept in a bucket. Ports and the cloud are the test's own."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
from cluster_files import plain, run_on_node
from metadata_server import aws, metadata_service
from ray_processes import RAY, TOKEN, free_port
from s3_server import s3_bucket
from tests_support import ROOT

from raytl.config import Study, dump_study
from raytl.remote_files import files_in
from raytl.urls import Url

pytestmark = [pytest.mark.ray, pytest.mark.nodes]

MARK = "RAYTL_TEST_CLUSTER"  # in the environment of every process that the test's nodes start


@dataclass(frozen=True)
class Nodes:
    """A head and a worker on this machine. `home`: their user's, `dashboard`: its address."""

    home: Path
    dashboard: str
    port: int
    mark: str

    def run(self, command: str, resources: str) -> None:
        """Run a start command of cluster.yaml with these nodes' ports."""
        own = {"RAY_HEAD_IP": "127.0.0.1", MARK: self.mark, "RAY_OVERRIDE_RESOURCES": resources}
        done = run_on_node(command.replace(":6379", f":{self.port}"), self.home, **own)
        assert done.returncode == 0, done.stdout + done.stderr

    def stop(self) -> None:
        """End all that the nodes started, also what a process that is being ended starts."""
        while left := self.processes():
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            psutil.wait_procs(left, timeout=5)

    def watched(self, metadata: str) -> Path:
        """Start the watcher of the worker, with another metadata service; return its log."""
        (watcher,) = [each for each in start_commands("worker") if "watch-spot" in each]
        (node_id,) = [
            argument.removeprefix("--node_id=")
            for process in self.processes()
            if process.name() == "raylet" and "__internal_head__" not in " ".join(process.cmdline())
            for argument in process.cmdline()
            if argument.startswith("--node_id=")
        ]
        more = f"--cloud aws --metadata {metadata} --node-id {node_id}"
        self.run(watcher.replace("--cloud aws", more), "")
        return self.home / "raytl-watch-spot.log"

    def processes(self) -> list[psutil.Process]:
        """Return those that run, by the mark in their environment."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                marked = process.environ().get(MARK) == self.mark
                if marked and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found


def start_commands(kind: str) -> list[str]:
    """Return the start commands of cluster.yaml but the one that would end other tests' nodes."""
    return [each for each in plain("aws")[f"{kind}_start_ray_commands"] if "ray stop" not in each]


def own_places() -> str:
    """Return options that let a node run beside others on this machine."""
    agents = ("dashboard-agent-listen", "dashboard-agent-grpc", "runtime-env-agent",
              "metrics-export")  # fmt: skip
    return " ".join(["--node-ip-address=127.0.0.1", *(f"--{a}-port={free_port()}" for a in agents)])


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[Url]:
    with s3_bucket(monkeypatch) as found:
        yield found


@pytest.fixture
def nodes(tmp_path: Path, bucket: Url) -> Iterator[Nodes]:
    """Start a head without CPUs and a worker with two, each with folders of its own."""
    home = tmp_path / "home"
    (home / ".ray").mkdir(parents=True)
    (home / ".ray" / "auth_token").write_text(TOKEN)
    (home / "venv").symlink_to(sys.prefix)
    port, dashboard = free_port(), free_port()
    cluster = Nodes(home, f"http://127.0.0.1:{dashboard}", port, uuid.uuid4().hex)
    (head,) = start_commands("head")
    head = re.sub(r"--autoscaling-config=\S+", "", head).replace("--port=6379", f"--port={port}")
    with TemporaryDirectory(prefix="ray-h-") as of_head, TemporaryDirectory(prefix="ray-w-") as of:
        try:
            more = f"--dashboard-port={dashboard} --temp-dir={of_head}"
            cluster.run(f"{head} {own_places()} {more}", "'{\"CPU\":0}'")
            worker = start_commands("worker")[0]
            cluster.run(f"{worker} {own_places()} --temp-dir={of}", "'{\"CPU\":2}'")
            yield cluster
        finally:
            cluster.stop()


def documented() -> list[str]:
    """Return how docs/operations.md submits jobs, up to what is run: `ray job submit … --`."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8").replace("\\\n", "")
    (command,) = set(re.findall(r"^    (ray job submit .*? --) ", text, re.M))
    return str(command).split()


def submit(nodes: Nodes, clone: Path, *entrypoint: str) -> subprocess.CompletedProcess[str]:
    """Submit a job from the clone as documented, to another address."""
    words = [RAY, *documented()[1:], *entrypoint]
    words = [nodes.dashboard if word == "http://127.0.0.1:8265" else word for word in words]
    env = os.environ | {"HOME": str(nodes.home), "RAY_AUTH_MODE": "token"}
    env = {name: value for name, value in env.items() if name != "RAY_AUTH_TOKEN"}
    return subprocess.run(words, cwd=clone, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A checkout, as `git clone` leaves it."""
    out = tmp_path / "clone"
    for name in ("raytl", "search_spaces", "clusters", "docs"):
        shutil.copytree(ROOT / name, out / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", ".gitignore", "README.md", "cluster.yaml"):
        shutil.copy(ROOT / name, out / name)
    return out


def test_a_study_from_a_clone_runs_on_nodes_of_the_cluster_file(
    nodes: Nodes, clone: Path, bucket: Url, tiny_study: Callable[..., Study]
) -> None:
    study = tiny_study(
        search={"sampler": "grid", "trials": 1},
        resources={"storage_path": bucket / "runs", "max_concurrent": 2},
    )
    (clone / "study.yaml").write_text(dump_study(study))

    where = submit(nodes, clone, "python", "-c", "import raytl; print(raytl.__file__)")
    assert re.search(r"/runtime_resources/\S*/raytl/__init__.py", where.stdout), where.stdout

    done = submit(nodes, clone, "raytl", "sweep", "study.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "search 1/" in done.stdout
    assert "tiny/report.html" in files_in(bucket / "runs")
    assert (nodes.home / "scratch" / "cache" / "trials").is_dir(), "RAYTL_CACHE of the node"
    assert not (nodes.home / ".cache" / "raytl").exists()


def test_the_watcher_runs_on_when_the_command_that_started_it_has_ended(nodes: Nodes) -> None:
    with metadata_service(aws(None)) as service:
        log = nodes.watched(service.base)
        while not (log.exists() and "watching over node" in log.read_text()):
            time.sleep(0.1)
        service.answer = aws('{"action": "terminate", "time": "2036-11-28T08:22:00Z"}')
        while "the node is drained" not in log.read_text():
            time.sleep(0.1)
