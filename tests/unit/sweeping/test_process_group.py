"""Workers join one process group, and nobody else needs torch for it."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import ray
import torch.distributed as dist
from ray.train.backend import BackendConfig
from ray.train.torch import TorchConfig

from raytl.sweeping.on_ray import process_group
from raytl.sweeping.on_ray.process_group import ProcessGroup, patience
from raytl.training.prefix_cache import LOCK_S


class Workers:
    """A group of two, as Ray Train's controller sees it."""

    def __init__(self) -> None:
        self.pool, self.asked = ThreadPoolExecutor(2), list[tuple[int, str]]()

    def __len__(self) -> int:
        return 2

    def execute_single(self, rank: int, run: Any) -> Any:
        return run()

    def execute_single_async(self, rank: int, run: Any, *given: Any) -> Future[Any]:
        self.asked.append((rank, given[1]))
        return self.pool.submit(run, *given)


def test_all_workers_join_at_one_place(monkeypatch: pytest.MonkeyPatch) -> None:
    joined: list[dict[str, Any]] = []
    monkeypatch.setattr(
        dist, "init_process_group", lambda kind, **more: joined.append({"kind": kind} | more)
    )
    monkeypatch.setattr(ray, "get", lambda futures: [future.result() for future in futures])
    group, workers = ProcessGroup("gloo"), Workers()
    group.backend_cls().on_start(workers, group)
    assert sorted(of["rank"] for of in joined) == [0, 1]
    places = {(of["kind"], of["init_method"], of["world_size"]) for of in joined}
    assert {of["timeout"] for of in joined} == {patience()}
    ((kind, url, size),) = places
    assert (kind, size) == ("gloo", 2) and url.startswith("tcp://")


def test_where_workers_meet_is_a_free_port_of_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_group, "get_node_ip_address", lambda: "127.0.0.1")
    url = process_group._meeting_point()
    assert url.startswith("tcp://127.0.0.1:")
    dist.init_process_group("gloo", init_method=url, rank=0, world_size=1)
    dist.destroy_process_group()
    monkeypatch.setattr(process_group, "get_node_ip_address", lambda: "::1")
    assert process_group._meeting_point().startswith("tcp://[::1]:")


def test_workers_have_more_patience_than_any_wait_for_prefix_features() -> None:
    """A worker waits for another process's draft, for one of its chunks and for its end."""
    assert patience().total_seconds() > 3 * LOCK_S


def test_it_is_to_ray_train_what_its_own_is() -> None:
    group, own = ProcessGroup("nccl"), TorchConfig("nccl")
    assert isinstance(group, BackendConfig)
    shares = [of.backend_cls().share_cuda_visible_devices for of in (group, own)]
    assert shares == [True, True]
