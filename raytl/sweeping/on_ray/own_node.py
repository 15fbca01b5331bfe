"""The Ray node that runs on this machine: which it is, whether it lives, and how it is drained."""

import time
from dataclasses import dataclass

import psutil

from raytl.errors import RaytlError

RAYLET = "raylet"  # the process that makes a machine a node
ASK_S = 10.0  # for the cluster's head to answer


@dataclass(frozen=True)
class OwnNode:
    """A node of this machine. `address`: of its cluster, HOST:PORT; `process`: its raylet."""

    node_id: str
    address: str
    process: psutil.Process

    def alive(self) -> bool:
        """Whether the node's process still runs."""
        return bool(self.process.is_running()) and self.process.status() != psutil.STATUS_ZOMBIE

    def drain(self, text: str, deadline: float) -> None:
        """Tell the cluster that the node goes at `deadline`, Unix time, and why: nothing new is
        placed on it, and actors that die with it count as preempted.

        Raises RaytlError where the head does not answer or does not accept.
        """
        from ray.exceptions import RayError

        # Imported here: whoever waits for a notice, on every spot node, needs none of it.
        from raytl.sweeping.on_ray.private_ray import drain_node

        milliseconds = int(max(deadline, time.time()) * 1000)
        try:
            accepted, why_not = drain_node(
                self.address, self.node_id, text, milliseconds, timeout=ASK_S
            )
        except (RayError, RuntimeError, OSError) as error:
            raise RaytlError(f"{self.address}: cannot drain {self.node_id}: {error}") from error
        if not accepted:
            raise RaytlError(f"{self.address}: will not drain {self.node_id}: {why_not}")


def find_own_node(node_id: str | None = None) -> OwnNode:
    """Return the node of this machine; `node_id` (hexadecimal) says which where there are several.

    Raises RaytlError where there is none, or several.
    """
    found = [node for node in _nodes() if node_id in (None, node.node_id)]
    if not found:
        what = f"node {node_id}" if node_id else "Ray node"
        raise RaytlError(f"no {what} runs on this machine; run `ray start --address=HEAD` first")
    if len(found) > 1:
        names = ", ".join(node.node_id for node in found)
        raise RaytlError(f"several nodes run on this machine; say which with --node-id: {names}")
    return found[0]


def _nodes() -> list[OwnNode]:
    found = []
    for process in psutil.process_iter(["name", "cmdline"]):
        if process.info["name"] == RAYLET:
            flags = dict(
                argument.removeprefix("--").split("=", 1)
                for argument in process.info["cmdline"] or []
                if argument.startswith("--") and "=" in argument
            )
            if "node_id" in flags and "gcs-address" in flags:
                found.append(OwnNode(flags["node_id"], flags["gcs-address"], process))
    return found
