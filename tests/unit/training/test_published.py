"""Prefix features that nodes share by fetching: whole, verified, and only where it pays."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from s3_server import s3_bucket

from raytl.config import Study, TrialConfig
from raytl.data.domain import Domain
from raytl.errors import RaytlError
from raytl.remote_files import fetch, files_in, put
from raytl.rows import count
from raytl.training.building import build_trial
from raytl.training.cache_entries import cache_folder
from raytl.training.material import Material
from raytl.training.prefix import Prefix
from raytl.training.prefix_cache import FeatureRows, Room
from raytl.training.published import Published, worth_fetching
from raytl.training.readers import Stored
from raytl.urls import Place, Url

MakeStudy = Callable[..., Study]


@pytest.fixture(params=["a folder", "a bucket"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    """Where two nodes share features."""
    if request.param == "a folder":
        yield tmp_path / "run" / "prefix"
    else:
        with s3_bucket(monkeypatch) as bucket:
            yield bucket / "run" / "prefix"


@pytest.fixture
def node(
    tiny_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, Place], torch.Tensor]:
    """What a node by that name reads of the features of the target's training rows: each has a
    cache of its own."""
    monkeypatch.setattr("raytl.training.published.worth_fetching", lambda *_: True)
    publish = Published.publish

    def waited(self: Published, entry: Path, info: dict[str, Any]) -> None:
        errand = publish(self, entry, info)
        assert errand is not None
        errand.join(60)

    monkeypatch.setattr(Published, "publish", waited)
    study = tiny_study()

    def read(name: str, place: Place) -> torch.Tensor:
        monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / name))
        rows = feature_rows(study, Published(place))
        found = rows.given(np.arange(80)).rows
        assert isinstance(found, torch.Tensor)
        return found

    return read


def feature_rows(study: Study, published: Published) -> FeatureRows:
    trial = TrialConfig.from_flat({"source_model": "net", "frozen_depth": 2})
    material = Material.of(study)
    branch = build_trial(material, trial, 0).model.branch("image")
    domain: Domain = material.domains.target
    reader = Stored("image", Prefix(branch, torch.device("cpu")), Room(2**30, published=published))
    rows = reader.rows(domain, "train", "image", None)
    assert isinstance(rows, FeatureRows)
    return rows


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each batch had that was computed."""
    calls: list[int] = []
    of_prepared = Prefix.of_prepared

    def noted(self: Prefix, rows: torch.Tensor) -> object:
        calls.append(count(rows))
        return of_prepared(self, rows)

    monkeypatch.setattr(Prefix, "of_prepared", noted)
    return calls


def published(place: Place) -> dict[str, bytes]:
    if isinstance(place, Url):
        return {name: of.bytes for name, of in files_in(place).items()}
    return {
        str(file.relative_to(place)): file.stat().st_size
        for file in place.rglob("*") if file.is_file()
    }  # fmt: skip


def test_what_one_node_computed_another_fetches_bit_by_bit(
    node: Callable[[str, Place], torch.Tensor], place: Place, computed: list[int], tmp_path: Path
) -> None:
    first = node("a", place)
    assert computed
    (info,) = [name for name in published(place) if name.endswith("/info.json")]
    assert len(published(place)) == 2  # one shape: no offsets
    computed.clear()
    assert torch.equal(node("b", place), first)
    assert not computed
    key = info.split("/")[0]
    assert (tmp_path / "b" / "fetched" / key / "features.npy").exists()  # mapped from there
    assert not (tmp_path / "b" / "prefix" / key).exists()
    if isinstance(place, Path):  # another node may delete what is shared
        for file in place.rglob("*.npy"):
            file.unlink()
    assert torch.equal(node("b", place), first)
    assert not computed


def test_what_is_not_whole_is_computed(
    node: Callable[[str, Place], torch.Tensor], place: Place, computed: list[int], tmp_path: Path
) -> None:
    first = node("a", place)
    (name,) = [name for name in published(place) if name.endswith(".npy")]
    fetch(place / name, tmp_path / "file")
    broken = bytearray((tmp_path / "file").read_bytes())
    broken[-3] ^= 255
    (tmp_path / "file").write_bytes(broken)
    put(tmp_path / "file", place / name)
    computed.clear()
    torch.testing.assert_close(node("b", place), first)
    assert sum(computed) >= 80


def test_what_cannot_be_reached_is_computed(
    node: Callable[[str, Place], torch.Tensor], computed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise RaytlError("s3://bucket/run: cannot read it: no route to host")

    for way in ("put", "fetch", "read_text"):
        monkeypatch.setattr(f"raytl.training.published.{way}", refused)
    nowhere = Url("s3://bucket/run")
    first = node("a", nowhere)
    torch.testing.assert_close(node("b", nowhere), first)
    assert sum(computed) >= 160


def test_what_is_sooner_computed_is_not_published(
    tiny_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert worth_fetching(120e6, 2.1) and not worth_fetching(120e6, 1.9)
    monkeypatch.setattr("raytl.training.published.FETCHED_BYTES_A_S", 1.0)
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "a"))
    feature_rows(tiny_study(), Published(tmp_path / "shared"))
    assert list(cache_folder().glob("*/info.json"))
    assert not (tmp_path / "shared").exists()
