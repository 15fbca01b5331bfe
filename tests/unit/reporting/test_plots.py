"""What matplotlib's figures say."""

import pytest
from matplotlib.text import Text

from raytl.reporting.plots import (
    BLACK,
    Drawn,
    confirmed_figure,
    confusion_figure,
    curves_figure,
    heat_map_figure,
)

OF_RMSE = {"mode": "min", "label": "RMSE"}


def test_a_heat_map_tells_small_errors_apart() -> None:
    rows = [
        {"objective": error, "control": None,
         "config": {"source_model": "net", "frozen_depth": str(depth)}}
        for depth, error in enumerate((2e-5, 9e-5))
    ]  # fmt: skip
    figure = heat_map_figure(rows, OF_RMSE)
    assert figure is not None
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["2.000e-05\n1 tried", "9.000e-05\n1 tried"]


@pytest.mark.parametrize("name", ["$$", "a $b$", r"\$\frac$", "5$", "x_^{"])
def test_names_are_no_formulas(name: str) -> None:
    row = {"objective": 0.5, "rank": 1, "trial": "00000", "control": f"{name}_alone",
           "config": {"source_model": name, "frozen_depth": "1"}}  # fmt: skip
    figures = [
        confusion_figure([[1, 0], [0, 1]], [name, "a"]),
        heat_map_figure([row | {"control": None}], OF_RMSE),
        curves_figure([(row, [0.5])], OF_RMSE),
        confirmed_figure({"metric": "accuracy", "candidates": [
            {"name": name, "mean": 0.5, "control": None, "runs": [], "standard_error": None,
             "selected": False},
        ]}),
    ]  # fmt: skip
    for figure in figures:
        assert isinstance(figure, Drawn)
        assert figure._repr_png_().startswith(b"\x89PNG")
        assert any(name in text.get_text().replace(r"\$", "$") for text in figure.findobj(Text))


def test_a_control_that_no_colour_is_set_for_is_drawn() -> None:
    row = {"objective": 0.5, "rank": 1, "trial": "mean-0", "control": "mean"}
    figure = curves_figure([(row, [0.5])], OF_RMSE)
    assert figure is not None and figure.axes[0].lines[0].get_color() == BLACK
