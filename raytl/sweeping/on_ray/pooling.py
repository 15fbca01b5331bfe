"""Prefix features of large data, computed once by the cluster before the trials: shard by shard, on
a pool of actors, each of which has built the branch once. What is there is not computed again."""

import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from raytl.config import Study
from raytl.data.domain import Domains
from raytl.errors import CorruptError
from raytl.remote_files import files_in, read_text
from raytl.sweeping.on_ray.data_tasks import Work
from raytl.sweeping.on_ray.resources import worker_bundle
from raytl.sweeping.on_ray.trainable import trial_device
from raytl.sweeping.pool_plan import pool_plan
from raytl.sweeping.preflight import Checked
from raytl.training.pool_tasks import PoolTask
from raytl.training.pooled import (
    Manifest,
    Pooled,
    ShardNote,
    note_of,
    read_manifest,
    write_manifest,
)
from raytl.urls import Place, Url

COMPUTING = "computing prefix features", "go on with --resume"
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
    pool.finish(missing)
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
        """Return which shards are not there whole: the task's number and the shard's."""
        found = []
        for number, task in enumerate(self.tasks):
            files = self.shards(task)
            standing = [_standing(self.place / tap.key, files) for tap in task.taps]
            found += [
                (number, shard)
                for shard, file in enumerate(files)
                if not all(file in names for names in standing)
            ]
        return found

    def compute(self, missing: Sequence[tuple[int, int]], workers: int) -> None:
        """Compute these shards on up to so many actors, each with what a trial's worker has; raises
        as `Work.by_actors`."""
        bundle = worker_bundle(self.study)
        shards = Work(*COMPUTING).by_actors(
            partial(_writer, self.study, list(self.tasks), self.place),
            [pickle.dumps(one) for one in missing], workers,
            cpus=bundle.get("CPU"), gpus=bundle.get("GPU"),
        )  # fmt: skip
        for _ in shards:
            pass

    def finish(self, computed: Sequence[tuple[int, int]]) -> None:
        """Say of each task's features that they are whole, these shards having been computed."""
        begun = {number for number, _ in computed}
        for number, task in enumerate(self.tasks):
            files = self.shards(task)
            for tap in task.taps:
                at = self.place / tap.key
                if number in begun or _whole(at) is None:
                    with ThreadPoolExecutor(READERS) as pool:
                        notes = list(pool.map(lambda file, at=at: _note(at, file), files))
                    write_manifest(at, task.split, notes)


def _standing(place: Place, files: Sequence[str]) -> set[str]:
    """Return those shards of features that are whole: all where the manifest says so and they have
    the sizes that it says, else those that have a note."""
    sizes, whole = _sizes(place), _whole(place)
    if whole is None:
        return {file for file in files if {file, note_of(file)} <= sizes.keys()}
    sound = {shard.file for shard in whole.shards if sizes.get(shard.file) == shard.bytes}
    return sound if sound.issuperset(files) else {file for file in sound if note_of(file) in sizes}


def _whole(place: Place) -> Manifest | None:
    try:
        return read_manifest(place)
    except CorruptError:
        return None


def _sizes(place: Place) -> dict[str, int]:
    if isinstance(place, Url):
        return {name: found.bytes for name, found in files_in(place).items()}
    return {f.name: f.stat().st_size for f in place.iterdir()} if place.exists() else {}


def _note(place: Place, file: str) -> ShardNote:
    return ShardNote.model_validate_json(read_text(place / note_of(file)))


def _writer(
    study: Study, tasks: Sequence[PoolTask], place: Place
) -> Callable[[tuple[int, int]], None]:
    """Return what writes a task's shard, by both numbers, in a process that has opened the study
    once."""
    import torch

    from raytl.memory import keep_freed_memory
    from raytl.training.material import Material
    from raytl.training.pool_writing import PoolWriter
    from raytl.training.torch_options import torch_options

    keep_freed_memory()
    torch.set_num_threads(study.resources.cpus_per_worker)
    writer = PoolWriter(Material.of(study), torch.device(trial_device(study)))

    def write(one: tuple[int, int]) -> None:
        task, shard = one
        with torch_options(study.train):
            writer.write(tasks[task], shard, place)

    return write
