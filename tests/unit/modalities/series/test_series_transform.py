"""Series are scaled by what was fitted, by the names of their channels."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from raytl.errors import ModelError
from raytl.modalities.options import options_of
from raytl.modalities.ragged import as_rows
from raytl.modalities.series.column import SeriesColumn
from raytl.modalities.series.transform import (
    SeriesOptions,
    SeriesTransform,
    fit_series,
    series_transform,
)

COLUMN = SeriesColumn(channels=("x", "y"))
# Of x: 0, 2, 4, 6, mean 3 and deviation √5; y is 7 throughout.
ROWS = as_rows([np.array([[0, 7], [2, 7], [4, 7]], np.float32), np.array([[6, 7]], np.float32)])


def fitted(**options: Any) -> SeriesTransform:
    return fit_series(SeriesOptions(**options), COLUMN, lambda: ROWS)


def test_channels_are_standardised_by_all_steps_of_training_rows() -> None:
    rows = fitted().prepare(ROWS)
    assert rows.sizes.tolist() == [[3], [1]]
    expected = torch.tensor([[-3.0, -1.0, 1.0], [3.0, 0.0, 0.0]]) / 5**0.5
    torch.testing.assert_close(rows.values[:, :, 0], expected)
    assert rows.values.dtype == torch.float32


def test_a_constant_channel_becomes_zeros() -> None:
    assert torch.equal(fitted().prepare(ROWS).values[:, :, 1], torch.zeros(2, 3))


def test_per_row_scales_each_series_by_itself() -> None:
    rows = fitted(per_row=True).prepare(as_rows([ROWS[0], 10 * ROWS[0], ROWS[1]])).values[:, :, 0]
    torch.testing.assert_close(rows[0], torch.tensor([-1.0, 0.0, 1.0]) * 1.5**0.5)
    torch.testing.assert_close(rows[1], rows[0])
    assert rows[2].tolist() == [0, 0, 0]  # one step alone is its own mean


def test_longer_series_are_cut_at_the_end_and_the_scale_is_of_what_is_left() -> None:
    rows = fitted(max_length=2).prepare(ROWS)  # of x: 0, 2, 6
    assert rows.sizes.tolist() == [[2], [1]]
    mean, std = 8 / 3, np.std([0, 2, 6])
    torch.testing.assert_close(rows.values[0, :, 0], (torch.tensor([0.0, 2.0]) - mean) / std)


def test_the_last_steps_of_longer_series_are_kept_where_that_is_asked_for() -> None:
    own = fitted(max_length=2, keep="last")
    rows = own.prepare(ROWS)  # of x: 2, 4, 6
    assert rows.sizes.tolist() == [[2], [1]]
    std = np.std([2, 4, 6])
    torch.testing.assert_close(rows.values[0, :, 0], (torch.tensor([2.0, 4.0]) - 4) / std)
    assert series_transform(own.facts()).facts()["keep"] == "last"
    old = {k: v for k, v in fitted(max_length=2).facts().items() if k != "keep"}
    assert series_transform(old).facts() == fitted(max_length=2).facts()


def test_channels_are_found_by_name() -> None:
    other = SeriesColumn(channels=("y", "extra", "x"))
    swapped = as_rows([np.stack([r[:, 1], r[:, 0] * 0 - 9, r[:, 0]], axis=1) for r in ROWS])
    found = fitted().for_column(other).prepare(swapped)
    assert torch.equal(found.values, fitted().prepare(ROWS).values)


def test_a_missing_channel_is_refused_by_name() -> None:
    with pytest.raises(ModelError, match="channels x, y are read, but .* z, x: no y"):
        fitted().for_column(SeriesColumn(channels=("z", "x")))


def test_facts_go_through_json_and_make_the_same_transform() -> None:
    own = fitted(max_length=2)
    again = series_transform(json.loads(json.dumps(own.facts())))
    assert torch.equal(again.prepare(ROWS).values, own.prepare(ROWS).values)
    assert again.facts() == own.facts()


def test_facts_do_not_hang_on_which_dataset_is_read() -> None:
    other = fitted().for_column(SeriesColumn(channels=("y", "x")))
    assert other.facts() == fitted().facts()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"std": [1.0, 0.0]}, "std.1"),
        ({"mean": [1.0]}, "as long"),
        ({"men": 1}, "did you mean 'mean'"),
    ],
)
def test_facts_that_are_none_are_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        series_transform(fitted().facts() | change)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"max_length": 0}, "transform: max_length: .*greater than 0, got 0"),
        ({"maxlength": 5}, "did you mean 'max_length'"),
    ],
)
def test_options_that_do_not_hold_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        options_of(SeriesOptions, options, "transform")


def test_the_example_is_like_prepared_rows() -> None:
    example = fitted(max_length=2).example(3)
    assert example.values.shape == (3, 2, 2) and example.sizes.tolist() == [[2]] * 3
