"""Ray heads that a test starts for itself, in a process group of their own."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

RAY = str(Path(sys.executable).with_name("ray"))
TOKEN = "t" * 32
AUTH = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}  # of heads and of those who join them


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def wait_until_open(port: int, head: subprocess.Popen[bytes]) -> None:
    """Wait until the head listens on the port."""
    end = time.monotonic() + 90
    while True:
        assert head.poll() is None and time.monotonic() < end, "the head did not start"
        with socket.socket() as client:
            client.settimeout(1)
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.5)


def stop(head: subprocess.Popen[bytes]) -> None:
    """End the head and all that it started."""
    os.killpg(head.pid, signal.SIGTERM)
    try:
        head.wait(5)
    except subprocess.TimeoutExpired:
        os.killpg(head.pid, signal.SIGKILL)
