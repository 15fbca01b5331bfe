"""`benchmarks/peers.py`: how rows are drawn and written, answers are read and judged, cells are
run, kept and not run twice. No tool is installed or run."""

import csv
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from PIL import Image
from tests_support import ROOT

sys.path.append(str(ROOT / "benchmarks"))

import peer_cells
import peer_data
import peer_scores
import peer_tools
import peers
from peer_scores import Answers

Row = dict[str, str]


def words(**classes: int) -> list[Row]:
    return [
        {"text": f"{label} {k}", "label": label} for label, n in classes.items() for k in range(n)
    ]


def test_so_many_rows_of_each_class_are_learnt_from_and_all_others_are_tested_on() -> None:
    rows = words(cat=9, dog=5)
    split = peer_data.of_each_class(rows, 3, Random(0))
    assert sorted(row["label"] for row in split.train) == ["cat"] * 3 + ["dog"] * 3
    assert sorted(split.truth) == ["cat"] * 6 + ["dog"] * 2
    told = [row["text"] for row in (*split.train, *split.test)]
    assert sorted(told) == sorted(row["text"] for row in rows)


def test_a_share_of_each_class_is_learnt_from() -> None:
    split = peer_data.of_each_class(words(cat=10, dog=20), 0.7, Random(0))
    assert sorted(row["label"] for row in split.train) == ["cat"] * 7 + ["dog"] * 14


def test_a_class_without_rows_to_test_on_is_refused() -> None:
    with pytest.raises(ValueError, match="dog has 3 rows, of which 3 would be learnt from"):
        peer_data.of_each_class(words(cat=9, dog=3), 3, Random(0))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for part, number in (("train", 6), ("val", 4)):
        for label in ("ants", "bees"):
            place = folder / "hymenoptera" / "hymenoptera_data" / part / label
            place.mkdir(parents=True)
            for k in range(number):
                Image.new("RGB", (8, 8), (k, len(part), len(label))).save(place / f"{k}.png")
            (place / "notFound.gif").write_bytes(b"no picture")
    (folder / "text" / "sentiment").mkdir(parents=True)
    lines = [f"{'good' if k % 2 else 'bad'} film {k}\t{k % 2}\n" for k in range(60)]
    (folder / "text" / "sentiment" / "imdb.txt").write_text("".join(lines), encoding="utf-8")
    (folder / "tabular").mkdir()
    cells = [f"A{k % 3},{k},{1 + (k % 5 == 0)}\n" for k in range(50)]
    (folder / "tabular" / "german.csv").write_text("".join(cells), encoding="utf-8")
    return folder


def test_rows_are_the_same_for_a_seed_and_others_for_another(data: Path) -> None:
    first = peer_data.split_of("sentiment", data, 0)
    peer_data.split_of("german", data, 0)  # what is read between makes no difference
    assert peer_data.split_of("sentiment", data, 0) == first
    assert peer_data.split_of("sentiment", data, 1) != first
    assert {row["text"].split()[0]: row["label"] for row in first.train} == {
        "good": "positive",
        "bad": "negative",
    }


def test_the_rare_class_of_the_table_is_in_both_parts(data: Path) -> None:
    split = peer_data.split_of("german", data, 0)
    assert (len(split.train), len(split.test)) == (35, 15)
    assert split.truth.count("bad") == 3
    assert set(split.train[0]) == {"a1", "a2", "label"}


def test_missing_pictures_are_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no CLASS/picture in it; see --data"):
        peer_data.split_of("office", tmp_path, 0)


def test_written_test_rows_keep_their_order_and_tell_no_label(data: Path, tmp_path: Path) -> None:
    split, out = peer_data.split_of("hymenoptera", data, 0), tmp_path / "out"
    assert (len(split.train), len(split.test)) == (12, 8)  # and no notFound.gif
    out.mkdir()
    peer_data.write(split, out, by_class=True)
    train, test = (table(out / name) for name in ("train.csv", "test.csv"))
    assert [row["label"] for row in train] == [row["label"] for row in split.train]
    assert {row["image"].split("/")[1] for row in train} == {"ants", "bees"}
    assert [set(row) for row in test] == [{"image"}] * 8
    for k, (row, source) in enumerate(zip(test, split.test, strict=True)):
        assert row["image"] == f"test/{k:04d}.png"
        assert (out / row["image"]).read_bytes() == Path(source["image"]).read_bytes()


def test_pictures_of_a_table_tell_no_label_either(data: Path, tmp_path: Path) -> None:
    split = peer_data.split_of("hymenoptera", data, 0)
    peer_data.write(split, tmp_path, by_class=False)
    names = [row["image"] for row in table(tmp_path / "train.csv")]
    assert names[0] == "pictures/train0000.png"
    assert not any("ants" in name or "bees" in name for name in names)


def table(file: Path) -> list[Row]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


TRUTH = ["bad", "good", "good", "bad"]


def test_a_score_is_accuracy_or_average_precision_of_the_rare_class() -> None:
    answers = Answers(["bad", "good", "bad", "good"], rare=[0.9, 0.1, 0.8, 0.3])
    assert peer_scores.score(TRUTH, answers, None) == 0.5
    # of the rows in order of probability the first and the third are bad: (1/1 + 2/3) / 2
    assert peer_scores.score(TRUTH, answers, "bad") == pytest.approx(5 / 6)


def test_an_interval_holds_its_figure_and_narrows_with_rows() -> None:
    def width(times: int) -> float:
        found = peer_scores.interval(TRUTH * times, Answers(["bad"] * 4 * times), None)
        assert found.low < found.value == 0.5 < found.high
        return found.high - found.low

    assert width(100) < width(10) / 2


def test_tools_are_compared_on_the_same_rows() -> None:
    truth = TRUTH * 25
    theirs = Answers([*truth[:50], *["wrong"] * 50])
    same = peer_scores.difference(truth, theirs, theirs, None)
    assert (same.value, same.low, same.high) == (0, 0, 0)
    better = peer_scores.difference(truth, Answers(truth), theirs, None)
    assert better.value == 0.5
    assert 0.3 < better.low < better.high < 0.7


def written(file: Path, *lines: str) -> Path:
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return file


def test_what_raytl_predicts_is_read_in_the_order_of_rows(tmp_path: Path) -> None:
    file = written(tmp_path / "p.csv", "row,predicted,probability", "10,good,0.6", "9,bad,0.7")
    found = peer_scores.of_raytl(file, "bad")
    assert found.predicted == ["bad", "good"]
    assert found.rare == pytest.approx([0.7, 0.4])
    file = written(tmp_path / "f.csv", "file,predicted,probability", "1.jpg,b,1", "0.jpg,a,1")
    assert peer_scores.of_raytl(file, None) == Answers(["a", "b"])


def test_what_peers_predict_is_read(tmp_path: Path) -> None:
    file = written(tmp_path / "p.csv", "bad,good", "0.2,0.8", "0.7,0.3")
    assert peer_scores.of_autogluon(file, "bad") == Answers(["good", "bad"], [0.2, 0.7])
    file = written(tmp_path / "l.csv", "label", "b", "a")
    assert peer_scores.of_autogluon(file, None) == Answers(["b", "a"])
    head = "label_predictions,label_probability,label_probabilities_bad,label_probabilities_good"
    file = written(tmp_path / "w.csv", head, "good,0.9,0.1,0.9")
    assert peer_scores.of_ludwig(file, "bad") == Answers(["good"], [0.1])


def test_answers_that_are_missing_or_not_finite_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 predictions of 2 test rows"):
        peer_scores.check_rows(Answers(["a"]), ["a", "b"])
    with pytest.raises(ValueError, match="not finite"):
        peer_scores.check_rows(Answers(["a"], [float("nan")]), ["a"])
    with pytest.raises(ValueError, match="p.csv: no predictions in it"):
        peer_scores.of_autogluon(written(tmp_path / "p.csv", "label"), None)


def test_lines_that_a_user_wrote_are_counted(tmp_path: Path) -> None:
    script = written(
        tmp_path / "tool.py", '"""What it is,', "", 'at length."""', "", "import sys",
        "# why", "go(", "    sys.argv,  # all", ")",
    )  # fmt: skip
    assert peer_tools.lines_of(script) == 4
    assert peer_tools.lines_of(written(tmp_path / "t.sh", "# why", "", "a", "b")) == 2


def test_every_tool_has_a_script_and_pinned_requirements() -> None:
    for name, tool in peer_tools.TOOLS.items():
        assert peer_tools.lines_of(peer_tools.SCRIPTS / tool.script) > 0
        assert bool(tool.requirements) == (name != peer_tools.OURS)
        assert all("==" in one for one in tool.requirements)
        assert set(tool.cannot) <= set(peer_data.SOURCES)


def test_what_could_not_be_installed_is_not_tried_again(tmp_path: Path) -> None:
    (tmp_path / "ludwig").mkdir()
    written(tmp_path / "ludwig" / "failed.txt", "no wheel")
    found = peer_tools.installed("ludwig", tmp_path)
    assert found.why_not == "no wheel\n"
    assert not found.python.exists()


def test_a_tool_that_needs_another_python_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = peer_tools.Tool("Old", "t.sh", peer_scores.of_ludwig, ("old==1",), python="python0.9")
    monkeypatch.setitem(peer_tools.TOOLS, "old", tool)
    found = peer_tools.installed("old", tmp_path)
    assert found.why_not == "it needs python0.9, which is not on the PATH"
    assert not (tmp_path / "old").exists()  # so that it is looked for again


def test_cells_are_picked_by_tool_or_data_set() -> None:
    every = peers.wanted_cells(None)
    assert len(every) == len(peer_tools.TOOLS) * len(peer_data.SOURCES)
    assert peers.wanted_cells(["raytl:emoji"]) == [("raytl", "emoji")]
    assert {cell[0] for cell in peers.wanted_cells([":german"])} == set(peer_tools.TOOLS)
    assert len(peers.wanted_cells(["ludwig:", "ludwig:emoji"])) == len(peer_data.SOURCES)
    for wrong in ("raytl", "raytl:iris", "keras:emoji"):
        with pytest.raises(SystemExit, match=f"--only {wrong}: must be TOOL:DATASET"):
            peers.wanted_cells([wrong])


@pytest.fixture
def asked(tmp_path: Path) -> peer_cells.Asked:
    return peer_cells.Asked(0.05, 0, 0.0, tmp_path / "data", tmp_path / "envs", tmp_path / "work")


@pytest.fixture
def split(data: Path) -> peer_data.Split:
    return peer_data.split_of("german", data, 0)


def test_done_and_failed_cells_are_not_run_again(
    asked: peer_cells.Asked, split: peer_data.Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []

    def run_cell(tool: str, dataset: str, *rest: Any) -> peer_cells.Record:
        ran.append(tool)
        why = "it broke" if tool == "ludwig" else None
        score = None if why else 0.5
        return peer_cells.Record(
            tool, dataset, asked.minutes, 0, len(split.test), 3, seconds=1.0, score=score,
            why_not=why, predicted=split.truth, rare=[0.5] * len(split.truth),
        )  # fmt: skip

    monkeypatch.setattr(peers, "run_cell", run_cell)
    monkeypatch.setattr(peers, "installed", lambda *_: None)
    out, splits = tmp_path / "out" / "peers.jsonl", {"german": split}
    cells = [("raytl", "german"), ("ludwig", "german")]
    first = peers.fill(cells[:1], splits, asked, out)
    both = peers.fill(cells, splits, asked, out)
    assert ran == ["raytl", "ludwig"]
    assert both["raytl", "german"] == first["raytl", "german"]
    assert peers.fill(cells, splits, asked, out) == both
    assert ran == ["raytl", "ludwig"]
    assert peers.read_records(out, splits, asked.minutes, 0) == both
    assert peers.read_records(out, splits, 15.0, 0) == {}
    assert peers.read_records(out, splits, asked.minutes, 1) == {}
    fewer = {"german": peer_data.Split(split.train, split.test[:5])}
    assert peers.read_records(out, fewer, asked.minutes, 0) == {}


def test_nothing_is_installed_for_what_a_tool_cannot_do(
    asked: peer_cells.Asked, split: peer_data.Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "installed", None)
    found = peers.fill([("quicktune", "german")], {"german": split}, asked, tmp_path / "o.jsonl")
    assert found["quicktune", "german"].why_not == peer_tools.IMAGES_ALONE


def test_the_table_tells_scores_differences_and_what_failed(
    split: peer_data.Split, capsys: pytest.CaptureFixture[str]
) -> None:
    def record(tool: str, rare: list[float], **more: Any) -> peer_cells.Record:
        return peer_cells.Record(
            tool, "german", 15.0, 0, 15, 3, "1.0", predicted=split.truth, rare=rare, **more
        )

    right = [float(label == "bad") for label in split.truth]
    records = {
        ("raytl", "german"): record("raytl", right, score=1.0, seconds=800.0),
        ("autogluon", "german"): record(
            "autogluon", [1 - p for p in right], score=0.2, seconds=950.0, late=50.0
        ),
        ("ludwig", "german"): record("ludwig", [], why_not="exit code 1: it broke"),
    }
    figures = peers.show(records, {"german": split})
    said = capsys.readouterr().out
    assert "| german | raytl 1.0 | 100.0 (100.0 to 100.0) | – | 800 | 3 |" in said
    assert "| 950 (late) |" in said
    assert "german, Ludwig: exit code 1: it broke" in said
    assert figures["german"]["autogluon"]["minus"]["low"] > 0
    assert json.loads(json.dumps(figures)) == figures


@pytest.fixture
def scripted(asked: peer_cells.Asked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return what runs a cell whose tool is the given lines of shell."""
    monkeypatch.setattr(peer_cells, "SCRIPTS", tmp_path)
    monkeypatch.setattr(peer_cells, "_prepare", lambda *_: None)
    monkeypatch.setattr(peer_cells, "own_space", lambda: [])
    tool = peer_tools.Tool("Shell", "tool.sh", peer_scores.of_autogluon, ("shell==1",))
    monkeypatch.setitem(peer_cells.TOOLS, "shell", tool)

    def run(split: peer_data.Split, *lines: str, grace: float = 300) -> peer_cells.Record:
        written(tmp_path / "tool.sh", *lines)
        found = peer_tools.Installed(Path(sys.executable), "1")
        return peer_cells.run_cell("shell", "german", split, replace(asked, grace=grace), found)

    return run


def test_a_cell_is_run_scored_and_tidied(
    scripted: Any, split: peer_data.Split, asked: peer_cells.Asked
) -> None:
    told = " ".join(f"{p}" for p in (float(label == "bad") for label in split.truth))
    record = scripted(
        split, "echo $1 $2", "mkdir model", "echo bad,good > predictions.csv",
        f"for p in {told}; do echo $p,0.5 >> predictions.csv; done",
    )  # fmt: skip
    assert (record.score, record.why_not, record.lines) == (1.0, None, 4)
    assert record.answers.rare == [float(label == "bad") for label in split.truth]
    folder = asked.work / "shell-german"
    assert sorted(path.name for path in folder.iterdir()) == ["log.txt", "predictions.csv"]
    assert (folder / "log.txt").read_text() == "german 0.04\n"  # four fifths of the minutes


def test_a_tool_that_breaks_is_told_by_its_last_words(scripted: Any, split: Any) -> None:
    record = scripted(split, "echo working", "echo 'no such network' >&2", "exit 3")
    assert (record.score, record.why_not) == (None, "exit code 3: no such network")
    record = scripted(
        split, "echo ValueError: no trial", "echo 'Exception ignored in atexit:'", "echo late",
        "exit 1",
    )  # fmt: skip
    assert record.why_not == "exit code 1: ValueError: no trial"
    record = scripted(split, "echo bad,good > predictions.csv", "echo 1,0 >> predictions.csv")
    assert record.why_not == "exit code 0: 1 predictions of 15 test rows"


def test_a_tool_that_takes_too_long_is_ended_with_all_that_it_started(
    scripted: Any, split: Any, asked: peer_cells.Asked
) -> None:
    record = scripted(
        split, "(while true; do date >> beats; sleep 0.1; done) &", "sleep 600", grace=0
    )
    assert record.why_not == "no prediction within 3 s"
    beats = asked.work / "shell-german" / "beats"
    before = beats.read_text()
    time.sleep(1)
    assert beats.read_text() == before != ""


def test_a_tool_that_cannot_or_is_not_there_is_not_started(
    asked: peer_cells.Asked, split: peer_data.Split
) -> None:
    there = peer_tools.Installed(Path("nowhere"))
    record = peer_cells.run_cell("quicktune", "german", split, asked, there)
    assert record.why_not == peer_tools.IMAGES_ALONE
    missing = peer_tools.Installed(Path("nowhere"), why_not="no wheel")
    record = peer_cells.run_cell("ludwig", "german", split, asked, missing)
    assert record.why_not == "not installed: no wheel"
    assert not asked.work.exists()


def test_other_interpreters_get_nothing_of_this_one() -> None:
    assert peer_tools.bare({"PYTHONPATH": "x", "VIRTUAL_ENV": "y", "PATH": "z"}) == {"PATH": "z"}
