"""Which prefix features a cluster computes before the trials: those of large data, which pay.

What is decided here is a function of the study, its data and the versions alone: not of how fast a
machine is, nor of how many there are.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch

from raytl.config import TrialConfig
from raytl.errors import RaytlError
from raytl.recipes import RECIPES
from raytl.rows import Rows, count, move
from raytl.sweeping.preflight import Checked
from raytl.training.building import build_trial
from raytl.training.material import Material
from raytl.training.operations import operations
from raytl.training.pool_tasks import PoolTask, Tap
from raytl.training.prefix import Prefix
from raytl.training.published import worth_fetching
from raytl.training.rows_read import rows_read
from raytl.training.trial_feeds import (
    keys_of,
    pools,
    reuse_pays,
    some_rows,
    splits_of,
    stored_rows,
)

STREAMED = ("streaming", "ray_data")
DRAWS = 256  # trials that are drawn from the space to see which prefixes it may ask for
LONG_S = 60.0  # of one process: a pool of them takes 20 s to start
OPERATIONS_A_S = {"cpu": 5e10, "cuda": 2e13}  # floating-point, of one process with its device
MOST_TIMES = 4  # as large as the data themselves: larger features are not stored
# Of a trial's keys, those that the branches' frozen prefixes hang on
DECIDING = ("source_model", "student", "inputs", "recipe", "mapper", "tuned_blocks", "lora_rank")


@dataclass(frozen=True)
class PoolPlan:
    """The tasks, and about how long one process would compute them."""

    tasks: tuple[PoolTask, ...] = ()
    seconds: float = 0.0

    @property
    def keys(self) -> frozenset[str]:
        """The keys of all features that are computed."""
        return frozenset(tap.key for task in self.tasks for tap in task.taps)


Keys = dict[tuple[bool, str], str]  # of a split: whether it is the source domain's, and its name


@dataclass
class _Branch:
    """One source model's branch of a column, as trials freeze it: the deepest prefix, with a trial
    that has it and the branch's name there, and for all, by how deep they are and whether they
    pool, the keys of the splits that trials read whole. The networks of the others are let go: each
    trial has a copy of its own."""

    column: str
    deepest: Prefix
    trial: TrialConfig
    name: str
    keys: dict[tuple[int, bool], Keys] = field(default_factory=dict)


def pool_plan(checked: Checked, device: str) -> PoolPlan:
    """Return what is to be computed for trials on this kind of device, by torch's name; nothing
    where data are small or prefixes not reused."""
    study = checked.study
    if not study.train.reuse_prefix or _is_small(checked, device):
        return PoolPlan()
    material = Material.of(study, checked.domains)
    tasks, seconds = list[PoolTask](), 0.0
    for branch in _branches(checked, material, torch.device(device)):
        of_branch, own = _tasks(branch, material, device)
        tasks += of_branch
        seconds += own
    return PoolPlan(tuple(tasks), seconds)


def _is_small(checked: Checked, device: str) -> bool:
    """Whether one process computes the whole networks for all rows in less than LONG_S. Data that
    no process can hold are never small."""
    if checked.study.train.feed in STREAMED:
        return False
    rows = sum(split.rows for _, split in splits_of(checked.domains))
    return max(checked.operations.values()) * rows < LONG_S * _speed(device)


def _speed(device: str) -> float:
    return OPERATIONS_A_S["cpu" if torch.device(device).type == "cpu" else "cuda"]


def _branches(checked: Checked, material: Material, device: torch.device) -> list[_Branch]:
    study, train = material.study, material.study.train
    found: dict[tuple[str, str], _Branch] = {}
    for trial in _trials(checked):
        try:
            parts = build_trial(material, trial, 0)
            streams = RECIPES[trial.recipe].streams(study.labelled, study.source_domain is not None)
        except RaytlError:  # which that trial will say
            continue
        read = rows_read(material, streams, study.search.seed)
        for name, branch in parts.branches.items():
            model, column = _origin(trial, name), name.rpartition("/")[2]
            augmented = train.augment.active and branch.modality.augments
            if augmented or _is_drawn(material, trial, model):
                continue
            prefix = Prefix(branch, device, train.prefix_dtype, pools(parts, name))
            stored = stored_rows(material, parts, name, read)
            if prefix.depth > 0 and reuse_pays(train, prefix, stored.count):
                new = _Branch(column, prefix, trial, name)
                known = found.setdefault((model, column), new)
                if prefix.depth > known.deepest.depth:
                    known.deepest, known.trial, known.name = prefix, trial, name
                keys = keys_of(prefix, material.domains, column)
                whole = {place: keys[place] for place in keys if (*place, False) in stored.whole}
                known.keys.setdefault((prefix.depth, prefix.whole), {}).update(whole)
    return list(found.values())


def _origin(trial: TrialConfig, branch: str) -> str:
    """Return the source model whose weights a branch has."""
    taught = RECIPES[trial.recipe].teaches(trial.student)
    return trial.source_model if not taught or "/" in branch else str(trial.student)


def _is_drawn(material: Material, trial: TrialConfig, model: str) -> bool:
    """Whether weights are drawn by a trial's seed: no other trial has these."""
    return RECIPES[trial.recipe].fresh_backbone or material.source_models.open(model, 0).draws


def _trials(checked: Checked) -> Iterator[TrialConfig]:
    """Yield trials of the study that differ in what is frozen: controls, trial 0 and draws."""
    seen = set[str]()
    space, params = checked.space, checked.space.default_params()
    trials = [trial for _, trial in checked.controls]
    trials += [] if params is None else [space.resolve(params)]
    for trial in (*trials, *_drawn(checked)):
        flat = trial.flat()
        facts = [flat.get(key) for key in (*DECIDING, "mapper.name")]
        facts += [flat[key] for key in sorted(flat) if key.startswith("frozen_depth")]
        if repr(facts) not in seen:
            seen.add(repr(facts))
            yield trial


def _drawn(checked: Checked) -> Iterator[TrialConfig]:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    asked = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(DRAWS):
        try:
            yield checked.space.resolve(checked.space(asked.ask()))
        except RaytlError:
            continue


def _tasks(branch: _Branch, material: Material, device: str) -> tuple[list[PoolTask], float]:
    """Return the tasks of a branch whose features pay, and how long they take one process."""
    domains, train = material.domains, material.study.train
    rows = some_rows(domains, branch.column, branch.deepest.branch)
    read = [s for d, s in splits_of(domains) if domains.column_in(d, branch.column)]
    data_bytes = sum(split.bytes for split in read) / sum(split.rows for split in read)
    here = replace(branch.deepest, device=torch.device("cpu"))
    kept, of_row = dict[tuple[int, bool], Keys](), dict[tuple[bool, str], float]()
    for (depth, whole), keys in sorted(branch.keys.items(), key=lambda item: item[0]):
        prefix = replace(here, blocks=depth, pools=whole)
        seconds = _operations(prefix, rows) / _speed(device)
        num_bytes = prefix.row_bytes(rows)
        if num_bytes <= MOST_TIMES * data_bytes and worth_fetching(num_bytes, seconds):
            kept[depth, whole] = keys
            of_row |= dict.fromkeys(keys, seconds)  # those of the longest come last
    splits = {(d is domains.source, split.name): split for d, split in splits_of(domains)}
    total = sum(seconds * splits[place].rows for place, seconds in of_row.items())
    if train.feed not in STREAMED and total < LONG_S:
        return [], 0.0
    return list(_of_splits(branch, kept)), total


def _operations(prefix: Prefix, rows: Rows) -> float:
    """Return the operations that the prefix takes for a row."""
    h = prefix.branch.transform(move(rows, prefix.device))
    backbone, depth = prefix.branch.eval().backbone, prefix.depth
    return operations(lambda: backbone.run(h, 0, depth), backbone.blocks[:depth], count(rows))


def _of_splits(branch: _Branch, kept: Mapping[tuple[int, bool], Keys]) -> Iterator[PoolTask]:
    """Yield a task for each split; where both domains read the same rows, one."""
    seen = set[str]()
    for place in dict.fromkeys(place for keys in kept.values() for place in keys):
        taps = [Tap(*of, keys[place]) for of, keys in kept.items() if place in keys]
        taps = [tap for tap in taps if tap.key not in seen]
        seen.update(tap.key for tap in taps)
        if taps:
            yield PoolTask(branch.trial.flat(), branch.name, branch.column, *place, tuple(taps))
