"""Work by Ray Data: what comes back, and what is said where it cannot."""

import os
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from raytl.errors import ConfigError, RaytlError
from raytl.sweeping.on_ray import data_tasks
from raytl.sweeping.on_ray.data_tasks import Work

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]
COUNTING = Work("counting", "count again")


def doing(what: str) -> Callable[[int], Any]:
    """Return what workers can be sent, which do not find this file."""

    def plus(number: int) -> int:
        return number + 3

    def ends(number: int) -> None:
        os._exit(3)

    def strange(number: int) -> None:
        raise KeyError("nobody\nknows")

    def mistaken(number: int) -> None:
        raise ConfigError("this is a person's mistake")

    return {f.__name__: f for f in (plus, ends, strange, mistaken)}[what]


def results(work: Work, by: str, do: Callable[[int], Any]) -> list[Any]:
    what = [pickle.dumps(number) for number in range(5)]
    if by == "tasks":
        return list(work.by_tasks(do, what, workers=2))
    return sorted(work.by_actors(lambda: do, what, workers=2, cpus=1, gpus=None))


@pytest.mark.parametrize("by", ["tasks", "actors"])
def test_each_part_is_done_once(by: str) -> None:
    assert results(COUNTING, by, doing("plus")) == [3, 4, 5, 6, 7]


@pytest.mark.parametrize("by", ["tasks", "actors"])
def test_what_is_met_is_said_in_raytls_words(by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="^this is a person's mistake$"):
        results(COUNTING, by, doing("mistaken"))
    with pytest.raises(RaytlError, match="counting failed: KeyError: .*; look at .*count again$"):
        results(COUNTING, by, doing("strange"))
    with pytest.raises(RaytlError, match="raytl here is not the driver's"):
        results(Work("counting", "count again", raytl="0" * 64), by, doing("plus"))
    monkeypatch.setattr(data_tasks, "MOST_FAULTS", 0)
    with pytest.raises(RaytlError, match="counting: the cluster lost a process: ") as lost:
        results(COUNTING, by, doing("ends"))
    assert str(lost.value).endswith("look at its nodes, and count again")
    assert len(str(lost.value).splitlines()) == 1
