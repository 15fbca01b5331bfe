"""Which prefix features a cluster computes before the trials: by what the study, its data and its
networks are, and by nothing else."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raytl.config import Study
from raytl.sweeping import pool_plan as planning
from raytl.sweeping.pool_plan import PoolPlan, pool_plan
from raytl.sweeping.preflight import preflight
from raytl.training.operations import operations
from raytl.training.pretrain import pretrain

MakeStudy = Callable[..., Study]
BLOCKS = 4  # of small_cnn
SPACE = {
    "recipe": {"choice": ["finetune", "linear_probe"]},
    "frozen_depth": {"choice": [1, 2]},
    "optimizer.lr": {"float": [1e-3, 1e-1], "log": True},
}  # fmt: skip
SEARCH = {"sampler": "random", "trials": 2, "scheduler": "none", "control_tries": 1}


@pytest.fixture
def taught(domains: tuple[Path, Path], tmp_path: Path) -> dict[str, Any]:
    """Two source models whose weights no trial draws."""
    for name, width in (("net", 4), ("other", 5)):
        pretrain(domains[0], "small_cnn", tmp_path / name, epochs=1, args={"width": width})
    return {name: {"path": tmp_path / name} for name in ("net", "other")}


@pytest.fixture
def planned(
    tiny_study: MakeStudy, taught: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., PoolPlan]:
    """Plan a study of tiny images, whose features pay however small they are."""
    monkeypatch.setattr(planning, "MOST_TIMES", 1000)
    monkeypatch.setattr(planning, "worth_fetching", lambda num_bytes, seconds: True)

    def plan(train: dict[str, Any] | None = None, device: str = "cpu", **more: Any) -> PoolPlan:
        plain = {"source_models": {"net": taught["net"]}, "space": SPACE, "search": SEARCH}
        of = {"epochs": 2, "batch_size": 8, "steps_per_epoch": 12, "feed": "streaming"}
        study = tiny_study(train=of | (train or {}), **(plain | more))
        return pool_plan(preflight(study), device)

    return plan


def taps(plan: PoolPlan) -> dict[tuple[str, str, bool], list[tuple[int, bool]]]:
    """The depths of each branch and split, and whether they pool."""
    return {
        (task.branch, task.split, task.of_source): [(tap.depth, tap.pools) for tap in task.taps]
        for task in plan.tasks
    }


def test_every_depth_that_trials_may_ask_for_is_computed_of_every_split(
    planned: Callable[..., PoolPlan],
) -> None:
    plan = planned()
    depths = [(1, False), (2, False), (BLOCKS, True)]  # linear_probe freezes all
    assert taps(plan) == {("image", "train", False): depths, ("image", "test", False): depths}
    assert len(plan.keys) == 6 and plan.seconds > 0
    assert planned() == plan


def test_splits_that_no_trial_reads_whole_are_left_to_the_trials(
    planned: Callable[..., PoolPlan], domains: tuple[Path, Path]
) -> None:
    few = {"target_domain": {"dataset": domains[1], "labels": 4}}  # 8 rows of 80
    depths = [(1, False), (2, False), (BLOCKS, True)]
    assert taps(planned(**few)) == {("image", "test", False): depths}
    both = planned(**few, space=SPACE | {"recipe": {"choice": ["dann", "linear_probe"]}})
    assert (
        taps(both)
        == {
            ("image", "train", False): depths[:2],  # not as linear_probe freezes
            ("image", "test", False): depths,
            ("image", "train", True): depths[:2],
        }
    )


def test_how_long_it_takes_is_that_of_the_splits_that_are_computed(
    planned: Callable[..., PoolPlan], domains: tuple[Path, Path]
) -> None:
    few = planned(target_domain={"dataset": domains[1], "labels": 4})
    every = planned(target_domain={"dataset": domains[1], "labels": 10})
    assert every.seconds == pytest.approx(few.seconds * (80 + 40) / 40)


def test_small_data_are_left_to_the_trials(
    planned: Callable[..., PoolPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert planned({"feed": "resident"}) == PoolPlan()
    seconds = planned().seconds
    monkeypatch.setattr(planning, "LONG_S", 0.9 * seconds)
    assert taps(planned({"feed": "resident"})) == taps(planned())
    monkeypatch.setattr(planning, "LONG_S", 1.1 * seconds)
    assert planned({"feed": "resident"}) == PoolPlan()
    assert planned({"feed": "ray_data"}).tasks


@pytest.mark.parametrize(
    "train",
    [
        {"reuse_prefix": False},
        {"augment": {"flip": True}},
        {"augment": {"flip": True, "views": 2}},
        {"steps_per_epoch": 1, "epochs": 1, "batch_size": 2},  # fewer rows are drawn than there are
    ],
)
def test_nothing_is_computed_that_trials_would_not_store(
    planned: Callable[..., PoolPlan], train: dict[str, Any]
) -> None:
    assert planned(train) == PoolPlan()


def test_weights_that_each_trial_draws_are_no_others(planned: Callable[..., PoolPlan]) -> None:
    fresh = {"net": {"backbone": "small_cnn", "args": {"width": 4}}}
    assert planned(source_models=fresh) == PoolPlan()


def test_each_source_model_is_a_branch_of_its_own(
    planned: Callable[..., PoolPlan], taught: dict[str, Any]
) -> None:
    space = SPACE | {"source_model": {"choice": ["net", "other"]}}
    plan = planned(source_models=taught, space=space)
    assert len(plan.tasks) == 4 and len(plan.keys) == 12
    assert {task.trial["source_model"] for task in plan.tasks} == {"net", "other"}


def test_a_teacher_reads_its_features_and_its_student_its_own(
    planned: Callable[..., PoolPlan], taught: dict[str, Any]
) -> None:
    space = {
        "recipe": {"choice": ["distillation"]}, "student": {"choice": ["other"]},
        "frozen_depth": {"choice": [1]},
    }  # fmt: skip
    plan = planned(source_models=taught, space=space, defaults={"source_model": "net"})
    found = {(task.branch, task.trial["recipe"]): [tap.depth for tap in task.taps]
             for task in plan.tasks}  # fmt: skip
    assert found[("image", "distillation")] == [1]
    of_teacher = [task for task in plan.tasks if task.taps[-1].depth == BLOCKS]
    assert {task.trial["source_model"] for task in of_teacher} >= {"net"}


def test_features_that_are_too_large_or_sooner_computed_are_not_stored(
    planned: Callable[..., PoolPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = dict[float, float]()

    def noted(num_bytes: float, seconds: float) -> bool:
        sizes[num_bytes] = seconds
        return True

    monkeypatch.setattr(planning, "worth_fetching", noted)
    planned()
    shallow, middle, last = sorted(sizes, reverse=True)
    assert sizes[shallow] < sizes[middle] < sizes[last]  # by operations: deeper ones take longer
    monkeypatch.setattr(planning, "worth_fetching", lambda num_bytes, _: num_bytes < shallow)
    assert taps(planned())["image", "test", False] == [(2, False), (BLOCKS, True)]
    monkeypatch.setattr(planning, "MOST_TIMES", 0)
    assert planned() == PoolPlan()


def test_a_gpu_computes_sooner(planned: Callable[..., PoolPlan]) -> None:
    assert planned(device="cuda").seconds < planned().seconds / 100


def test_operations_are_counted_and_at_least_two_a_weight() -> None:
    import torch

    linear, rows = torch.nn.Linear(8, 4, bias=False), torch.zeros(5, 8)
    assert operations(lambda: linear(rows), linear, 5) == 2 * 8 * 4
    recurrent = torch.nn.GRU(4, 4, bias=False)
    steps = torch.zeros(3, 5, 4)
    assert operations(lambda: recurrent(steps), recurrent, 5) >= 2 * (3 * 4 * 4 + 3 * 4 * 4)
