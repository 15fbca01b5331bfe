"""Ray heads that a test starts for itself, in a process group of their own."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil

RAY = str(Path(sys.executable).with_name("ray"))
TOKEN = "t" * 32
AUTH = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}  # of heads and of those who join them


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def wait_until_open(port: int, head: subprocess.Popen[bytes]) -> None:
    """Wait until the head listens on the port."""
    while True:
        assert head.poll() is None, "the head did not start"
        with socket.socket() as client:
            client.settimeout(1)
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)


def start_node(
    log: Path, head_port: int, *options: str, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Add a node to the cluster of the head that listens on `head_port` of loopback; return when it
    has joined: two that start at once take the same sockets."""
    ports = [
        f"--{name}-port={free_port()}"
        for name in ("dashboard-agent-listen", "dashboard-agent-grpc", "runtime-env-agent",
                     "metrics-export")
    ]  # fmt: skip
    command = [
        RAY, "start", f"--address=127.0.0.1:{head_port}", "--block", "--disable-usage-stats",
        "--node-ip-address=127.0.0.1", *ports, *options,
    ]  # fmt: skip
    node = _start(command, log, AUTH | dict(env or {}))
    while "Ray runtime started" not in log.read_text():
        assert node.poll() is None, log.read_text()
        time.sleep(0.1)
    return node


def _start(command: list[str], log: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    own = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    with log.open("w") as file:
        return subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, env=own | dict(env),
            start_new_session=True,
        )  # fmt: skip


@contextlib.contextmanager
def ray_head(
    log: Path, port: int, *options: str, env: Mapping[str, str] | None = None
) -> Iterator[str]:
    """Run a head on `port` of loopback, with token authentication; yield its dashboard's address.

    Its ports are its own: without an agent port a second cluster on one machine takes no jobs.
    """
    dashboard, agent = free_port(), free_port()
    command = [
        RAY, "start", "--head", "--block", f"--port={port}", "--node-ip-address=127.0.0.1",
        "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}",
        f"--dashboard-agent-listen-port={agent}", "--disable-usage-stats", *options,
    ]  # fmt: skip
    head = _start(command, log, AUTH | dict(env or {}))
    try:
        wait_until_open(dashboard, head)
        yield f"http://127.0.0.1:{dashboard}"
    finally:
        stop(head)


@contextlib.contextmanager
def sweeping(study: Path, run: Path, *more: str) -> Iterator[subprocess.Popen[str]]:
    """Run `raytl sweep` in a process of its own, with a local cluster unless RAY_ADDRESS names
    another, and without trials of earlier tests; end it where the test has not."""
    command = [sys.executable, "-m", "raytl.cli", "sweep", str(study), "--out", str(run)]
    command += ["--no-store", *more]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env={"RAY_ADDRESS": "local"} | os.environ,
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(what: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until it is so, while the process runs."""
    while not what():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)


def epochs_reported(run: Path) -> int:
    """Return how many epochs of a run's trials are kept."""
    return sum(_epochs_kept(trial) for trial in run.glob("*/"))


def _epochs_kept(trial: Path) -> int:
    record = trial / "record.json"
    if record.exists():
        return len(json.loads(record.read_text())["curve"])
    return max((int(each.name[-5:]) for each in trial.glob("checkpoint-*")), default=0)


TRIAL = ("ImplicitFunc.train",)  # an actor that trains, by the title that Ray gives it
WORKER = ("RayTrainWorker", "execute.")  # one of a trial's several workers


def own_actors(titles: tuple[str, ...], pid: int | None = None) -> list[psutil.Process]:
    """Return the processes of this process's own cluster, or of the node `pid`, whose titles start
    so."""
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.name().startswith(tuple(f"ray::{title}" for title in titles)):
                found.append(process)
    return found


def stop(head: subprocess.Popen[bytes]) -> None:
    """End the head and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(head.pid, signal.SIGKILL)
    head.wait()
