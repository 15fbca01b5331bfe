"""What matplotlib's figures say."""

from raytl.reporting.plots import heat_map_figure


def test_a_heat_map_tells_small_errors_apart() -> None:
    rows = [
        {"objective": error, "control": None,
         "config": {"source_model": "net", "frozen_depth": str(depth)}}
        for depth, error in enumerate((2e-5, 9e-5))
    ]  # fmt: skip
    figure = heat_map_figure(rows, {"mode": "min", "label": "RMSE"})
    assert figure is not None
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert texts == ["2.000e-05\n1 tried", "9.000e-05\n1 tried"]
