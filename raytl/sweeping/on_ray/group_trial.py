"""A trial of a group that trains together. The searcher lets one of them run at a time: it trains
all, on whatever node it runs, and the others find their epochs in their own folders.

So a group holds one trial's room, is trained once wherever its members run, and goes on with
whichever of them runs next where a node is lost.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raytl.sweeping.kept.members import KeptTrial
from raytl.sweeping.kept.storage import RunStorage
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


def group_pays(group: FusedGroup, material: Material, config: dict[str, Any]) -> bool:
    """Whether a trial's group trains together; else each trains alone."""
    run = group.member(config["fused"]["index"])
    return pays(material.study, run, len(config["fused"]["members"]))


def run_group_trial(
    group: FusedGroup, storage: RunStorage, config: dict[str, Any], report: Reporter, budget: int
) -> None:
    """Train a trial's whole group until the trial has its `budget` of epochs, and report those.

    Raises TrainingError where its loss is not finite.
    """
    group.take_up(_kept(storage, config, budget))
    while report.epoch < budget:
        report.tell(group.epoch(config["fused"]["index"]))


def _kept(storage: RunStorage, config: dict[str, Any], budget: int) -> Sequence[KeptTrial]:
    configs = configs_of(config)

    def look(of: dict[str, Any]) -> KeptTrial:
        return KeptTrial(storage.trial(of["name"]), of, budget, 1 / len(configs))

    with ThreadPoolExecutor(len(configs)) as pool:
        return list(pool.map(look, configs))
