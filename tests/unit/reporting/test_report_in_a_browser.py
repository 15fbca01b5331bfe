"""The report opened in a browser without a network: its scripts run, and draw."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_report import row, write_run
from test_report_of_values import board_of, confirmed

from raytl.predictions import Predictions
from raytl.reporting.comparing import compared, write_comparison
from raytl.reporting.html import write_report
from raytl.reporting.report import verdict_figures
from raytl.reporting.report.verdict_figures import KINDS
from raytl.scoring.box_metrics import DETECTIONS
from raytl.scoring.metrics import METRICS
from raytl.scoring.sentence_metrics import WIDTH
from raytl.sweeping.insight.facts import Block, Gap, Looked, Transferred, save_transferred
from raytl.sweeping.insight.previews import Fields, Lines, Picture, Text, save_previews
from raytl.sweeping.insight.small import thumbnail
from raytl.sweeping.verdict.confirmed import save_confirmation

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome")
                 if (found := shutil.which(name))), None)  # fmt: skip
PIXEL = thumbnail(np.zeros((1, 1, 1), np.uint8))
EVIL = "</script><script>throw 'evil'</script>"
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")


def opened(page: Path, width: int = 1280) -> str:
    """Return the page as the browser has it once scripts have run; none may have failed."""
    assert CHROMIUM is not None
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr",
         "--virtual-time-budget=3000", f"--window-size={width},900",
         f"--user-data-dir={page.parent / 'browser'}", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert "Uncaught" not in done.stderr, done.stderr
    assert "CONSOLE" not in done.stderr, done.stderr
    return done.stdout


def drawn(dom: str) -> int:
    """Return how many figures were drawn; each that there is must be."""
    figures = len(re.findall(r"<figure data-figure", dom))
    count = re.search(r'data-drawn="(\d+)"', dom)
    assert count is not None, "the scripts did not run to their end"
    assert int(count[1]) == figures
    return figures


def searched(count: int, **config: Any) -> list[dict[str, Any]]:
    rows = [
        row(i, config={"recipe": ["dann", EVIL][i % 2], "optimizer.lr": 0.001 * 3**i,
                       "source_model": EVIL, **config},
            curve=[0.1 * i, 0.5], objective=0.1 * i, seconds=float(i))
        for i in range(count)
    ]  # fmt: skip
    rows[-1]["searched"] = ["optimizer.lr"]  # a conditional setting that this one has not
    return [*rows, row(count, control="scratch", curve=[0.3, float("nan")], objective=None)]


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """A run of values with all that a report can show."""
    run = write_run(tmp_path / "run", searched(9))
    objective = {"name": "target/validation_rmse", "mode": "min", "label": EVIL}
    board_of(run, metric="rmse", objective=objective)
    confirmed(run)
    points = [(0.5 * i, -1.0) for i in range(12)]
    gaps = [Gap(stage=stage, distance=1.5, source=points, target=points, explained=[0.5, 0.2])
            for stage in ("before", "after")]  # fmt: skip
    save_transferred(
        Transferred(
            candidate="ours", source_model=EVIL, rows=12, gaps=gaps, notes=[EVIL],
            blocks=[Block(branch=EVIL, block=i, frozen=i == 0, fresh=False, cka=[1.0, 0.4, None][i])
                    for i in range(3)],
            looked=[Looked(id=1, column="image", said=EVIL, image=PIXEL, map=[[0.0, 1.0]]),
                    Looked(id=2, column="text", said="x", tokens=[(EVIL, -0.5), ("good", 1.0)])],
        ), run,
    )  # fmt: skip
    seen = {"a": Text(text=EVIL), "b": Picture(png=PIXEL), "c": Lines(lines={EVIL: [1.0, 1.0]}),
            "d": Fields(values=[(EVIL, EVIL)])}  # fmt: skip
    save_previews({i: dict(seen) for i in range(20)}, run)
    return run


@needs_browser
@pytest.mark.parametrize("width", [1280, 400])
def test_all_that_a_report_can_show_is_drawn(full: Path, width: int) -> None:
    dom = opened(write_report(full), width)
    assert drawn(dom) == 10
    assert "9 searched trials; the stronger the colour" in dom and "10 of 10 trials" in dom


HANDLED = """
const body = document.querySelector("#leaderboard tbody"), said = {};
const shown = () => [...body.rows].filter(row => !row.hidden).map(row => row.dataset.trial);
const search = document.getElementById("search"), controls = document.getElementById("controls");
search.value = "DANN lr-less"; search.dispatchEvent(new Event("input")); said.none = shown();
search.value = "dann 0000"; search.dispatchEvent(new Event("input")); said.dann = shown();
search.value = ""; controls.click(); said.searched = shown().length;
const heads = [...document.querySelectorAll("#leaderboard th button")];
const seconds = heads.find(head => head.textContent === "seconds");
seconds.click(); said.up = shown()[0]; seconds.click(); said.down = shown()[0];
const dot = document.querySelector("figure[data-figure=scatter] circle.mark");
dot.dispatchEvent(new PointerEvent("pointermove", { bubbles: true, clientX: 9, clientY: 9 }));
said.tip = document.querySelector(".tip").textContent;
const axis = document.querySelector("figure[data-figure=parallel] rect[style*=resize]");
const box = axis.getBoundingClientRect();
axis.setPointerCapture = () => {};
for (const [type, share] of [["pointerdown", 0], ["pointermove", 0.5], ["pointerup", 0.5]])
  axis.dispatchEvent(new PointerEvent(type, { clientY: box.top + share * box.height }));
said.kept = shown().length;
document.documentElement.dataset.said = JSON.stringify(said);
"""


@needs_browser
def test_the_leaderboard_filters_and_sorts_and_figures_answer_the_pointer(full: Path) -> None:
    page = write_report(full)
    page.write_text(page.read_text().replace("</body>", f"<script>{HANDLED}</script></body>"))
    found = re.search(r'data-said="(.*?)"', opened(page))
    assert found is not None
    said = json.loads(unescape(found[1]))
    assert said["none"] == []
    assert said["dann"] == ["00000", "00002", "00004", "00006", "00008"]
    assert (said["searched"], said["up"], said["down"]) == (9, "00000", "00008")
    assert said["tip"].startswith("trial 0000") and "objective" in said["tip"]
    assert 0 < said["kept"] < 9


@needs_browser
def test_the_key_of_the_intervals_has_the_words_of_their_tips(
    full: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verdict_figures, "KINDS", {kind: f"{kind} in a word" for kind in KINDS})
    figure = opened(write_report(full)).partition('data-figure="intervals"')[2]
    tip, of_key = figure.partition("</figure>")[0].split("</svg>", 1)
    said = set(re.findall(r"\w+ in a word", tip))
    assert said and said == set(re.findall(r"\w+ in a word", of_key))


@needs_browser
def test_a_run_without_a_trial_opens(tmp_path: Path) -> None:
    assert drawn(opened(write_report(write_run(tmp_path / "run", [])))) == 0


@needs_browser
def test_figures_of_one_trial_and_of_numbers_that_are_none_are_drawn(tmp_path: Path) -> None:
    nan, inf = float("nan"), float("inf")
    for name, rows in {
        "one": [row(0, curve=[0.5], seconds=0.0, config={"mapper": "mlp"})],
        "none": [row(i, objective=nan, curve=[nan], seconds=0.0) for i in range(3)],
        "far": [row(i, objective=[-inf, 1e30][i], curve=[inf, 1.0]) for i in range(2)],
    }.items():
        assert drawn(opened(write_report(write_run(tmp_path / name, rows)))) >= 1


@needs_browser
def test_runs_side_by_side_open(full: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", [])
    out = tmp_path / "compare.html"
    write_comparison(compared([full, other]), out)
    assert drawn(opened(out)) == 1


def given(reads: str, generator: np.random.Generator) -> dict[str, Any]:
    """Return what is kept of six rows' predictions of three classes."""
    target_N = np.arange(6) % 3
    if reads in ("classes", "probabilities"):
        p_NK = generator.dirichlet([1, 1, 1], 6).astype(np.float32)
        return {"target_N": target_N, "predicted_N": p_NK.argmax(1), "p_NK": p_NK}
    if reads == "values":
        return {"target_N": target_N + 0.5, "predicted_N": generator.normal(size=6)}
    width = {"pixels": 9, "sentences": WIDTH, "steps": 5, "boxes": 3 * DETECTIONS + 3}[reads]
    numbers_NM = generator.integers(1, 9, (6, width)).astype(float)
    if reads == "boxes":
        numbers_NM[:, : 2 * DETECTIONS] = -1
        numbers_NM[:, :2], numbers_NM[:, DETECTIONS : DETECTIONS + 2] = 0.5, (0, 1)
    return {"target_N": 0 * target_N, "predicted_N": None, "statistics_NM": numbers_NM}


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_a_study_of_each_metric_has_a_report(tmp_path: Path, metric: str) -> None:
    run = write_run(tmp_path / "run", [row(0), row(1, control="scratch")])
    mode = METRICS[metric].mode
    board_of(run, metric=metric, objective={"name": "o", "mode": mode, "label": metric})
    found = confirmed(run)
    candidates = []
    for number, one in enumerate(found.candidates):
        for of in one.runs:
            rows = given(METRICS[metric].reads, np.random.default_rng([number, of.seed]))
            Predictions(np.arange(6), **rows).write(run / str(of.predictions))
        candidates.append(one.model_copy(update={"metrics": {metric: 0.5}}))
    classes = METRICS[metric].reads in ("classes", "probabilities", "pixels", "boxes")
    changed = {
        "metric": metric,
        "test_rows": 6,
        "candidates": candidates,
        "classes": ["a", "b", EVIL][: 3 * classes],
    }
    save_confirmation(found.model_copy(update=changed), run)
    text = write_report(run).read_text()
    assert "Rows to look at" in text and "cannot" not in text
    assert ("average precision at IoU 0.5" in text) == (METRICS[metric].reads == "boxes")


def test_the_report_needs_no_network_and_is_small(full: Path) -> None:
    text = write_report(full).read_text()
    assert "http" not in text
    assert not re.search(r'(src|href)="(?!data:image/png;base64,|#)', text)
    assert "@import" not in text and "url(" not in text
    assert len(text) < 200_000


def test_a_study_of_a_thousand_trials_has_a_report_of_less_than_five_megabytes(
    tmp_path: Path,
) -> None:
    curve = np.random.default_rng(0).normal(size=60).tolist()
    rows = [row(i, curve=curve, config={"optimizer.lr": 1 / (i + 3)}) for i in range(1000)]
    assert write_report(write_run(tmp_path / "run", rows)).stat().st_size < 5e6


def test_text_from_outside_is_never_markup(full: Path) -> None:
    text = write_report(full).read_text()
    assert "<script>throw" not in text and "&lt;script&gt;throw" in text
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert data is not None and EVIL in json.dumps(json.loads(data[1]), ensure_ascii=False)


@pytest.mark.parametrize("file", ["transfer.json", "rows.json", "confirmation.json"])
def test_what_is_broken_in_a_run_is_said_in_its_report(full: Path, file: str) -> None:
    (full / file).write_text('{"half')
    assert f"{file}: cannot be read" in write_report(full).read_text()


@pytest.mark.parametrize("file", ["environment.json", "study.yaml"])
def test_what_is_missing_in_a_run_is_said_in_its_report(full: Path, file: str) -> None:
    (full / file).unlink()
    assert f"{file} is missing" in write_report(full).read_text()


def test_predictions_that_are_gone_are_said_in_the_report(full: Path) -> None:
    shutil.rmtree(full / "predictions")
    text = write_report(full).read_text()
    assert "it helps" in text and "cannot read the predictions" in text
