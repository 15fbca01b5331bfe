"""A trial of a group that trains together. The searcher lets one of them run at a time: it trains
all, on whatever node it runs, and the others find their epochs in their own folders.

So a group holds one trial's room, is trained once wherever its members run, and goes on with
whichever of them runs next where a node is lost.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from raytl.config import Study
from raytl.errors import TrainingError
from raytl.sweeping.kept.members import KeptTrial
from raytl.sweeping.kept.records import workers_of
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.on_ray.faults import Failure, MetByWorkerError, own_node
from raytl.sweeping.on_ray.trainable import Reporter
from raytl.sweeping.search.fusing import configs_of, members_of
from raytl.training.fused_group import FusedGroup, pays
from raytl.training.material import Material
from raytl.training.trial import TrialRun


@dataclass
class Groups:
    """The group that this process has worked on last: its members may still be in memory."""

    name: str = ""
    group: FusedGroup | None = None

    def of(
        self, material: Material, config: dict[str, Any], *, device: str, test: bool
    ) -> FusedGroup:
        """Return a trial's group."""
        members = members_of(config)

        def build(number: int, checkpoint: Path | None) -> TrialRun:
            of = members[number]
            return TrialRun(
                material, of.trial, of.seed, device=device, resume_from=checkpoint, test=test,
                rows_seed=of.rows_seed,
            )  # fmt: skip

        name = config["fused"]["group"]
        if self.group is None or self.name != name:
            self.name, self.group = name, FusedGroup(build)
        return self.group


def group_pays(group: FusedGroup, study: Study, config: dict[str, Any]) -> bool:
    """Whether a trial's group trains together; else each trains alone."""
    run = group.member(config["fused"]["index"])
    return pays(study, run, len(config["fused"]["members"]))


def run_group_trial(
    group: FusedGroup, study: Study, storage: RunStorage, config: dict[str, Any], report: Reporter
) -> None:
    """Train a trial's whole group until the trial has all its epochs, and report those.

    Raises TrainingError where its loss is not finite; MetByWorkerError where another trial of the
    group has met that, on its node. Whoever runs the trial once more looks again.
    """
    index, kept = config["fused"]["index"], _kept(study, storage, config)
    own = kept[index]
    if own.failure is not None and not own.told:
        own.tell()
        failure = Failure.of(TrainingError(own.failure.text))
        raise MetByWorkerError(replace(failure, node=own.failed_on), own.failure.text)
    own.doubt()
    group.take_up(kept)
    try:
        while report.epoch < study.train.epochs:
            report.tell(group.epoch(index))
    except TrainingError:
        own.tell()
        raise


def _kept(study: Study, storage: RunStorage, config: dict[str, Any]) -> list[KeptTrial]:
    configs, workers, node = configs_of(config), workers_of(study), own_node()

    def look(of: dict[str, Any]) -> KeptTrial:
        return KeptTrial(
            storage.trial(of["name"]), of, study.train.epochs, workers, share=1 / len(configs),
            node=node,
        )  # fmt: skip

    with ThreadPoolExecutor(len(configs)) as pool:
        return list(pool.map(look, configs))
