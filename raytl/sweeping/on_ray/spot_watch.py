"""A watcher of one spot machine: when its cloud announces that it takes the machine away, the Ray
node on it is drained. Ray itself asks no cloud."""

import time
from collections.abc import Callable
from typing import Protocol

from raytl.errors import RaytlError, UserError
from raytl.sweeping.on_ray.own_node import find_own_node
from raytl.sweeping.on_ray.spot_notices import ADDRESS, CLOUDS, Cloud, Notice, cloud_here

POLL_S = 2.0  # Google Cloud and Azure leave 30 s
Say = Callable[[str], None]


class Drained(Protocol):
    """What is drained: see `own_node.OwnNode`."""

    def alive(self) -> bool:
        """Whether there is anything left to drain."""
        ...

    def drain(self, text: str, deadline: float) -> None:
        """Drain it; raises RaytlError where that was not possible now."""
        ...


def watch_spot(cloud: str, node_id: str | None, say: Say, metadata: str = ADDRESS) -> None:
    """Watch over this machine until its cloud has announced that it goes and its node is drained,
    or its node has ended.

    `cloud`: a name of CLOUDS, or "auto" for what the machine itself says; `node_id`: which node,
    where the machine has several; `metadata`: where the cloud's metadata service answers. Raises
    UserError where the cloud is not known, and RaytlError where no node runs here.
    """
    service = _service(cloud, metadata)
    node = find_own_node(node_id)
    say(f"watching over node {node.node_id} of {node.address}")
    watch(service, node, say)


def watch(cloud: Cloud, node: Drained, say: Say, poll_s: float = POLL_S) -> Notice | None:
    """Ask `cloud` every `poll_s` seconds; return the notice that the node was drained for, None
    where the node ended before.

    A service that fails to answer is asked again for as long as the node lives; `say` hears of it
    once, until it answers again.
    """
    failed = False
    while node.alive():
        try:
            notice = cloud.notice()
            if failed:
                say("the metadata service answers again")
            failed = False
        except RaytlError as error:
            if not failed:
                say(f"{error}; asking again")
            failed, notice = True, None
        if notice is not None and _drained(node, notice, say):
            return notice
        time.sleep(poll_s)
    say("the node has ended")
    return None


def _drained(node: Drained, notice: Notice, say: Say) -> bool:
    """Drain the node; return whether it was possible."""
    try:
        node.drain(notice.text, notice.deadline)
    except RaytlError as error:
        say(f"{error}; trying again")
        return False
    say(f"{notice.text} in {max(0.0, notice.deadline - time.time()):.0f} s: the node is drained")
    return True


def _service(name: str, metadata: str) -> Cloud:
    known = cloud_here() if name == "auto" else name
    if known is None:
        raise UserError(
            f"this machine says of no cloud that made it; name one: {', '.join(CLOUDS)}"
        )
    if known not in CLOUDS:
        raise UserError(f"unknown cloud '{known}'; known: auto, {', '.join(CLOUDS)}")
    return CLOUDS[known](metadata)
