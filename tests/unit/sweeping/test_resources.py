"""The plan of resources, and waiting for a cluster that grows."""

from collections.abc import Callable
from typing import Any

import pytest

from raytl.config import Study
from raytl.errors import RaytlError
from raytl.sweeping.on_ray.resources import cluster_text, plan, wait_for_room

MakeStudy = Callable[..., Study]


@pytest.mark.parametrize(
    ("wanted", "have", "grows", "concurrent"),
    [
        ({}, [{"CPU": 3.0}], False, 3),
        ({"cpus_per_worker": 2}, [{"CPU": 5.0}], False, 2),
        ({"cpus_per_worker": 2}, [{"CPU": 3.0}, {"CPU": 3.0}], False, 2),  # a worker is on one node
        ({"gpus_per_worker": 0.5}, [{"CPU": 8.0, "GPU": 1.0}], False, 2),
        ({"gpus_per_worker": 1}, [{"CPU": 2.0, "GPU": 4.0}], False, 2),
        ({"workers_per_trial": 2}, [{"CPU": 3.0}, {"CPU": 2.0}], False, 2),
        ({"workers_per_trial": [1, 4]}, [{"CPU": 3.0}], False, 1),
        ({"workers_per_trial": [1, 4]}, [{"CPU": 9.0}], False, 2),
        ({"max_concurrent": 1}, [{"CPU": 4.0}], False, 1),
        ({"max_concurrent": 6}, [{"CPU": 4.0}], False, 4),
        ({"max_concurrent": 6}, [{"CPU": 4.0}], True, 6),
    ],
)
def test_the_plan_is_arithmetic(
    tiny_study: MakeStudy, wanted: Any, have: Any, grows: bool, concurrent: int
) -> None:
    found = plan(tiny_study(resources=wanted), have, grows=grows)
    assert found.concurrent == concurrent
    assert found.text.startswith(f"{concurrent} trials at once")
    assert ("4 fit now, the others as the cluster grows" in found.text) == (concurrent == 6)


def test_the_plan_is_told_in_words(tiny_study: MakeStudy) -> None:
    study = tiny_study(resources={"workers_per_trial": 2, "gpus_per_worker": 1})
    nodes = [{"memory": 1e9}, {"CPU": 4.0, "GPU": 2.0}, {"CPU": 4.0, "GPU": 2.0}, {"CPU": 1.0}]
    assert plan(study, nodes).text == (
        "2 trials at once, 2 workers × 1 CPU and 1 GPU each, on 2 nodes of 4 CPUs and 2 GPUs and "
        "1 CPUs and 0 GPUs; 5 CPUs left"
    )


@pytest.mark.parametrize(
    ("wanted", "nodes"),
    [
        ({"cpus_per_worker": 2}, [{"CPU": 1.0}, {"CPU": 1.0}]),
        ({"workers_per_trial": [3, 4]}, [{"CPU": 2.0}]),
        ({"workers_per_trial": 3}, []),
    ],
)
def test_what_fits_nowhere_is_refused(tiny_study: MakeStudy, wanted: Any, nodes: Any) -> None:
    with pytest.raises(RaytlError, match="a trial needs .*, but Ray has .*; lower resources"):
        plan(tiny_study(resources=wanted), nodes)


def test_no_room_is_an_error_with_the_numbers(tiny_study: MakeStudy) -> None:
    study = tiny_study(resources={"gpus_per_worker": 1})
    with pytest.raises(RaytlError, match="needs 1 CPU and 1 GPU, but Ray has 4 CPUs and 0 GPUs"):
        plan(study, [{"CPU": 4.0}])


class GrowingCluster:
    """Has a GPU from the third look on, if it was asked for one."""

    def __init__(self) -> None:
        self.looks, self.asked, self.said = 0, list[list[dict[str, float]]](), list[str]()

    def nodes(self) -> list[dict[str, float]]:
        self.looks += 1
        grown = self.looks > 3 and self.asked[:1] == [[{"CPU": 1, "GPU": 1.0}]]
        return [{"CPU": 4.0, "GPU": 1.0} if grown else {"CPU": 2.0}]


def test_a_cluster_that_grows_is_waited_for(tiny_study: MakeStudy) -> None:
    cluster = GrowingCluster()
    study = tiny_study(resources={"gpus_per_worker": 1, "wait_s": 0.1})
    wait_for_room(study, cluster.nodes, cluster.asked.append, cluster.said.append)
    assert cluster.said == [
        "waiting for 1 CPU and 1 GPU: the cluster has 2 CPUs and 0 GPUs; giving up after 0.1 s "
        "(resources.wait_s)"
    ]
    assert cluster.asked[-1] == []
    assert plan(study, cluster.nodes()).concurrent == 1


def test_the_wait_has_an_end(tiny_study: MakeStudy) -> None:
    cluster = GrowingCluster()
    study = tiny_study(resources={"cpus_per_worker": 99, "wait_s": 0.05})
    with pytest.raises(RaytlError, match="after 0.05 s the cluster still has 2 CPUs and"):
        wait_for_room(study, cluster.nodes, cluster.asked.append, cluster.said.append)
    assert cluster.asked[-1] == []


def test_where_there_is_room_nothing_is_asked_for(tiny_study: MakeStudy) -> None:
    cluster = GrowingCluster()
    wait_for_room(tiny_study(), cluster.nodes, cluster.asked.append, cluster.said.append)
    assert cluster.asked == cluster.said == []


def test_a_plan_says_what_a_trial_needs_and_a_cluster_what_it_has(tiny_study: MakeStudy) -> None:
    study = tiny_study(resources={"cpus_per_worker": 2, "gpus_per_worker": 0.5})
    nodes = [{"CPU": 8.0, "GPU": 1.0}, {"CPU": 4.0, "memory": 1e9}]
    assert plan(study, nodes).need == "2 CPU and 0.5 GPU"
    assert cluster_text(nodes) == "12 CPUs, 1 GPU, 2 nodes"
    assert cluster_text([{"CPU": 1.0}]) == "1 CPU, 0 GPUs, 1 node"
