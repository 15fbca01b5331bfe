"""Where a run's prefix features stand: mapped by one machine, fetched where there are several."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raytl.sweeping import study_run
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.on_ray.resources import Plan
from raytl.training.pooled import Pooled
from raytl.training.published import Published, Shared
from raytl.urls import Place, Url


@dataclass(frozen=True)
class Nodes:
    """A cluster of so many nodes."""

    count: int
    grows: bool = False

    def nodes(self) -> list[dict[str, float]]:
        return [{"CPU": 4.0}] * self.count


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Where features were asked for, for which device and of how many workers."""
    calls: list[Any] = []

    def noted(checked: Any, place: Place, device: str, *, workers: int, say: Any) -> Pooled:
        calls.append((place, device, workers))
        return Pooled(place, frozenset("k"))

    monkeypatch.setattr(study_run, "pooled_features", noted)
    return calls


def shared(storage: RunStorage, cluster: Nodes, device: str = "cpu x86_64 AVX2") -> Shared:
    resources = SimpleNamespace(workers=(1, 2))
    checked: Any = SimpleNamespace(study=SimpleNamespace(resources=resources))
    return study_run._shared(checked, storage, cluster, Plan(3, ""), device)  # type: ignore[arg-type]


def test_one_machine_maps_its_own_folder(tmp_path: Path, asked: list[Any]) -> None:
    found = shared(RunStorage(tmp_path / "run"), Nodes(1))
    assert asked == [(tmp_path / "run" / "prefix", "cpu", 6)]
    assert found.published is None and found.pooled is not None


@pytest.mark.parametrize("cluster", [Nodes(2), Nodes(1, grows=True)])
def test_several_nodes_fetch_from_a_folder_that_they_share(
    tmp_path: Path, asked: list[Any], cluster: Nodes
) -> None:
    found = shared(RunStorage(tmp_path / "run"), cluster, "cuda")
    assert asked == [(Url(f"file://{tmp_path}/run/prefix"), "cuda", 6)]
    assert found.published == Published(tmp_path / "run" / "prefix")


def test_nodes_share_a_bucket(tmp_path: Path, asked: list[Any]) -> None:
    found = shared(RunStorage(tmp_path / "run", "s3://bucket/runs?region=eu"), Nodes(2))
    url = Url("s3://bucket/runs/run/prefix?region=eu")
    assert asked == [(url, "cpu", 6)] and found.published == Published(url)
