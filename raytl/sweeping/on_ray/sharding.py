"""Sharding on a cluster: what there is to do for each shard, or to see in each file, as tasks of
Ray Data."""

import logging
import pickle
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

from raytl.data.stored import Each
from raytl.errors import RaytlError

# Of one execution of Ray Data: tasks, and bytes that they are described by; all are held at once
PLANNED, PLANNED_BYTES = 1024, 256 * 2**20
WHAT, DONE = "what", "done"


def on_cluster(workers: int) -> Each:
    """Return what does things in `workers` processes at once of the cluster that this process is
    connected to, in order. What a task raises of our own errors is raised here."""

    def each(do: Callable[[Any], Any], what: Iterable[Any]) -> Iterator[Any]:
        for part in _planned(what):
            yield from _done(do, part, workers)

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


def _done(do: Callable[[Any], Any], what: list[bytes], workers: int) -> Iterator[Any]:
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.WARNING)  # of each execution it tells four lines

    rows = [{WHAT: one} for one in what]
    todo = ray.data.from_items(rows, override_num_blocks=len(rows))
    todo.context.enable_progress_bars = False
    todo.context.execution_options.preserve_order = True
    at_once = ray.data.TaskPoolStrategy(size=min(workers, len(rows)))
    done = todo.map(partial(_do, do), num_cpus=1, compute=at_once)
    for row in done.iter_rows():
        found = pickle.loads(row[DONE])
        if isinstance(found, RaytlError):
            raise found
        yield found


def _do(do: Callable[[Any], Any], row: dict[str, Any]) -> dict[str, Any]:
    """Do one thing, in a task. Our own errors come back as values: Ray would wrap them, and try
    again what cannot succeed."""
    try:
        found = do(pickle.loads(row[WHAT]))
    except RaytlError as error:
        found = error
    return {DONE: pickle.dumps(found)}
