"""The Ray Data feed gives the resident feed's batches, whoever reads them and wherever from."""

import shutil
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from masks_support import study_of_squares
from s3_server import put, s3_bucket
from tests_support import write_images

from raytl.config import DataTasks, DomainConfig, Study, TrialConfig
from raytl.data.ahead import AheadFeed
from raytl.data.batch import Batch
from raytl.data.dataset import Dataset
from raytl.data.domain import Domain, Domains
from raytl.data.feed import Feed
from raytl.data.ray_feed import RayDataFeed
from raytl.data.target_rows import ReadTargets
from raytl.errors import CorruptError, UserError
from raytl.modalities.image.catalogue import build_backbone
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.image.transform import ImageTransform
from raytl.modalities.image.wing import Image
from raytl.models.branch import Branch, Part
from raytl.ranks import WHOLE, Share
from raytl.remote_files import delete
from raytl.training.material import Material
from raytl.training.readers import Prepared, Readers
from raytl.training.trial import TrialRun
from raytl.urls import Url

pytestmark = pytest.mark.ray
ROWS, SHARD_ROWS, SHAPE = 300, 30, (1, 8, 8)
EVERY_SECOND = np.arange(0, ROWS, 2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "d"
    pixels = np.random.default_rng(0).integers(0, 256, (ROWS, 8, 8, 1)).astype(np.uint8)
    write_images(
        out, ImageColumn(shape=(8, 8, 1), dtype="uint8"), ("a", "b"),
        {"train": [(pixels, np.arange(ROWS) % 2)]}, shard_bytes=64 * SHARD_ROWS,
    )  # fmt: skip
    return out


@pytest.fixture
def url(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Url]:
    with s3_bucket(monkeypatch) as bucket:
        put(folder, bucket / "d")
        yield bucket / "d"


def feed(
    place: Path | Url, kind: str, share: Share = WHOLE, rows: np.ndarray = EVERY_SECOND
) -> Feed:
    dataset = Dataset.open(place)
    domain = Domain.of(DomainConfig(dataset=place), dataset)
    transform = ImageTransform(SHAPE, (0.5,), (0.5,))
    part = Part(Image(), transform, build_backbone("small_cnn", SHAPE, width=2), {}, frozenset(),
                draws=False)  # fmt: skip
    readers = Readers(Domains(domain, None), {"image": Prepared("image", Branch(part, ()))})
    return readers.feed(
        domain, "train", indices=rows, labelled=True, batch_size=16, seed=3,
        kind=kind, share=share, tasks=DataTasks(at_once=2),
    )  # fmt: skip


def alike(ours: Iterator[Batch], theirs: Iterator[Batch], batches: int) -> bool:
    def same(one: Batch, other: Batch) -> bool:
        (a,), (b,) = one.inputs.values(), other.inputs.values()
        assert one.target is not None and other.target is not None
        return (
            torch.equal(a.rows, b.rows)
            and torch.equal(one.id, other.id)
            and torch.equal(one.target, other.target)
        )

    pairs = list(zip(islice(ours, batches), islice(theirs, batches), strict=True))
    return len(pairs) == batches and all(same(one, other) for one, other in pairs)


@pytest.mark.usefixtures("ray_cluster")
def test_batches_are_those_of_the_resident_feed_from_any_step_and_for_any_worker(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYTL_SHARD_CACHE_BYTES", "1000")  # or the rows would be held in memory
    assert isinstance(feed(folder, "ray_data"), RayDataFeed)
    for start, share in ((0, WHOLE), (7, WHOLE), (3, Share(1, 3))):
        resident, fetched = feed(folder, "resident", share), feed(folder, "ray_data", share)
        assert alike(fetched.train_batches(start), resident.train_batches(start), 25)
    assert alike(
        feed(folder, "ray_data").eval_batches(40), feed(folder, "resident").eval_batches(40), 4
    )


@pytest.mark.usefixtures("ray_cluster")
def test_what_a_task_meets_is_raised_as_what_it_is(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYTL_SHARD_CACHE_BYTES", "1000")
    shutil.copytree(folder, tmp_path / "d")
    batches = feed(tmp_path / "d", "ray_data").train_batches()
    for shard in (tmp_path / "d").glob("*.arrow"):
        shard.unlink()
    with pytest.raises(CorruptError, match="cannot be read: No such file") as raised:
        next(batches)
    assert "in a data task on" in raised.value.__notes__[0]


@pytest.mark.usefixtures("ray_cluster")
def test_it_can_be_read_ahead_and_left_in_the_middle(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYTL_SHARD_CACHE_BYTES", "1000")
    fetched = AheadFeed(feed(folder, "ray_data"), torch.device("cpu"))
    assert alike(fetched.train_batches(7), feed(folder, "resident").train_batches(7), 12)
    batches = fetched.train_batches()
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert not [thread for thread in threading.enumerate() if thread.name == "raytl-ahead"]


@pytest.mark.usefixtures("ray_cluster")
def test_a_domain_that_no_node_keeps_is_read_by_ray_data_unasked(
    folder: Path, url: Url, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path))
    assert not isinstance(feed(url, "auto"), RayDataFeed)
    monkeypatch.setenv("RAYTL_SHARD_CACHE_BYTES", "16000")
    small = feed(url, "auto")
    assert isinstance(small, RayDataFeed)
    resident = feed(folder, "resident")
    assert alike(small.train_batches(), resident.train_batches(), 12)
    assert alike(small.eval_batches(40), resident.eval_batches(40), 4)


@pytest.mark.usefixtures("ray_cluster")
def test_few_rows_of_it_are_held_in_memory(
    folder: Path, url: Url, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path))
    monkeypatch.setenv("RAYTL_SHARD_CACHE_BYTES", "16000")
    some = np.array([299, 0])
    few, resident = (feed(place, "auto", rows=some) for place in (url, folder))
    assert alike(few.train_batches(), resident.train_batches(), 3)
    for of in Dataset.open(url).info.splits["train"].shards:
        delete(url / of.file)
    (tmp_path / "fetched").rename(tmp_path / "gone")
    assert alike(few.train_batches(5), resident.train_batches(5), 3)
    assert alike(few.eval_batches(1), resident.eval_batches(1), 2)


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("labels", ["all", 4])
def test_masks_are_fetched_with_their_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labels: Any
) -> None:
    plain = study_of_squares(tmp_path, source_domain=None)
    near = _labelled(plain, labels, tmp_path / "target")
    theirs = list(islice(near.train_batches(2), 6))
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("RAYTL_SHARD_CACHE_BYTES", "1000" if labels == "all" else "60000")
    with s3_bucket(monkeypatch) as bucket:
        put(tmp_path / "target", bucket / "d")
        far = _labelled(plain, labels, bucket / "d")
        assert isinstance(far, RayDataFeed) == (labels == "all")
        if labels == "all":
            monkeypatch.setattr(ReadTargets, "given", lambda *_: pytest.fail("read by the trial"))
        ours = list(islice(far.train_batches(2), 4))
    if labels != "all":  # they are held in memory
        ours += islice(far.train_batches(6), 2)
    for one, other in zip(ours, theirs, strict=False):
        assert torch.equal(one.target, other.target)  # type: ignore[arg-type]
        assert torch.equal(one.id, other.id) and one.own_target


def _labelled(plain: dict[str, Any], labels: Any, place: Path | Url) -> Feed:
    study = plain | {"target_domain": {"dataset": place, "labels": labels}}
    study["train"] |= {"reuse_prefix": False}
    config = TrialConfig.from_flat({"source_model": "net", "head": "unet", "recipe": "finetune"})
    return TrialRun(Material.of(Study.model_validate(study)), config, 0).feeds["labelled"]


def test_without_a_cluster_the_other_feeds_are_named(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYTL_SHARD_CACHE_BYTES", "1000")
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with pytest.raises(UserError, match="needs a Ray cluster.*resident or streaming"):
        next(feed(folder, "ray_data").train_batches())
