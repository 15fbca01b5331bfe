"""The streaming feed gives the same batches as the resident one, in a seeded order."""

from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from feed_support import image_feed
from tests_support import write_images

from raytl.config import AugmentConfig
from raytl.data.batch import Batch
from raytl.data.branch_rows import FeedRows
from raytl.data.dataset import Dataset, Split
from raytl.data.domain import Domain
from raytl.data.feed import Feed, chosen_kind
from raytl.data.order import GLOBAL_BYTES, GLOBAL_ROWS, WINDOW_ROWS, Layout, epoch_order
from raytl.data.resident import ResidentFeed
from raytl.data.streaming import StreamingFeed
from raytl.modalities.image.column import ImageColumn
from raytl.ranks import Share
from raytl.rows import Given


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    out = tmp_path_factory.mktemp("data") / "d"
    rows = np.arange(60)
    images = np.broadcast_to(rows[:, None, None, None], (60, 4, 4, 1)).astype(np.uint8)
    image = ImageColumn(shape=(4, 4, 1), dtype="uint8")
    write_images(out, image, ("a", "b"), {"train": [(images, rows % 2)]}, shard_bytes=16 * 20)
    return Dataset.open(out)


def feed(dataset: Dataset, kind: str, indices: np.ndarray | None = None, **more: Any) -> Feed:
    return image_feed(dataset, indices=indices, kind=kind, **more)


def images(batch: Batch) -> torch.Tensor:
    rows = batch.inputs["image"].rows
    assert isinstance(rows, torch.Tensor)
    return rows


def targets(batch: Batch) -> torch.Tensor:
    assert batch.target is not None
    return batch.target


def test_evaluation_is_the_resident_feeds(dataset: Dataset) -> None:
    rows = np.array([0, 7, 19, 20, 41, 59])
    for indices in (None, rows):
        streamed = list(feed(dataset, "streaming", indices).eval_batches(4))
        resident = list(feed(dataset, "resident", indices).eval_batches(4))
        for of in (images, targets, lambda batch: batch.id):
            one = torch.cat([of(batch) for batch in streamed])
            assert torch.equal(one, torch.cat([of(batch) for batch in resident]))


@pytest.mark.parametrize("augment", [None, AugmentConfig(crop=1, views=3)])
def test_few_rows_are_held_once_for_all_feeds_in_any_view(
    dataset: Dataset, augment: AugmentConfig | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, views = np.array([59, 7, 0, 20]), None if augment is None else (augment, 5)
    resident = feed(dataset, "resident", rows, augmented=views)
    own = Dataset.open(dataset.path)
    read, reads = Split.read, []

    def counted(self: Split, column: str, numbers: Any) -> Any:
        reads.append(sorted(numbers))
        return read(self, column, numbers)

    for _ in range(2):
        held = feed(own, "ray_data", rows, augmented=views)
        assert isinstance(held, ResidentFeed)
        expected = list(islice(resident.train_batches(), 5))
        with monkeypatch.context() as patch:
            patch.setattr(Split, "read", counted)
            found = list(islice(held.train_batches(), 5))
        assert all(torch.equal(images(a), images(b)) for a, b in zip(found, expected, strict=True))
    assert reads == [[0, 7, 20, 59]]


def test_training_covers_each_epoch_is_seeded_and_resumes(dataset: Dataset) -> None:
    indices = np.arange(0, 60, 2)

    def ids(start: int, count: int) -> list[list[int]]:
        batches = feed(dataset, "streaming", indices).train_batches(start)
        found = list(islice(batches, count))
        assert all(torch.equal(images(batch)[:, 0, 0, 0].long(), batch.id) for batch in found)
        assert all(not targets(batch).any() for batch in found)
        return [batch.id.tolist() for batch in found]

    first = ids(0, 6)
    flat = [row for batch in first for row in batch]
    assert sorted(flat[:30]) == indices.tolist() != flat[:30]
    assert ids(0, 6) == first
    assert ids(4, 2) == first[4:]


@pytest.mark.parametrize("rows", [60, GLOBAL_ROWS + 1])
def test_both_feeds_read_the_same_batches(rows: int) -> None:
    kinds = (ResidentFeed, StreamingFeed)
    feeds = [kind(numbers(rows), np.arange(rows), batch_size=64, seed=0) for kind in kinds]
    for start in (0, 7):
        resident, streamed = (list(islice(of.train_batches(start), 5)) for of in feeds)
        assert all(
            torch.equal(one.id, other.id) for one, other in zip(resident, streamed, strict=True)
        )


@pytest.mark.parametrize("large", ["many rows", "many bytes"])
def test_rows_that_are_read_together_stand_in_few_shards(large: str) -> None:
    shard_rows = 2048
    shards = 160 if large == "many rows" else 20
    rows, window = shards * shard_rows, WINDOW_ROWS // shard_rows
    assert (rows > GLOBAL_ROWS) == (large == "many rows")
    layout = Layout(np.arange(1, shards + 1) * shard_rows, GLOBAL_BYTES + 1)
    some = np.delete(np.arange(rows), np.arange(0, rows, 50))  # others are held out
    feed = StreamingFeed(numbers(rows, layout), some, batch_size=64, seed=0)
    order = np.concatenate([b.id.numpy() for b in islice(feed.train_batches(), len(some) // 64)])
    assert len(set(order.tolist())) == len(order)
    of_shard = order // shard_rows
    read = [set(of_shard[i : i + WINDOW_ROWS // 2].tolist()) for i in range(0, len(order), 4096)]
    assert max(map(len, read)) <= 2 * (window + 1)  # never more than two windows at hand
    assert np.mean([len(set(of_shard[i : i + 64])) for i in range(0, len(order), 64)]) > 6
    assert abs(np.corrcoef(order, range(len(order)))[0, 1]) < 0.5


def test_an_order_is_a_function_of_the_seed_and_the_epoch() -> None:
    layout = Layout(np.arange(1, 101) * 1000, 0)

    def order(seed: int, epoch: int) -> list[int]:
        return [int(n) for n in epoch_order(np.arange(100_000), layout, seed, epoch)]

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(1, 0) and order(0, 0) != order(0, 1)
    assert sorted(order(3, 5)) == list(range(100_000))


class Numbers:
    """Rows that are their own numbers."""

    lengths = None

    def given(self, rows: np.ndarray) -> Given:
        return Given(torch.from_numpy(rows.reshape(-1, 1, 1, 1).astype(np.float32)))


def numbers(rows: int, layout: Layout | None = None) -> FeedRows:
    at = layout or Layout.together(rows)
    return FeedRows({"numbers": Numbers()}, None, np.arange(rows), at)


def test_an_unlabelled_stream_holds_no_label(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(*_: object) -> None:
        raise AssertionError("no label may be read")

    monkeypatch.setattr(Domain, "targets", read)
    batch = next(feed(dataset, "streaming", labelled=False).train_batches())
    assert batch.target is None
    with pytest.raises(AssertionError, match="no label may be read"):
        feed(dataset, "streaming")


def test_a_share_without_rows_is_one_empty_batch(dataset: Dataset) -> None:
    batches = list(feed(dataset, "resident", np.array([5])).eval_batches(4, Share(1, 2)))
    assert [(len(batch.id), batch.own_rows) for batch in batches] == [(0, 0)]


def test_a_worker_is_given_its_rows_and_everybodys_targets(dataset: Dataset) -> None:
    whole = next(feed(dataset, "resident").train_batches())
    for rank in (0, 1):
        own = next(image_feed(dataset, kind="resident", share=Share(rank, 2)).train_batches())
        assert torch.equal(images(own), images(whole)[rank::2])
        assert torch.equal(targets(own), targets(whole)) and torch.equal(own.id, whole.id)


def test_what_does_not_fit_in_half_of_the_memory_is_streamed() -> None:
    assert chosen_kind("auto", 2**60) == "streaming"
    assert chosen_kind("auto", 1) == "resident"
    assert chosen_kind("resident", 2**60) == "resident"
