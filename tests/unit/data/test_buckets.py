"""Batches of rows of similar lengths."""

import numpy as np
import pytest

from raytl.data.order import Layout, bucketed, buckets_pay, epoch_order

HERE = Layout.together(1000)


def orders(rows: int, batch: int, epochs: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of several epochs one after the other, and how long each row is."""
    lengths = np.random.default_rng(0).geometric(0.1, rows)
    drawn = [epoch_order(np.arange(rows), HERE, 3, epoch) for epoch in range(epochs)]
    return np.concatenate(
        [bucketed(o, lengths[o], batch, 3, epoch) for epoch, o in enumerate(drawn)]
    ), lengths


def padded(order: np.ndarray, lengths: np.ndarray, batch: int) -> float:
    """Positions of batches padded to their longest, relative to their rows' own."""
    parts = [order[i : i + batch] for i in range(0, len(order) - batch + 1, batch)]
    return sum(len(p) * lengths[p].max() for p in parts) / sum(lengths[p].sum() for p in parts)


@pytest.mark.parametrize("rows", [5, 63, 64, 65, 512, 1000])
def test_every_row_comes_once_an_epoch(rows: int) -> None:
    order, _ = orders(rows, 64, 4)
    for epoch in range(4):
        assert sorted(order[epoch * rows : (epoch + 1) * rows]) == list(range(rows))


def test_batches_keep_to_their_buckets_across_epochs() -> None:
    order, lengths = orders(1000, 64, 4)
    plain = np.concatenate([epoch_order(np.arange(1000), HERE, 3, epoch) for epoch in range(4)])
    first = padded(order[:1000], lengths, 64)
    assert first < 0.5 * padded(plain, lengths, 64)
    for epoch in (1, 2, 3):
        begun = -(epoch * 1000) % 64  # rows that fill the last epoch's batch
        assert padded(order[epoch * 1000 + begun : (epoch + 1) * 1000], lengths, 64) < 1.2 * first


def test_an_epoch_is_a_function_of_its_number_and_the_seed() -> None:
    rows = epoch_order(np.arange(200), HERE, 3, 1)
    lengths = np.arange(200) % 17
    again = bucketed(rows, lengths[rows], 16, 3, 1)
    assert np.array_equal(bucketed(rows, lengths[rows], 16, 3, 1), again)
    assert not np.array_equal(bucketed(rows, lengths[rows], 16, 4, 1), again)


def test_buckets_pay_where_lengths_differ_much() -> None:
    assert not buckets_pay(np.full(100, 7), 10)
    assert not buckets_pay(np.tile([9, 10], 50), 10)
    assert buckets_pay(np.tile([1, 1, 1, 1, 40], 20), 10)
