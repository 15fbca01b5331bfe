"""Runs side by side: what is compared, what is shown apart, what is refused."""

import json
from pathlib import Path

import pytest
from test_report import row, write_run
from test_report_of_values import board_of, confirmed
from typer.testing import CliRunner

import raytl
from raytl.cli import app
from raytl.errors import CorruptError, UserError
from raytl.reporting.comparing import compared, write_comparison

RMSE = {"name": "target/validation_rmse", "mode": "min", "label": "error"}


def run_of(folder: Path, study: str, fingerprint: str = "f" * 64, metric: str = "rmse") -> Path:
    run = write_run(folder, [row(0)])
    facts = json.loads((run / "environment.json").read_text())
    data = {"path": "/data/<b>hearts", "fingerprint": fingerprint, "rows": {"test": 19}}
    (run / "environment.json").write_text(json.dumps(facts | {"datasets": {"target": data}}))
    (run / "study.yaml").write_text(study)
    board_of(run, metric=metric, objective=RMSE, seconds=12.0)
    if metric == "rmse":
        confirmed(run)
    return run


def test_runs_on_the_same_rows_stand_in_one_table(tmp_path: Path) -> None:
    one = run_of(tmp_path / "one", "study: one\ntrain: {epochs: 3, batch_size: 8}\n")
    two = run_of(tmp_path / "two", "study: two\ntrain: {epochs: 5, batch_size: 8}\n")
    (group,) = compared([one, two])
    assert group.differing == ["train.epochs"]
    assert [run.settings["train.epochs"] for run in group.runs] == ["3", "5"]
    assert group.runs[0].score == "2.50 ± 0.02" and group.runs[0].kind == "helps"
    assert group.runs[0].best == "ours" and group.runs[0].seconds == 12.0
    write_comparison([group], tmp_path / "out.html")
    page = (tmp_path / "out.html").read_text()
    assert "it helps" in page and "train.epochs" in page and "<b>hearts" not in page


@pytest.mark.parametrize("other", [{"fingerprint": "a" * 64}, {"metric": "mae"}])
def test_runs_on_other_rows_or_by_another_metric_are_shown_apart(
    tmp_path: Path, other: dict[str, str]
) -> None:
    one = run_of(tmp_path / "one", "study: one\n")
    two = run_of(tmp_path / "two", "study: two\n", **other)
    groups = compared([one, two])
    assert [[run.name for run in group.runs] for group in groups] == [["one"], ["two"]]
    write_comparison(groups, tmp_path / "out.html")
    assert "not between parts" in (tmp_path / "out.html").read_text()


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    runs = []
    for place in ("mine", "yours"):
        (tmp_path / place).mkdir()
        runs.append(run_of(tmp_path / place / "run", "study: one\n"))
    (group,) = compared(runs)
    assert [run.name for run in group.runs] == ["mine/run", "yours/run"]


def test_a_run_that_has_no_verdict_yet_says_so(tmp_path: Path) -> None:
    runs = [run_of(tmp_path / name, "study: [half", metric="mae") for name in ("one", "two")]
    (group,) = compared(runs)
    assert {run.sentence for run in group.runs} == {"no verdict yet (stopped)"}
    assert group.differing == []


@pytest.mark.parametrize(
    ("names", "why"),
    [(["one"], "two run folders at least"), (["one", "one"], "given twice"),
     (["one", "nowhere"], "not a run folder")],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused(tmp_path: Path, names: list[str], why: str) -> None:
    run_of(tmp_path / "one", "study: one\n")
    with pytest.raises(UserError, match=why):
        compared([tmp_path / name for name in names])


def test_a_run_whose_confirmation_is_broken_is_not_compared_as_one_without(tmp_path: Path) -> None:
    runs = [run_of(tmp_path / name, "study: one\n") for name in ("one", "two")]
    (runs[1] / "confirmation.json").write_text('{"half')
    with pytest.raises(CorruptError, match=r"two/confirmation.json: cannot be read"):
        compared(runs)


@pytest.mark.parametrize("file", ["study.yaml", "leaderboard.json", "report.html"])
def test_the_page_is_never_a_file_of_a_run(tmp_path: Path, file: str) -> None:
    runs = [run_of(tmp_path / name, f"study: {name}\n") for name in ("one", "two")]
    out = runs[1] / file
    out.touch()
    held = out.read_bytes()
    with pytest.raises(UserError, match=rf"{file}: is in what is read here .*give another file"):
        raytl.compare(runs, out)
    assert out.read_bytes() == held


def test_paths_are_printed_as_they_are(tmp_path: Path) -> None:
    runs = [str(run_of(tmp_path / name, "study: one\n")) for name in ("a [red]", "b [bold]")]
    out = str(tmp_path / "page [green].html")
    for arguments in (["report", runs[0]], ["compare", *runs, "--out", out]):
        done = CliRunner().invoke(app, arguments)
        assert done.exit_code == 0, done.output
        wanted = f"{runs[0]}/report.html" if arguments[0] == "report" else out
        assert done.stdout.splitlines()[-1] == wanted
    assert "a [red]" in done.stdout and "b [bold]" in done.stdout


def test_the_command_prints_a_table_and_writes_a_page(tmp_path: Path) -> None:
    runs = [str(run_of(tmp_path / name, f"study: {name}\n")) for name in ("one", "two")]
    out = tmp_path / "page.html"
    done = CliRunner().invoke(app, ["compare", *runs, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "helps" in done.output and out.exists()
