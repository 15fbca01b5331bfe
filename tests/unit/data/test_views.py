"""Fixed views of a split, and what branches are given of them."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from feed_support import image_readers
from tests_support import write_images

from raytl.config import AugmentConfig
from raytl.data.branch_rows import ColumnRows, StackedRows
from raytl.data.dataset import Dataset
from raytl.data.views import AugmentedView, MixedView, SomeRows, View, views_of
from raytl.modalities.image.augmentation import DRAWS, augment
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.image.transform import ImageTransform
from raytl.modalities.image.wing import Image
from raytl.modalities.text.wing import Text
from raytl.rows import Given, Padded, padded
from raytl.seeds import seed_for

ROWS = 12


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (ROWS, 8, 8, 1)).astype(np.uint8)
    image = ImageColumn(shape=(8, 8, 1), dtype="uint8")
    write_images(tmp_path / "d", image, ("a", "b"), {"train": [(images, np.arange(ROWS) % 2)]})
    return Dataset.open(tmp_path / "d")


def stored(dataset: Dataset, rows: list[int]) -> np.ndarray:
    images = dataset.split("train").read("image", rows)
    assert isinstance(images, np.ndarray)
    return images


def rows_of(dataset: Dataset, view: View | None = None) -> ColumnRows:
    transform = ImageTransform((1, 8, 8), (0.5,), (0.5,))
    return ColumnRows(dataset.split("train"), "image", Image(), transform, view)


MIXED = MixedView(np.array([1, 4, 6, 9]), np.array([2, 0, 3, 1]), 0.75)


def test_mixed_rows_are_own_and_partner_in_their_shares(dataset: Dataset) -> None:
    found = rows_of(dataset, MIXED).values(np.array([0, 3]))
    own, partner = stored(dataset, [1, 9]) / 255, stored(dataset, [6, 4]) / 255
    assert found.dtype == np.float32
    assert np.allclose(found, 0.75 * own + 0.25 * partner, atol=1e-6)


def test_a_mixed_view_shows_its_own_rows_with_their_targets(dataset: Dataset) -> None:
    assert MIXED.rows_of(ROWS).tolist() == [1, 4, 6, 9]
    assert rows_of(dataset, MIXED).count == 4 and rows_of(dataset).count == ROWS
    domain, readers = image_readers(dataset)
    feed = readers.feed(
        domain, "train", indices=None, labelled=True, batch_size=2, seed=0, view=MIXED
    )
    batch = next(feed.eval_batches())
    assert batch.target is not None
    assert batch.target.tolist() == dataset.split("train").all("label")[MIXED.rows].tolist()
    assert batch.id.tolist() == dataset.split("train").ids()[MIXED.rows].tolist()


def test_every_row_is_the_partner_of_one_other() -> None:
    rows = np.array([3, 5, 8, 13, 21])
    view = MixedView.drawn(rows, 0.55, seed=4)
    assert sorted(view.partners) == list(range(5))
    assert (view.partners != np.arange(5)).all()
    order = np.random.default_rng(4).permutation(5)
    assert all(view.partners[order[k]] == order[k - 1] for k in range(5))
    assert MixedView.drawn(rows, 0.55, seed=4).key == view.key


def test_the_key_of_a_mixed_view_is_its_pairs_and_its_share() -> None:
    pairs = np.array([[1, 4, 6, 9], [6, 1, 9, 4]], dtype="<i8")
    assert MIXED.key == ["mixed", 0.75, hashlib.sha256(pairs.tobytes()).hexdigest()]
    swapped = MixedView(MIXED.rows, np.array([1, 0, 3, 2]), 0.75)
    assert swapped.key != MIXED.key


AUGMENT = AugmentConfig(flip=True, crop=2, views=3)


def draws_of(view: AugmentedView) -> np.ndarray:
    """All rows' draws, as they were drawn when views knew how many rows there are."""
    generator = np.random.default_rng(seed_for(view.seed, "view", view.number))
    return generator.random((ROWS, DRAWS))


@pytest.mark.parametrize("rows", [[0, 1, 2], [7, 2, 7], [ROWS - 1], []])
def test_a_row_is_augmented_the_same_whichever_others_are_asked_for(
    dataset: Dataset, rows: list[int]
) -> None:
    view = AugmentedView(AUGMENT, 7, 1)
    found = rows_of(dataset, view).prepared(np.array(rows, dtype=np.int64))
    expected = augment(stored(dataset, rows), AUGMENT, draws_of(view)[rows])
    assert isinstance(found, torch.Tensor) and found.dtype == torch.uint8
    assert np.array_equal(found.numpy(), expected)


def test_an_augmented_view_shows_every_row(dataset: Dataset) -> None:
    assert AugmentedView(AUGMENT, 7, 1).rows_of(ROWS).tolist() == list(range(ROWS))
    assert rows_of(dataset, AugmentedView(AUGMENT, 7, 1)).count == ROWS


def test_there_are_as_many_views_as_asked_for_each_with_a_key_of_its_own() -> None:
    views = views_of(AUGMENT, 7)
    assert [view.number for view in views] == [0, 1, 2]
    assert [view.key for view in views] == [[True, 2, 7, number] for number in range(3)]
    assert views_of(AugmentConfig(flip=True), 7) == []


def test_what_cannot_be_augmented_stays_as_it_is() -> None:
    tokens = torch.tensor([[3, 4], [1, 2]])
    view = AugmentedView(AUGMENT, 7, 1)
    assert view.shown(Text(), tokens, np.array([2, 0])) is tokens


def test_stacked_views_number_rows_view_after_view(dataset: Dataset) -> None:
    views = [rows_of(dataset, view) for view in views_of(AUGMENT, 7)]
    stacked = StackedRows(views, ROWS)
    numbers = np.array([2 * ROWS + 3, 0, ROWS + 3, 2 * ROWS, 5])
    found = stacked.given(numbers)
    assert isinstance(found.rows, torch.Tensor) and found.rows.dtype == torch.uint8
    for place, number in enumerate(numbers):
        of_view = views[number // ROWS].given(np.array([number % ROWS])).rows
        assert torch.equal(found.rows[place], of_view[0])


def test_stacked_views_may_be_asked_for_no_row(dataset: Dataset) -> None:
    views = [rows_of(dataset, view) for view in views_of(AUGMENT, 7)]
    assert len(StackedRows(views, ROWS).given(np.zeros(0, np.int64))) == 0


class Lengthening:
    """Row r has r + `more` positions, which hold its number."""

    def __init__(self, more: int) -> None:
        self.more = more

    def given(self, rows: np.ndarray) -> Given:
        return Given(padded([torch.full((int(r) + self.more,), int(r)) for r in rows]), done=2)


def test_stacked_rows_of_unequal_lengths_keep_their_order_and_sizes() -> None:
    found = StackedRows([Lengthening(1), Lengthening(3)], 4).given(np.array([6, 0, 5, 2]))
    assert isinstance(found.rows, Padded) and found.done == 2
    assert found.rows.sizes.flatten().tolist() == [5, 1, 4, 3]
    assert found.rows.values[:, 0].tolist() == [2, 0, 1, 2]


def test_some_rows_are_shown_as_they_are_among_all(dataset: Dataset) -> None:
    some = np.array([2, 7, 11])
    for view in (None, AugmentedView(AUGMENT, 7, 1), MIXED):
        rows = some if view is not MIXED else np.array([0, 3])
        few, every = rows_of(dataset, SomeRows(rows, view)), rows_of(dataset, view)
        assert few.count == len(rows)
        np.testing.assert_array_equal(few.values(np.array([1, 0])), every.values(rows[[1, 0]]))
    assert SomeRows(np.array([0, 3]), MIXED).rows_of(ROWS).tolist() == [1, 9]


def test_the_key_of_some_rows_tells_rows_and_views_apart() -> None:
    views = [None, *views_of(AUGMENT, 7)]
    keys = [SomeRows(np.array(rows), view).key for rows in ([2, 7], [2, 8]) for view in views]
    assert len({json.dumps(key) for key in keys}) == 2 * len(views)
    assert keys[0] == SomeRows(np.array([2, 7])).key
