"""What raytl uses of Ray that Ray does not promise: all of it, and the public way that each stands
for. tests/unit/sweeping/test_private_ray.py fails where Ray changes any of it.

Nothing else in raytl imports a module of Ray whose path has an underscore or `v2`.
"""

import contextlib
from collections.abc import Hashable
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
from ray.train.v2._internal.callbacks.datasets import DatasetsCallback
from ray.train.v2._internal.callbacks.placement_group_callback import PlacementGroupCleanerCallback
from ray.train.v2._internal.execution.callback import ControllerCallback
from ray.train.v2._internal.execution.worker_group import worker_group
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer
from ray.util.placement_group import get_placement_group, remove_placement_group
from ray.util.queue import Queue

# The head's own resource, to pin to it what must outlive other nodes. Stands for a label selector
# `ray.io/node-type: head`: Ray gives the head no such label.
HEAD = "node:__internal_head__"
# Ray Train's actor that reserves room for elastic trials, and its namespace. Stands for an end of
# `TorchTrainer.fit` that could be asked for from outside.
COORDINATOR = ("AutoscalingCoordinator", "AutoscalingCoordinator")
MOST_WAITING = 1_000  # actors that may wait for a trial: all of them


class IdleActors:
    """Lets actors of Tune live that have no trial just now.

    Stands for an option beside `reuse_actors`: as it is, Tune ends an actor whose slot waits for a
    trial, though a new one takes many seconds to start.
    """

    def __init__(self) -> None:
        self._kept: Hashable = None

    def keep(self, controller: Any, resources: Hashable) -> None:
        """Keep those with these resources from now on, and no others; none at all where they are
        None. `controller`: Tune's, as schedulers are given it."""
        if resources == self._kept:
            return
        cache = vars(controller).get("_tune_controller", controller)._actor_cache
        if self._kept is not None:
            cache.decrease_max(self._kept, by=MOST_WAITING)
        if resources is not None:
            cache.increase_max(resources, by=MOST_WAITING)
        self._kept = resources


class LeanTrainer(DataParallelTrainer):
    """What `TorchTrainer` adds a backend to, which imports torch; see `process_group`. Without the
    helpers that it would start in processes of their own and we do not need: one that distributes
    datasets of Ray Data, and one that frees placement groups by asking the dashboard. Stands for
    options of `TorchTrainer`. `name`: what the room that is reserved for the workers goes by, so
    that whoever comes after a lost driver takes it over; stands for a public name of a run."""

    def __init__(self, *args: Any, name: str, **options: Any) -> None:
        super().__init__(*args, **options)
        object.__setattr__(vars(self)["train_run_context"], "run_id", name)

    def _create_default_callbacks(self) -> list[Any]:
        needless = (DatasetsCallback, PlacementGroupCleanerCallback)
        every = super()._create_default_callbacks()
        return [callback for callback in every if not isinstance(callback, needless)]


@dataclass(frozen=True)
class Started:
    """Ray Train's controller runs; its handle."""

    controller: Any


class Introduce(ControllerCallback):
    """Tells the driver whom it has to end to stop the workers at once, and names the placement
    group that they hold, so that whoever comes after a lost driver can free it: Ray does so only
    when the whole job is over. Stands for the controller as `TorchTrainer.fit` might return it, and
    for a name in `ScalingConfig`. Runs in Ray Train's controller."""

    def __init__(self, queue: Queue, name: str) -> None:
        self.queue, self.name = queue, name

    def after_controller_start(self, train_run_context: Any) -> None:
        """Called by Ray Train before it asks for workers."""
        worker_group.placement_group = partial(worker_group.placement_group, name=self.name)
        self.queue.put(Started(ray.get_runtime_context().current_actor))


def drain_node(
    address: str, node_id: str, text: str, milliseconds: int, *, timeout: float
) -> tuple[bool, str]:
    """Tell the cluster at HOST:PORT that a node goes at so many `milliseconds` of Unix time; return
    whether it accepts, and else why not. Stands for `ray drain-node`, which Ray hides and
    does not promise either. `timeout`: in seconds."""
    from ray._raylet import GcsClient  # type: ignore[attr-defined]
    from ray.core.generated.autoscaler_pb2 import (  # type: ignore[attr-defined]
        DRAIN_NODE_REASON_PREEMPTION,
    )

    accepted, why_not = GcsClient(address=address).drain_node(
        node_id, DRAIN_NODE_REASON_PREEMPTION, text, milliseconds, timeout=timeout
    )
    return bool(accepted), str(why_not)


def free_workers(name: str) -> None:
    """Free what workers of that name hold, also those of a driver that was lost. Stands for what
    `TorchTrainer.fit` would do if its process lived."""
    with contextlib.suppress(ValueError):
        remove_placement_group(get_placement_group(name))
    with contextlib.suppress(ValueError):
        coordinator = ray.get_actor(*COORDINATOR)
        coordinator.cancel_request.remote(f"train-{name}")
