"""Sharding on a cluster: what there is to do for each shard, or to see in each file, as tasks."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from raytl.data.stored import Each
from raytl.sweeping.on_ray.data_tasks import Work

# Of one execution of Ray Data: tasks, and bytes that they are described by; all are held at once
PLANNED, PLANNED_BYTES = 1024, 256 * 2**20
SHARDING = "sharding", "run the same command again, which goes on"


def on_cluster(workers: int) -> Each:
    """Return what does things in `workers` processes at once of the cluster that this process is
    connected to, in order; raises as `Work.by_tasks`."""
    work = Work(*SHARDING)

    def each(do: Callable[[Any], Any], what: Iterable[Any]) -> Iterator[Any]:
        for part in _planned(what):
            yield from work.by_tasks(do, part, workers)

    return each


def _planned(what: Iterable[Any]) -> Iterator[list[bytes]]:
    """Yield descriptions of what there is to do, as many as one execution takes."""
    from ray import cloudpickle

    part: list[bytes] = []
    held = 0
    for one in what:
        part.append(cloudpickle.dumps(one))
        held += len(part[-1])
        if len(part) == PLANNED or held >= PLANNED_BYTES:
            yield part
            part, held = [], 0
    if part:
        yield part
