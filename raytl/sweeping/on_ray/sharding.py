"""Sharding on a cluster: what there is to do for each shard, or to see in each file, as tasks of
Ray Data."""

import logging
import pickle
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import cloudpickle

from raytl.data.stored import Each
from raytl.errors import RaytlError

PLANNED = 1024  # tasks of one execution of Ray Data, so that few descriptions are held at once
WHAT, DONE = "what", "done"


def on_cluster(workers: int) -> Each:
    """Return what does things in `workers` processes at once of the cluster that this process is
    connected to, in order. What a task raises of our own errors is raised here."""

    def each(do: Callable[[Any], Any], what: Iterable[Any]) -> Iterator[Any]:
        rest = iter(what)
        while part := list(islice(rest, PLANNED)):
            yield from _done(do, part, workers)

    return each


def _done(do: Callable[[Any], Any], what: list[Any], workers: int) -> Iterator[Any]:
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.WARNING)  # of each execution it tells four lines

    rows = [{WHAT: cloudpickle.dumps(one)} for one in what]
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
