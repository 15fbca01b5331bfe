"""Rows of tensors: cut, joined, split, padded."""

import pytest
import torch

from raytl.rows import (
    Given,
    Padded,
    count,
    cut,
    join,
    join_given,
    mean_of,
    move,
    padded,
    split,
)

PARTS = [torch.tensor([[1.0, 2], [3, 4], [5, 9]]), torch.zeros(0, 2), torch.tensor([[7.0, 8]])]


def ragged() -> Padded:
    return padded(PARTS)


def same(one: object, other: object) -> bool:
    if isinstance(one, Padded) and isinstance(other, Padded):
        return torch.equal(one.values, other.values) and torch.equal(one.sizes, other.sizes)
    assert isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor)
    return torch.equal(one, other)


def test_rows_are_padded_with_zeros_to_the_longest() -> None:
    rows = ragged()
    assert rows.values.shape == (3, 3, 2)
    assert rows.values[:, :, 0].tolist() == [[1, 3, 5], [0, 0, 0], [7, 0, 0]]
    assert rows.sizes.tolist() == [[3], [0], [1]] and rows.sizes.dtype == torch.int64
    assert count(rows) == 3 and count(torch.zeros(5, 2)) == 5


def test_tokens_are_padded_as_vectors_are() -> None:
    rows = padded([torch.tensor([4, 5]), torch.tensor([6])])
    assert rows.values.tolist() == [[4, 5], [6, 0]] and rows.values.dtype == torch.int64


def test_a_mask_shows_a_rows_own_positions() -> None:
    assert ragged().mask.tolist() == [[True] * 3, [False] * 3, [True, False, False]]
    grid = Padded(torch.zeros(2, 3, 4, 1), torch.tensor([[2, 4], [3, 1]]))
    assert grid.mask.tolist() == [[True, True, False], [True, True, True]]


def test_other_values_have_the_same_sizes() -> None:
    rows = ragged()
    doubled = rows.with_values(rows.values * 2)
    assert doubled.sizes is rows.sizes and doubled.values[0, 2, 1] == 18


def test_the_mean_is_over_a_rows_own_positions_and_zero_where_there_are_none() -> None:
    assert mean_of(ragged()).tolist() == [[3, 5], [0, 0], [7, 8]]
    assert mean_of(padded([torch.tensor([1.0, 2]), torch.tensor([6.0])])).tolist() == [1.5, 6]


@pytest.mark.parametrize("which", [slice(1, 3), torch.tensor([2, 0, 2]), slice(3, 3)])
def test_a_cut_takes_rows_with_their_sizes(which: slice | torch.Tensor) -> None:
    rows = ragged()
    found = cut(rows, which)
    assert isinstance(found, Padded)
    assert torch.equal(found.values, rows.values[which])
    assert torch.equal(found.sizes, rows.sizes[which])
    plain = torch.arange(6).view(3, 2)
    assert same(cut(plain, which), plain[which])


def test_joined_rows_are_padded_to_the_longest_of_all() -> None:
    short = padded([torch.tensor([[6.0, 6]])])
    found = join([short, ragged()])
    assert same(found, padded([torch.tensor([[6.0, 6]]), *PARTS]))
    tokens = join([padded([torch.tensor([1])]), padded([torch.tensor([2, 3])])])
    assert same(tokens, padded([torch.tensor([1]), torch.tensor([2, 3])]))
    assert same(
        join([torch.ones(1, 2), torch.zeros(2, 2)]), torch.tensor([[1.0, 1]] + [[0, 0]] * 2)
    )


def test_one_part_is_joined_without_a_copy() -> None:
    rows = ragged()
    assert join([rows]) is rows


def test_padded_rows_are_not_joined_with_plain_ones() -> None:
    with pytest.raises(AssertionError, match="all padded or none is"):
        join([torch.zeros(1, 3, 2), ragged()])


@pytest.mark.parametrize("rows", [ragged(), torch.arange(6).view(3, 2)])
def test_what_is_split_is_joined_again(rows: Padded | torch.Tensor) -> None:
    parts = split(rows, [1, 0, 2])
    assert [count(part) for part in parts] == [1, 0, 2]
    assert same(join(parts), rows)


def test_rows_move_with_their_sizes() -> None:
    meta = torch.device("meta")
    rows = move(ragged(), meta)
    assert isinstance(rows, Padded) and rows.values.device == rows.sizes.device == meta
    assert move(torch.zeros(1), meta).device == meta  # type: ignore[union-attr]


def test_what_a_branch_is_given_is_cut_and_moved_with_the_steps_that_are_done() -> None:
    given = Given(ragged(), 2, transformed=True)
    assert len(given) == 3
    part = given.cut(slice(1, 3))
    assert len(part) == 2 and part.done == 2 and part.transformed
    moved = given.to(torch.device("meta"))
    assert isinstance(moved.rows, Padded) and moved.rows.values.device.type == "meta"
    assert moved.done == 2 and moved.transformed


def test_given_rows_are_joined() -> None:
    found = join_given([Given(torch.zeros(2, 1)), Given(torch.ones(1, 1))])
    assert isinstance(found.rows, torch.Tensor) and found.rows.flatten().tolist() == [0, 0, 1]
    done = join_given([Given(torch.zeros(1, 4), 3), Given(torch.zeros(2, 4), 3)])
    assert (done.done, len(done)) == (3, 3)


def test_rows_with_other_steps_done_are_not_joined() -> None:
    with pytest.raises(AssertionError):
        join_given([Given(torch.zeros(1, 4), 1), Given(torch.zeros(1, 4), 2)])
