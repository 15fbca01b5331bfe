"""The Ray Data feed, for a domain that no node keeps whole: tasks on the cluster fetch and prepare
batches ahead of the training that reads them."""

import pickle
import socket
import traceback
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any

import numpy as np

from raytl.config import ON_ANY_NODE, DataTasks
from raytl.data.batch import Batch
from raytl.data.branch_rows import BranchRows, FeedRows
from raytl.data.resident import ResidentFeed
from raytl.data.target_rows import TargetRows
from raytl.errors import UserError
from raytl.packages import check_raytl, source_digest
from raytl.ranks import WHOLE, Share

PLANNED = 4096  # steps of one execution of Ray Data
TASK_STEPS = 8  # batches that one task reads
ROWS, READ = "rows", "read"


class RayDataFeed(ResidentFeed):
    """Reads the same batches as the resident feed: which rows a step has is computed here, and
    Ray Data fetches by it, in order. Each worker of a trial reads its own share. Evaluation, which
    goes through the shards one after the other, reads them itself: tasks take seconds to start."""

    def __init__(
        self,
        source: FeedRows,
        indices: np.ndarray,
        *,
        batch_size: int,
        seed: int,
        views: int = 1,
        share: Share = WHOLE,
        tasks: DataTasks = ON_ANY_NODE,
    ) -> None:
        super().__init__(
            source, indices, batch_size=batch_size, seed=seed, views=views, share=share
        )
        self._tasks = tasks

    def train_batches(self, start_step: int = 0) -> Iterator[Batch]:
        steps = self.train_rows(start_step)
        while True:
            yield from self._read(list(islice(steps, PLANNED)))

    def _read(self, plan: list[np.ndarray]) -> Iterator[Batch]:
        """Yield the batches of these rows, in order."""
        targets = self._source.target
        far = targets if targets is not None and targets.own else None  # as large as the inputs
        own = [self.share.of(rows) for rows in plan]
        fetched = _fetched(own, self._source.inputs, far, self._tasks)
        for rows, of_share, (inputs, target) in zip(plan, own, fetched, strict=True):
            if far is None:
                yield self._with_targets(inputs, rows, of_share)
            else:
                yield Batch(inputs, target, self._ids(rows), own_target=True)


def _fetched(
    plan: list[np.ndarray],
    inputs: Mapping[str, BranchRows],
    targets: TargetRows | None,
    tasks: DataTasks,
) -> Iterator[Any]:
    """Yield what the branches are given of each batch of the plan, and the targets if any. Raises
    what a task met."""
    import ray.data

    if not ray.is_initialized():
        raise UserError(
            "train.feed: ray_data needs a Ray cluster, which this process is not part of; take "
            "resident or streaming"
        )
    blocks = -(-len(plan) // TASK_STEPS)
    steps = ray.data.from_items([{ROWS: rows} for rows in plan], override_num_blocks=blocks)
    steps.context.enable_progress_bars = False
    options = steps.context.execution_options
    options.preserve_order = True
    if tasks.nodes:
        options.label_selector = dict(tasks.nodes)
    # Where the tasks have no nodes of their own they ask for no CPU: trials may hold all of them,
    # and a trial that waits for rows would wait for ever.
    read = steps.map_batches(
        partial(_given, source_digest(), inputs, targets),
        batch_size=None, concurrency=min(tasks.at_once, blocks),
        num_cpus=1 if tasks.nodes else 0,
    )  # fmt: skip
    yield from _opened(read.iter_batches(batch_size=TASK_STEPS, prefetch_batches=1))


def _opened(batches: Iterable[dict[str, Any]]) -> Iterator[Any]:
    for batch in batches:
        for found in map(pickle.loads, batch[READ]):
            if isinstance(found, Exception):
                raise found
            yield found


def _given(
    raytl: str,
    inputs: Mapping[str, BranchRows],
    targets: TargetRows | None,
    block: dict[str, np.ndarray],
) -> dict[str, Any]:
    """Read batches, in a task: pickled, as branches are given tensors of any kind and size. What
    is raised comes back as a value in their place: Ray would wrap it, and nobody could tell whose
    fault it was. `raytl`: the source of the trial's."""
    try:
        check_raytl(raytl)
        found = [_read(inputs, targets, rows) for rows in map(np.asarray, block[ROWS])]
    except Exception as error:
        found = [_sent(error)]
    column = np.empty(len(found), object)
    column[:] = found
    return {READ: column}


def _read(inputs: Mapping[str, BranchRows], targets: TargetRows | None, rows: np.ndarray) -> bytes:
    given = {name: branch.given(rows) for name, branch in inputs.items()}
    both = given, None if targets is None else targets.given(rows)
    return pickle.dumps(both, protocol=pickle.HIGHEST_PROTOCOL)


def _sent(error: Exception) -> bytes:
    """Return an error with where it came, pickled; what it says where that cannot be."""
    where = f"in a data task on {socket.gethostname()}:\n{traceback.format_exc()}"
    error.add_note(where)
    try:
        sent = pickle.dumps(error)
        pickle.loads(sent)
        return sent
    except Exception:  # whatever an error of one's own shape provokes
        said = RuntimeError(f"{type(error).__name__}: {error}")
        said.add_note(where)
        return pickle.dumps(said)
