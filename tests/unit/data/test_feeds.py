"""The streaming feed gives the same batches as the resident one, in a seeded order."""

from itertools import islice

import numpy as np
import pytest
import torch

from raytl.data.dataset import Dataset
from raytl.data.feed import Feed, make_feed
from raytl.data.order import BLOCK_ROWS, GLOBAL_ROWS, WINDOW_ROWS
from raytl.data.resident import ResidentFeed
from raytl.data.schema import ImageColumn
from raytl.data.streaming import StreamingFeed
from raytl.data.writer import write_dataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    out = tmp_path_factory.mktemp("data") / "d"
    rows = np.arange(60)
    images = np.broadcast_to(rows[:, None, None, None], (60, 4, 4, 1)).astype(np.uint8)
    image = ImageColumn(shape=(4, 4, 1), dtype="uint8")
    write_dataset(out, image, ("a", "b"), {"train": [(images, rows % 2)]}, {}, shard_bytes=16 * 20)
    return Dataset.open(out)


def feed(dataset: Dataset, kind: str, indices: np.ndarray | None = None, **more: bool) -> Feed:
    return make_feed(
        dataset, "train", indices=indices, labelled=more.get("labelled", True), batch_size=8,
        seed=3, kind=kind,
    )  # type: ignore[arg-type]  # fmt: skip


def test_evaluation_is_the_resident_feeds(dataset: Dataset) -> None:
    rows = np.array([0, 7, 19, 20, 41, 59])
    for indices in (None, rows):
        streamed = list(feed(dataset, "streaming", indices).eval_batches(4))
        resident = list(feed(dataset, "resident", indices).eval_batches(4))
        for name in ("x", "y", "id"):
            one = torch.cat([getattr(batch, name) for batch in streamed])
            assert torch.equal(one, torch.cat([getattr(batch, name) for batch in resident]))


def test_training_covers_each_epoch_is_seeded_and_resumes(dataset: Dataset) -> None:
    indices = np.arange(0, 60, 2)

    def ids(start: int, count: int) -> list[list[int]]:
        batches = feed(dataset, "streaming", indices).train_batches(start)
        found = list(islice(batches, count))
        assert all(torch.equal(batch.x[:, 0, 0, 0].long(), batch.id) for batch in found)
        assert all(batch.y is not None and not batch.y.any() for batch in found)
        return [batch.id.tolist() for batch in found]

    first = ids(0, 6)
    flat = [row for batch in first for row in batch]
    assert sorted(flat[:30]) == indices.tolist() != flat[:30]
    assert ids(0, 6) == first
    assert ids(4, 2) == first[4:]


@pytest.mark.parametrize("rows", [60, GLOBAL_ROWS + 1])
def test_both_feeds_read_the_same_batches(rows: int) -> None:
    kinds = (ResidentFeed, StreamingFeed)
    feeds = [
        kind(Numbers(rows), np.arange(rows), labelled=False, batch_size=64, seed=0)
        for kind in kinds
    ]
    for start in (0, 7):
        resident, streamed = (list(islice(of.train_batches(start), 5)) for of in feeds)
        assert all(
            torch.equal(one.id, other.id) for one, other in zip(resident, streamed, strict=True)
        )


def test_rows_that_are_read_together_lie_near_each_other() -> None:
    rows = 20 * WINDOW_ROWS
    assert rows > GLOBAL_ROWS
    feed = StreamingFeed(Numbers(rows), np.arange(rows), labelled=False, batch_size=64, seed=0)
    batches = [batch.id.numpy() for batch in islice(feed.train_batches(), rows // 64)]
    assert sorted(np.concatenate(batches)) == list(range(rows))
    edge = WINDOW_ROWS // 64  # the first and the last rows have fewer to mix with
    for batch in batches[edge:-edge]:
        blocks = {row // BLOCK_ROWS for row in batch}
        assert 8 <= len(blocks) <= WINDOW_ROWS // BLOCK_ROWS + 2
    assert abs(np.corrcoef(np.concatenate(batches), range(rows))[0, 1]) < 0.3


class Numbers:
    """Rows that are their own numbers."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def images(self, indices: np.ndarray) -> np.ndarray:
        return indices.reshape(-1, 1, 1, 1).astype(np.float32)

    def labels(self) -> np.ndarray:
        raise AssertionError("no label may be read")

    def ids(self) -> np.ndarray:
        return np.arange(self.rows)


def test_an_unlabelled_stream_holds_no_label(dataset: Dataset) -> None:
    batch = next(feed(dataset, "streaming", labelled=False).train_batches())
    assert batch.y is None
