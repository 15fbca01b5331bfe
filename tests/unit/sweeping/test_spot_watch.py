"""The watcher's loop: it drains once, it is patient, and it ends with its node."""

import time
from collections.abc import Iterator

import pytest

from raytl.errors import RaytlError, UserError
from raytl.sweeping.on_ray.own_node import find_own_node
from raytl.sweeping.on_ray.spot_notices import MetadataError, Notice
from raytl.sweeping.on_ray.spot_watch import watch, watch_spot

SOON = Notice("AWS: terminate", time.time() + 100_000)  # tests may be slow


class FakeCloud:
    """Says or raises what it was given, one thing a question."""

    def __init__(self, *says: Notice | Exception | None) -> None:
        self._says: Iterator[Notice | Exception | None] = iter(says)

    def is_spot(self) -> bool:
        return True

    def notice(self) -> Notice | None:
        said = next(self._says)
        if isinstance(said, Exception):
            raise said
        return said


class FakeNode:
    """Lives for so many looks; refuses to be drained so many times."""

    def __init__(self, looks: int = 100, refusals: int = 0) -> None:
        self._looks, self._refusals = looks, refusals
        self.drained: list[tuple[str, float]] = []

    def alive(self) -> bool:
        self._looks -= 1
        return self._looks >= 0

    def drain(self, text: str, deadline: float) -> None:
        if self._refusals:
            self._refusals -= 1
            raise RaytlError("the head does not answer")
        self.drained.append((text, deadline))


def test_a_notice_drains_the_node_once() -> None:
    node, said = FakeNode(), list[str]()
    assert watch(FakeCloud(None, None, SOON), node, said.append, poll_s=0) == SOON
    assert node.drained == [(SOON.text, SOON.deadline)]
    (text,) = said
    assert text.startswith("AWS: terminate in 9") and text.endswith("s: the node is drained")


def test_it_ends_with_its_node() -> None:
    node, said = FakeNode(looks=3), list[str]()
    assert watch(FakeCloud(None, None, None), node, said.append, poll_s=0) is None
    assert (node.drained, said) == ([], ["the node has ended"])


def test_a_service_that_fails_is_asked_again_and_said_once() -> None:
    node, said = FakeNode(), list[str]()
    error = MetadataError("no answer")
    watch(FakeCloud(error, error, None, error, SOON), node, said.append, poll_s=0)
    assert said[:4] == [
        "no answer; asking again",
        "the metadata service answers again",
        "no answer; asking again",
        "the metadata service answers again",
    ]
    assert len(node.drained) == 1


def test_a_head_that_does_not_answer_is_told_again() -> None:
    node, said = FakeNode(refusals=2), list[str]()
    watch(FakeCloud(SOON, SOON, SOON), node, said.append, poll_s=0)
    assert len(node.drained) == 1
    assert said[:2] == ["the head does not answer; trying again"] * 2


def test_an_unknown_cloud_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="unknown cloud 'aw'; known: auto, aws, gcp, azure"):
        watch_spot("aw", None, print)


def test_a_machine_of_no_cloud_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytl.sweeping.on_ray.spot_watch.cloud_here", lambda: None)
    with pytest.raises(UserError, match="says of no cloud that made it; name one: aws"):
        watch_spot("auto", None, print)


def test_a_machine_without_the_node_is_an_error() -> None:
    with pytest.raises(RaytlError, match="no node 00ff runs on this machine; run `ray start"):
        find_own_node("00ff")
