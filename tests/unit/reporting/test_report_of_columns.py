"""The report of a study of several columns: each column's own control is drawn, and told apart."""

import json
from pathlib import Path
from typing import get_args

import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from test_report import row, write_run
from test_report_of_values import DIFFERENCE, candidate

from raytl.config import CONTROLS, ControlName
from raytl.reporting.html import write_report
from raytl.reporting.plots import BLUE, CONTROL_COLOURS, confirmed_figure, curves_figure
from raytl.sweeping.verdict.confirmed import Comparison, Confirmation, Verdict, save_confirmation

ALONE = ("image_alone", "text_alone", "table_alone")
OBJECTIVE = {"name": "target/validation_rmse", "mode": "min", "label": "error"}


def confirmation_of(run: Path) -> Confirmation:
    named = {"ours": None, "scratch": "scratch"} | {name: name for name in ALONE}
    return Confirmation(
        metric="rmse", split="test", test_rows=19, classes=[], seeds=[0, 1], level=0.95,
        margin=0.15, labels_read=10,
        candidates=[candidate(run, name, control, 2.5) for name, control in named.items()],
        comparisons=[
            Comparison(candidate="ours", control=control, difference=DIFFERENCE)
            for control in named.values() if control is not None
        ],
        verdict=Verdict(kind="helps", sentence="it helps"), recommended="ours",
    )  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    rows = [row(0, curve=[3.0, 2.5])]
    rows += [
        row(i + 1, control=name, curve=[5.0, 4.0 - i]) for i, name in enumerate((*ALONE, "scratch"))
    ]
    made = write_run(tmp_path / "run", rows)
    board = json.loads((made / "leaderboard.json").read_text())
    changed = board | {"metric": "rmse", "objective": OBJECTIVE}
    (made / "leaderboard.json").write_text(json.dumps(changed))
    return made


def test_a_report_of_several_columns_names_each_columns_control(run: Path) -> None:
    save_confirmation(confirmation_of(run), run)
    text = write_report(run).read_text()
    for name in ALONE:
        assert f"<td>{name} control</td>" in text  # among the comparisons
        assert f'"name":"{name} control"' in text  # in the figure of the differences
        assert f'"name":"{name}","control":"{name}"' in text  # and in that of the means


def test_every_control_has_a_colour_of_its_own() -> None:
    assert set(CONTROL_COLOURS) == set(CONTROLS) == set(get_args(ControlName))
    assert len({*CONTROL_COLOURS.values(), BLUE}) == len(CONTROLS) + 1


def colours_of(figure: Figure) -> list[str]:
    """Return the colours of the candidates from bottom to top, by their dots."""
    (axes,) = figure.axes
    return [to_hex(line.get_color()).upper() for line in axes.lines if line.get_alpha() == 0.35]


def test_controls_of_columns_alone_are_not_drawn_as_searched_trials(run: Path) -> None:
    figure = confirmed_figure(confirmation_of(run).model_dump(mode="json"))
    black = "#000000"
    assert colours_of(figure)[::-1] == [BLUE, CONTROL_COLOURS["scratch"], black, black, black]


def test_their_curves_differ_in_their_dashes() -> None:
    names = [None, *ALONE, "scratch"]
    histories = [(row(i, control=name), [3.0, 2.0]) for i, name in enumerate(names)]
    figure = curves_figure(histories, OBJECTIVE)
    assert figure is not None
    (axes,) = figure.axes
    styles = {
        str(line.get_label()): (line.get_color(), line.get_linestyle())
        for line in axes.lines if "control" in str(line.get_label())
    }  # fmt: skip
    assert list(styles) == [f"{name} control" for name in sorted((*ALONE, "scratch"))]
    assert len(set(styles.values())) == 4
    drawn = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
    assert set(styles.values()) < drawn
