"""Pooled prefix features computed in this process, as the actors of a cluster compute them."""

from collections.abc import Sequence

import torch

from raytl.config import Study, TrialConfig
from raytl.remote_files import read_text
from raytl.training.building import build_trial
from raytl.training.material import Material
from raytl.training.pool_tasks import PoolTask, Tap
from raytl.training.pool_writing import PoolWriter
from raytl.training.pooled import Pooled, ShardNote, note_of, write_manifest
from raytl.training.prefix import Prefix
from raytl.training.published import Shared
from raytl.training.trial_feeds import keys_of
from raytl.urls import Place

CPU = torch.device("cpu")


def tasks_of(
    study: Study, column: str, depths: Sequence[int | str], model: str = "net"
) -> list[PoolTask]:
    """Return a task for each split that trials read, with a tap at each depth."""
    material, prefixes, flats = Material.of(study), [], []
    for depth in depths:
        trial = TrialConfig.from_flat({"source_model": model, "frozen_depth": depth})
        branch = build_trial(material, trial, 0).model.branch(column)
        prefixes.append(Prefix(branch, CPU, study.train.prefix_dtype))
        flats.append(trial.flat())
    keys = [keys_of(prefix, material.domains, column) for prefix in prefixes]
    return [
        PoolTask(
            flats[-1], column, column, *place,
            tuple(Tap(p.depth, p.pools, of[place]) for p, of in zip(prefixes, keys, strict=True)),
        )
        for place in keys[-1]
    ]  # fmt: skip


def computed(study: Study, tasks: Sequence[PoolTask], place: Place) -> Pooled:
    """Compute all shards of the tasks under `place`."""
    material = Material.of(study)
    writer = PoolWriter(material, CPU)
    for task in tasks:
        domain = material.domains.source if task.of_source else material.domains.target
        assert domain is not None
        shards = domain.split(task.split).info.shards
        for number in range(len(shards)):
            writer.write(task, number, place)
        for tap in task.taps:
            at = place / tap.key
            notes = [read_text(at / note_of(shard.file)) for shard in shards]
            write_manifest(at, task.split, [ShardNote.model_validate_json(n) for n in notes])
    return Pooled(place, frozenset(tap.key for task in tasks for tap in task.taps))


def pooled_material(study: Study, pooled: Pooled) -> Material:
    """Return the study's material, whose trials read these features."""
    return Material.of(study, shared=Shared(pooled=pooled))
