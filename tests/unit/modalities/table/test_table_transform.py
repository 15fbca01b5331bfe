"""A table's transform: scales, codes, and tables whose fields are others."""

import json

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.preprocessing import QuantileTransformer, StandardScaler

from raytl.errors import DataError, ModelError
from raytl.modalities.table.column import Field, TableColumn
from raytl.modalities.table.scaling import STANDARD_LIMIT, fit_number, scaled
from raytl.modalities.table.transform import TransformOptions, fit_table, table_transform

NAN = np.nan
TABLE = TableColumn(
    fields=(
        Field(name="age", kind="number"),
        Field(name="sex", kind="category", categories=("f", "m", "x")),
        Field(name="pay", kind="number"),
    )
)
ROWS = np.array([[10, 0, 1], [20, 1, NAN], [30, 1, 5], [NAN, NAN, 3]], np.float64)
# of age: 10, 20, 30; of pay: 1, 5, 3
AGE_STD, PAY_STD = np.std([10, 20, 30]), np.std([1, 5, 3])


def fitted(**options: object):
    return fit_table(TABLE, ROWS, TransformOptions.model_validate(options))


def test_rows_are_numbers_then_what_is_missing_then_codes() -> None:
    x = fitted().prepare(ROWS)
    assert x.dtype == torch.float32
    a, p = 10 / AGE_STD, 2 / PAY_STD
    expected = [
        [-a, -p, 0, 0, 2],
        [0, 0, 0, 1, 3],  # pay is missing: the median, 3, which is also the mean
        [a, p, 0, 0, 3],
        [0, 0, 1, 0, 1],  # sex is missing: code 1
    ]
    torch.testing.assert_close(x, torch.tensor(expected, dtype=torch.float32))


def test_a_missing_number_is_the_median_not_the_mean() -> None:
    column = TableColumn(fields=(Field(name="a", kind="number"),))
    values = np.array([[0.0], [1.0], [8.0], [NAN]])
    x = fit_table(column, values, TransformOptions()).prepare(values)
    assert x[3, 0] == x[1, 0]
    assert x[3].tolist() != x[1].tolist()  # but for the indicator


def test_numbers_are_standardised_as_scikit_learn_does() -> None:
    values = np.random.default_rng(0).normal(3, 5, (50, 1))
    found = scaled(fit_number("a", values[:, 0], "standard"), values[:, 0])
    np.testing.assert_allclose(found, StandardScaler().fit_transform(values)[:, 0])


def test_quantiles_are_as_scikit_learn_has_them() -> None:
    rng = np.random.default_rng(0)
    values, others = rng.exponential(size=(600, 1)), rng.exponential(size=(100, 1))
    theirs = QuantileTransformer(n_quantiles=20, output_distribution="normal").fit(values)
    ours = fit_number("a", values[:, 0], "quantile")
    assert len(ours.quantiles) == 20
    found = scaled(ours, others[:, 0])
    np.testing.assert_allclose(found, theirs.transform(others)[:, 0], atol=1e-6)
    assert scaled(ours, np.array([-1e300, 1e300])) == pytest.approx([-5.2, 5.2], abs=1e-2)


def test_ties_take_the_middle_of_their_shares() -> None:
    values = np.repeat([0.0, 1.0], [50, 50])
    found = scaled(fit_number("a", values, "quantile"), np.array([0.0, 1.0]))
    assert found[0] == pytest.approx(-found[1])
    assert found[1] == pytest.approx(norm.ppf(0.75), abs=0.1)


def test_far_values_are_clipped() -> None:
    found = scaled(fit_number("a", np.array([-1.0, 1.0]), "standard"), np.array([1e308, -1e308, 5]))
    assert found.tolist() == [STANDARD_LIMIT, -STANDARD_LIMIT, 5]


@pytest.mark.parametrize("scaling", ["standard", "quantile"])
def test_values_near_the_greatest_float_are_scaled(scaling: str) -> None:
    values = np.array([-1.7e308, 1.7e308, 1.6e308])
    found = scaled(fit_number("a", values, scaling), values)  # type: ignore[arg-type]
    assert np.isfinite(found).all() and found[0] < -1 and found[1] > 0.5


@pytest.mark.parametrize("scaling", ["standard", "quantile"])
@pytest.mark.parametrize("training", [[0.1, 0.1, 0.1], [NAN, NAN, NAN], [7.0, NAN, NAN]])
def test_a_number_that_tells_nothing_adds_nothing(training: list, scaling: str) -> None:
    column = TableColumn(fields=(Field(name="a", kind="number"),))
    options = TransformOptions.model_validate({"scaling": scaling})
    transform = fit_table(column, np.array(training)[:, None], options)
    x = transform.prepare(np.array([[0.1], [1e300], [NAN]]))
    assert x.tolist() == [[0, 0], [0, 0], [0, 1]]


def test_a_category_without_a_training_row_is_unknown() -> None:
    assert fitted().layout.categories == (("sex", ("f", "m")),)
    assert fitted().prepare(np.array([[10.0, 2.0, 1.0]]))[0, -1] == 0


def test_a_rare_category_is_unknown() -> None:
    transform = fitted(min_count=2)
    assert transform.layout.categories == (("sex", ("m",)),)
    assert transform.prepare(ROWS)[:, -1].tolist() == [0, 2, 2, 1]


def test_fields_and_categories_in_another_order_are_the_same_rows() -> None:
    other = TableColumn(
        fields=(
            TABLE.fields[2],
            Field(name="sex", kind="category", categories=("x", "?", "m", "f")),
            Field(name="town", kind="number"),
            TABLE.fields[0],
        )
    )
    code = {0.0: 3.0, 1.0: 2.0}
    rows = np.array([[pay, code.get(sex, NAN), 99, age] for age, sex, pay in ROWS])
    transform = fitted()
    found = transform.for_column(other).prepare(rows)
    assert torch.equal(found, transform.prepare(ROWS))
    unknown = transform.for_column(other).prepare(np.array([[1.0, 1.0, 0.0, 10.0]]))
    assert unknown[0, -1] == 0


def test_a_field_that_a_table_lacks_is_missing() -> None:
    transform = fitted()
    bound = transform.for_column(TableColumn(fields=TABLE.fields[2:]))
    assert bound.lacking == ("age", "sex")
    without = np.array([[NAN, NAN, 5.0]])
    assert torch.equal(bound.prepare(np.array([[5.0]])), transform.prepare(without))


def test_a_table_without_a_shared_field_is_refused() -> None:
    other = TableColumn(fields=(Field(name="town", kind="number"),))
    for bind in (fitted().for_column, lambda column: fitted().extended(column, np.zeros((1, 1)))):
        with pytest.raises(ModelError, match="has age, pay, sex and the table town; rename"):
            bind(other)


def test_a_field_of_another_kind_is_refused() -> None:
    other = TableColumn(fields=(Field(name="age", kind="category", categories=("old",)),))
    with pytest.raises(ModelError, match="'age' is a number in the source model's table"):
        fitted().for_column(other)


OTHER = TableColumn(
    fields=(
        Field(name="town", kind="number"),
        Field(name="sex", kind="category", categories=("d", "m")),
        TABLE.fields[0],
    )
)
OTHER_ROWS = np.array([[0, 0, 1000], [4, 1, 3000]], np.float64)


def test_an_extended_transform_keeps_scales_and_codes_of_shared_fields() -> None:
    extended = fitted().extended(OTHER, OTHER_ROWS)
    assert extended.layout.numbers == ("town", "age")
    assert extended.layout.categories == (("sex", ("f", "m", "d")),)
    x = extended.prepare(np.array([[4, 0, 30], [0, 1, 10]], np.float64))
    a = 10 / AGE_STD
    expected = torch.tensor([[1, a, 0, 0, 4], [-1, -a, 0, 0, 3]], dtype=torch.float32)
    torch.testing.assert_close(x, expected)


def test_one_extended_transform_can_read_both_tables() -> None:
    both = fitted().extended(OTHER, OTHER_ROWS, keep_lacking=True)
    assert both.layout.numbers == ("age", "pay", "town")
    assert both.lacking == ("pay",)
    assert both.for_column(TABLE).lacking == ("town",)
    assert both.for_column(TABLE).prepare(ROWS).shape == (4, 7)
    assert both.prepare(OTHER_ROWS).shape == (2, 7)


def test_a_number_that_was_constant_is_fitted_anew() -> None:
    column = TableColumn(fields=(Field(name="a", kind="number"),))
    transform = fit_table(column, np.zeros((3, 1)), TransformOptions())
    values = np.array([[1.0], [3.0]])
    assert transform.extended(column, values).prepare(values)[:, 0].tolist() == [-1, 1]


@pytest.mark.parametrize("scaling", ["standard", "quantile"])
def test_a_transform_is_the_same_from_its_facts(scaling: str) -> None:
    transform = fitted(scaling=scaling).for_column(OTHER)
    facts = json.loads(json.dumps(transform.facts(), allow_nan=False))
    again = table_transform(facts)
    assert again.facts() == transform.facts() and again.column == OTHER
    assert torch.equal(again.prepare(OTHER_ROWS), transform.prepare(OTHER_ROWS))
    assert again.example(3).shape == transform.prepare(OTHER_ROWS[:1]).expand(3, -1).shape


@pytest.mark.parametrize("facts", [{}, {"options": {"scaling": "log"}}, {"x": 1}])
def test_facts_that_are_none_are_refused_in_a_sentence(facts: dict) -> None:
    with pytest.raises(ValueError, match="a table's transform has options, numbers") as caught:
        table_transform(facts)
    assert "\n" not in str(caught.value)


def test_facts_with_a_field_twice_are_refused() -> None:
    facts = fitted().facts()
    facts["numbers"] *= 2
    with pytest.raises(ValueError, match="two fields have the same name"):
        table_transform(facts)


def test_facts_with_a_known_category_twice_are_refused() -> None:
    facts = fitted().facts()
    facts["categories"][0]["known"] = ["north", "north"]
    with pytest.raises(ValueError, match="the known categories of .* must differ from each other"):
        table_transform(facts)


def test_rows_of_another_width_are_refused() -> None:
    with pytest.raises(DataError, match=r"rows of 3 fields were expected, got \(2, 4\)"):
        fitted().prepare(np.zeros((2, 4)))
