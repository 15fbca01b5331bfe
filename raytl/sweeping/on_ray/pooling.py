"""Prefix features of large data, computed once by the cluster before the trials: shard by shard, on
a pool of actors, each of which has built the branch once. What is there is not computed again."""

import contextlib
import logging
import pickle
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from ray.exceptions import RayError

from raytl.config import Study
from raytl.data.domain import Domains
from raytl.errors import RaytlError
from raytl.packages import source_digest
from raytl.remote_files import files_in, read_text, there
from raytl.sweeping.on_ray.faults import describe
from raytl.sweeping.on_ray.resources import worker_bundle
from raytl.sweeping.on_ray.retries import MOST_FAULTS
from raytl.sweeping.on_ray.trainable import check_raytl, trial_device
from raytl.sweeping.pool_plan import pool_plan
from raytl.sweeping.preflight import Checked
from raytl.training.pool_tasks import PoolTask
from raytl.training.pooled import FILE, Pooled, ShardNote, note_of, write_manifest
from raytl.urls import Place, Url

FAILED = "failed"  # of a shard's row: the error that came instead, pickled
READERS = 16  # notes that are read at once: each waits for the network


def pooled_features(
    checked: Checked,
    place: Place,
    device: str,
    *,
    workers: int,
    say: Callable[[str], None] = lambda text: None,
) -> Pooled | None:
    """Compute what pays of a study's prefix features, for all of its trials; None where nothing
    does. `device`: what kind the trials train on. Raises RaytlError for what an actor met."""
    plan = pool_plan(checked, device)
    if not plan.tasks:
        return None
    pool = Pool(checked.study, checked.domains, plan.tasks, place)
    missing = pool.missing()
    if missing:
        say(
            f"prefix features of {len(missing)} shards are computed first, for all trials: about "
            f"{plan.seconds:.0f} s of one process's work for all shards"
        )
        pool.compute(missing, workers)
    pool.finish()
    return Pooled(place, plan.keys)


@dataclass(frozen=True)
class Pool:
    """The shards of tasks that are to be computed under `place`, for a study whose `domains` are
    open."""

    study: Study
    domains: Domains
    tasks: Sequence[PoolTask]
    place: Place

    def shards(self, task: PoolTask) -> list[str]:
        """Return the files of the data's shards, after which those of features are called."""
        domain = self.domains.source if task.of_source else self.domains.target
        assert domain is not None
        return [shard.file for shard in domain.split(task.split).info.shards]

    def missing(self) -> list[tuple[int, int]]:
        """Return which shards are not there yet: the task's number and the shard's."""
        found = []
        for number, task in enumerate(self.tasks):
            if not all(there(self.place / tap.key / FILE) for tap in task.taps):
                there_already = [_names(self.place / tap.key) for tap in task.taps]
                found += [
                    (number, shard)
                    for shard, file in enumerate(self.shards(task))
                    if not all(note_of(file) in names for names in there_already)
                ]
        return found

    def compute(self, missing: Sequence[tuple[int, int]], workers: int) -> None:
        """Compute these shards on up to so many actors, each with what a trial's worker has.

        Needs a Ray cluster to be connected to. Raises RaytlError for what an actor met.
        """
        import ray.data
        from ray.data.exceptions import SystemException

        items = [{"task": task, "shard": shard} for task, shard in missing]
        todo = ray.data.from_items(items, override_num_blocks=len(items))
        todo.context.enable_progress_bars = False
        bundle = worker_bundle(self.study)
        writer: Any = ShardWriter  # a class whose objects are called, which Ray's types do not know
        pool = ray.data.ActorPoolStrategy(min_size=1, max_size=min(workers, len(items)))
        done = todo.map(
            writer, fn_constructor_args=(self.study, list(self.tasks), self.place, source_digest()),
            compute=pool, num_cpus=bundle.get("CPU"), num_gpus=bundle.get("GPU"),
            max_restarts=MOST_FAULTS, max_task_retries=MOST_FAULTS,  # else for ever
        )  # fmt: skip
        with _saying_it_here():
            try:
                for row in done.iter_rows():
                    if row[FAILED]:
                        raise pickle.loads(row[FAILED])
            except (RayError, SystemException) as error:
                raise _lost(error) from None

    def finish(self) -> None:
        """Say of each task's features that they are whole."""
        for task in self.tasks:
            files = self.shards(task)
            for tap in task.taps:
                at = self.place / tap.key
                if not there(at / FILE):
                    with ThreadPoolExecutor(READERS) as pool:
                        notes = list(pool.map(lambda file, at=at: _note(at, file), files))
                    write_manifest(at, task.split, notes)


def _names(place: Place) -> set[str]:
    if isinstance(place, Url):
        return set(files_in(place))
    return {file.name for file in place.iterdir()} if place.exists() else set()


def _note(place: Place, file: str) -> ShardNote:
    return ShardNote.model_validate_json(read_text(place / note_of(file)))


class ShardWriter:
    """Computes shards of features, in a process of the cluster that has opened the study once. What
    it meets it gives back: of what it raises, Ray Data keeps no more than a trace."""

    def __init__(self, study: Study, tasks: Sequence[PoolTask], place: Place, raytl: str) -> None:
        self._tasks, self._place = tasks, place
        self._write: Callable[[PoolTask, int, Place], None] | None = None
        self._failed = b""
        try:
            self._write = _writer(study, raytl)
        except Exception as error:
            self._failed = _said(error)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        """Write the features of one shard."""
        failed = self._failed
        try:
            if self._write is not None:
                self._write(self._tasks[int(row["task"])], int(row["shard"]), self._place)
        except Exception as error:
            failed = _said(error)
        return row | {FAILED: failed}


def _writer(study: Study, raytl: str) -> Callable[[PoolTask, int, Place], None]:
    import torch

    from raytl.memory import keep_freed_memory
    from raytl.training.material import Material
    from raytl.training.pool_writing import PoolWriter

    check_raytl(raytl)
    keep_freed_memory()
    torch.set_num_threads(study.resources.cpus_per_worker)
    return PoolWriter(Material.of(study), torch.device(trial_device(study))).write


def _said(error: Exception) -> bytes:
    """Return what an actor met, pickled, as raytl's own error."""
    if isinstance(error, RaytlError):
        return pickle.dumps(error)
    text = describe(error)[:300]
    return pickle.dumps(
        RaytlError(
            f"{socket.gethostname()}: computing prefix features failed: {text}; look at this node, "
            "and go on with --resume"
        )
    )


def _lost(error: Exception) -> RaytlError:
    text = describe(error)[:300]
    return RaytlError(
        f"prefix features: the cluster lost a process that computed them: {text}; look at its "
        "nodes, and go on with --resume"
    )


@contextlib.contextmanager
def _saying_it_here() -> Iterator[None]:
    """Leave out what Ray Data says of plans and errors: raytl says it in a line."""
    logger = logging.getLogger("ray.data")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
