"""A split predicted in parts, by whatever does them: whole or not at all."""

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import raytl
from raytl.errors import RaytlError
from raytl.sweeping.on_ray.data_tasks import Work
from raytl.sweeping.on_ray.predicting import DONE, PLAN, predict_on_cluster
from raytl.training.pretrain import pretrain


@pytest.fixture
def here(domains: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that a person stands in, who has a source model `net` and a dataset `data`."""
    pretrain(domains[0], "small_cnn", tmp_path / "net", epochs=1, batch_size=16)
    (tmp_path / "data").symlink_to(domains[1])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def predict() -> dict[str, Any]:
    return predict_on_cluster(Path("net"), Path("data"), "train", Path("out"), workers=2)


def test_parts_that_another_machine_keeps_to_itself_are_missed(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Work, "by_actors", lambda *_, **__: iter([None]))
    with pytest.raises(RaytlError, match=r"out: part-00000-of-00001\.parquet was written by anoth"):
        predict()
    assert {file.name for file in (here / "out").iterdir()} == {PLAN}


def test_processes_in_folders_of_their_own_find_what_is_meant(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_actors(
        self: Work, begin: Callable[[], Any], what: list[bytes], *_: Any, **__: Any
    ) -> Iterator[None]:
        with monkeypatch.context() as away:
            away.chdir("/")
            do = begin()
            yield from (do(pickle.loads(part)) for part in what)

    monkeypatch.setattr(Work, "by_actors", by_actors)
    found = predict()
    assert found["accuracy"] == raytl.predict("net", "data", split="train")["accuracy"]
    assert found["out"] == "out"


def test_what_a_killed_process_left_of_a_file_is_no_other_content(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Work, "by_actors", lambda *_, **__: iter([None]))
    (here / "out").mkdir()
    (here / "out" / f".{PLAN}.12345678.partial").write_text("{")
    with pytest.raises(RaytlError, match="was written by another machine"):
        predict()
    assert (here / "out" / PLAN).exists() and not (here / "out" / DONE).exists()
