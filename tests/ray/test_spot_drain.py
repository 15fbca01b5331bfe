"""A node whose machine is announced to go: nothing new comes to it, and what dies with it counts as
preempted."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from metadata_server import aws, gcp, metadata_service
from ray_processes import AUTH, free_port, ray_head, start_node, stop

from raytl.errors import RaytlError
from raytl.sweeping.on_ray.own_node import OwnNode, find_own_node

pytestmark = [pytest.mark.ray, pytest.mark.nodes]

ACTION = '{"action": "terminate", "time": "2036-11-28T08:22:00Z"}'

# A driver on the head. It goes on at each line that it reads, and says what it found in a line.
DRIVER = """
import json, sys, ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
ray.init(address=sys.argv[1], log_to_driver=False, logging_level="ERROR")
head = ray.get_runtime_context().get_node_id()
(going,) = [n["NodeID"] for n in ray.nodes() if n["Alive"] and n["NodeID"] != head]

@ray.remote(num_cpus=0.1, scheduling_strategy=NodeAffinitySchedulingStrategy(going, soft=True))
class Trains:
    def node(self):
        return ray.get_runtime_context().get_node_id()

def say(**found):
    print(json.dumps(found), flush=True)

actor = Trains.remote()
say(going=going, head=head, actor=ray.get(actor.node.remote()))
sys.stdin.readline()
others = [Trains.remote() for _ in range(3)]
say(actor=ray.get(actor.node.remote()), others=[ray.get(o.node.remote()) for o in others])
sys.stdin.readline()
try:
    while True:
        ray.get(actor.node.remote())
except ray.exceptions.RayActorError as lost:
    say(preempted=lost.preempted)
"""


class Driver:
    """The driver as a process: `tell` lets it go on and returns what it says then."""

    def __init__(self, address: str) -> None:
        env = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"} | AUTH
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, address], env=env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip

    def tell(self, line: str = "\n") -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(line)
        self.process.stdin.flush()
        return dict(json.loads(self.process.stdout.readline()))


def watch_spot(cloud: str, node_id: str, base: str) -> list[str]:
    command = [sys.executable, "-m", "raytl.cli", "watch-spot", "--cloud", cloud]
    return [*command, "--node-id", node_id, "--metadata", base]


def test_a_node_that_is_announced_to_go_is_drained(tmp_path: Path) -> None:
    port = free_port()
    with ray_head(tmp_path / "head.log", port, "--num-cpus=1"):
        spot = start_node(tmp_path / "spot.log", port, "--num-cpus=1")
        driver = Driver(f"127.0.0.1:{port}")
        try:
            begin = driver.tell("")
            going = begin["going"]
            assert begin["actor"] == going

            with metadata_service(aws(ACTION)) as service:
                command = watch_spot("aws", going, service.base)
                done = subprocess.run(
                    command, env=os.environ | AUTH, capture_output=True, text=True, check=False
                )
            assert done.returncode == 0, done.stderr
            assert "the node is drained" in done.stderr

            then = driver.tell()
            assert then["actor"] == going, "what runs there goes on until the machine goes"
            assert set(then["others"]) == {begin["head"]}

            os.killpg(spot.pid, signal.SIGKILL)
            assert driver.tell() == {"preempted": True}
        finally:
            driver.process.kill()
            driver.process.communicate()
            stop(spot)


def test_a_node_that_goes_without_a_notice_is_not_preempted(tmp_path: Path) -> None:
    port = free_port()
    with ray_head(tmp_path / "head.log", port, "--num-cpus=1"):
        spot = start_node(tmp_path / "spot.log", port, "--num-cpus=1")
        driver = Driver(f"127.0.0.1:{port}")
        try:
            begin = driver.tell("")
            assert set(driver.tell()["others"]) == {begin["going"]}
            os.killpg(spot.pid, signal.SIGKILL)
            assert driver.tell() == {"preempted": False}
        finally:
            driver.process.kill()
            driver.process.communicate()
            stop(spot)


def own_node(node_id: str) -> OwnNode:
    """Return the node as soon as it runs: a head's dashboard listens before."""
    while True:
        with contextlib.suppress(RaytlError):
            return find_own_node(node_id)
        time.sleep(0.1)


def test_the_watcher_finds_its_node_and_ends_with_it(tmp_path: Path) -> None:
    port, node_id = free_port(), "ab" * 28
    env = {"RAY_OVERRIDE_NODE_ID_FOR_TESTING": node_id}
    with ray_head(tmp_path / "head.log", port, "--num-cpus=1", env=env):
        node = own_node(node_id)
        assert node.address.endswith(f":{port}")
        assert node.alive()
        with metadata_service(gcp("FALSE")) as service:
            command = watch_spot("gcp", node_id, service.base)
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as watcher:
                while not service.asked:
                    assert watcher.poll() is None
                node.process.kill()
                said = watcher.communicate()[1]
        assert watcher.returncode == 0
        assert f"watching over node {node_id} of {node.address}" in said
        assert said.rstrip().endswith("the node has ended")
        assert not node.alive()
