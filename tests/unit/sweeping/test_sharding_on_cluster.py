"""What of sharding on a cluster can be said without one."""

import pickle

import pytest

from raytl.sweeping.on_ray import sharding


def test_few_descriptions_are_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharding, "PLANNED", 4)
    monkeypatch.setattr(sharding, "PLANNED_BYTES", 1000)
    made: list[int] = []

    def tasks() -> object:
        for number, size in enumerate([10, 10, 10, 10, 10, 900, 900, 2000, 10]):
            made.append(number)
            yield bytes(size)

    parts = sharding._planned(tasks())  # type: ignore[arg-type]
    sizes = []
    for part in parts:
        sizes.append([len(pickle.loads(one)) for one in part])
        assert len(made) == sum(map(len, sizes))
    assert sizes == [[10] * 4, [10, 900, 900], [2000], [10]]
