"""What raytl uses of Ray that Ray does not promise is still there, and still does what it did.

Where a test here fails after an update of Ray, look first whether the public way that
`private_ray` names has come.
"""

import ast
import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray._common.constants import HEAD_NODE_RESOURCE_NAME
from ray.core.generated.autoscaler_pb2 import DrainNodeReason
from ray.data._internal.cluster_autoscaler import default_autoscaling_coordinator
from ray.scripts import scripts
from ray.train.torch import TorchTrainer
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.scaling_policy import scaling_policy
from ray.train.v2._internal.execution.worker_group import worker_group
from ray.tune.execution.tune_controller import TrialRunnerWrapper, TuneController
from ray.tune.utils.object_cache import _ObjectCache

import raytl
from raytl.sweeping.on_ray import private_ray
from raytl.sweeping.on_ray.private_ray import (
    COORDINATOR,
    HEAD,
    MOST_WAITING,
    IdleActors,
    Introduce,
    LeanTrainer,
    Started,
)

RAYTL = Path(raytl.__file__).parent


def private_imports(file: Path) -> Iterator[str]:
    """Yield the modules of Ray that a file imports and Ray does not promise."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            first, *others = name.split(".")
            if first == "ray" and any(part.startswith("_") or part == "v2" for part in others):
                yield name


def test_all_that_is_private_in_ray_stands_in_one_file() -> None:
    found = {file.name for file in RAYTL.rglob("*.py") if list(private_imports(file))}
    assert found == {"private_ray.py"}
    for file in RAYTL.rglob("*.py"):
        if file.name != "private_ray.py":
            text = file.read_text(encoding="utf-8")
            assert "unittest.mock" not in text, file
            assert "__internal_head__" not in text and "_actor_cache" not in text, file
            assert "_ot_" not in text, file  # what is private in Ray's OptunaSearch


def test_a_node_is_drained_as_rays_own_command_does() -> None:
    from ray._raylet import InnerGcsClient  # type: ignore[attr-defined]

    used = code_of(scripts.drain_node.callback)
    assert {"GcsClient", "drain_node"} <= used and hasattr(InnerGcsClient, "drain_node")
    assert "DRAIN_NODE_REASON_PREEMPTION" in DrainNodeReason.keys()  # noqa: SIM118 (no mapping)


# Actors of Tune that wait


def code_of(function: Callable[..., Any]) -> set[str]:
    """Return the names that a function uses."""
    names = set(inspect.unwrap(function).__code__.co_names)
    return names | {str(const) for const in inspect.unwrap(function).__code__.co_consts}


def test_tunes_controller_keeps_as_many_waiting_actors_as_its_cache_may() -> None:
    assert {"_ObjectCache", "_actor_cache"} <= code_of(TuneController.__init__)
    assert {"_actor_cache", "cache_object"} <= code_of(TuneController._maybe_cache_trial_actor)
    assert {"_actor_cache", "flush_cached_objects"} <= code_of(
        TuneController._cleanup_cached_actors
    )
    assert "on_trial_add" in code_of(TuneController.add_trial)


@pytest.fixture
def cache() -> _ObjectCache:
    """That of Tune's controller."""
    return _ObjectCache(may_keep_one=True)


def kept(cache: _ObjectCache, key: str, actors: int) -> int:
    """Return how many of so many actors that have ended their trials are kept."""
    for actor in range(actors):
        cache.cache_object(key, actor)
    gone = len(list(cache.flush_cached_objects()))
    left = 0
    while cache.pop_cached_object(key) is not None:
        left += 1
    assert left + gone <= actors
    return left


@pytest.mark.parametrize("wrapped", [True, False])
def test_idle_actors_are_kept_with_the_resources_that_trials_ask_for_now(
    cache: _ObjectCache, wrapped: bool
) -> None:
    controller: Any = SimpleNamespace(_actor_cache=cache)
    given = TrialRunnerWrapper(controller, None) if wrapped else controller
    idle = IdleActors()
    assert kept(cache, "one", 3) == 1  # as Tune has it
    idle.keep(given, "one")
    assert kept(cache, "one", 3) == 3
    idle.keep(given, "other")
    assert (kept(cache, "one", 3), kept(cache, "other", 3)) == (0, 3)
    idle.keep(given, "other")
    idle.keep(given, None)  # a trial waits for the room that they hold
    assert kept(cache, "other", 3) == 1
    assert cache.total_max_objects == 0
    idle.keep(given, "one")
    assert cache.total_max_objects == MOST_WAITING


# Ray Train


def test_the_head_has_the_resource_that_drivers_ask_for() -> None:
    assert HEAD == HEAD_NODE_RESOURCE_NAME


def lean_trainer() -> LeanTrainer:
    return LeanTrainer(lambda: None, name="mine")


def test_a_trainer_has_helpers_that_can_be_left_out() -> None:
    names = [type(each).__name__ for each in TorchTrainer(lambda: None)._create_default_callbacks()]
    lean = [type(each).__name__ for each in lean_trainer()._create_default_callbacks()]
    needless = ["PlacementGroupCleanerCallback", "DatasetsCallback"]
    assert [name for name in names if name not in lean] == needless
    assert [name for name in names if name in lean] == lean and lean


def test_a_run_goes_by_the_name_that_it_is_given() -> None:
    assert lean_trainer().train_run_context.run_id == "mine"
    assert {"run_id", "train-"} <= code_of(scaling_policy.ScalingPolicy.after_controller_start)


def test_the_actor_that_reserves_room_is_found_by_name() -> None:
    source = inspect.getsource(
        default_autoscaling_coordinator.get_or_create_autoscaling_coordinator
    )
    assert f'name="{COORDINATOR[0]}"' in source and f'namespace="{COORDINATOR[1]}"' in source
    actor = default_autoscaling_coordinator._AutoscalingCoordinatorActor
    assert "cancel_request" in dir(actor)


def test_workers_hold_a_placement_group_that_is_named_before_it_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[dict[str, Any]] = []
    monkeypatch.setattr(worker_group, "placement_group", lambda **given: made.append(given))
    told: list[Any] = []
    context = SimpleNamespace(current_actor="the controller")
    monkeypatch.setattr(private_ray.ray, "get_runtime_context", lambda: context)
    queue: Any = SimpleNamespace(put=told.append)
    Introduce(queue, "mine").after_controller_start(None)
    assert told == [Started("the controller")]
    asked = SimpleNamespace(
        resources_per_worker={"CPU": 1}, num_workers=2, placement_strategy="PACK",
        label_selector=None,
    )  # fmt: skip
    group: Any = worker_group.WorkerGroup
    scaling = SimpleNamespace(use_tpu=False, topology=None, accelerator_type=None)
    monkeypatch.setattr(worker_group, "DefaultPlacementGroupHandle", lambda group: group)
    group._create_placement_group(None, scaling, asked)
    (given,) = made
    assert given["name"] == "mine" and len(given["bundles"]) == 2
    assert "after_controller_start" in inspect.getsource(TrainController)
