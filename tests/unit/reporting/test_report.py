"""The report's parts: importance with a known answer, escaping, runs that are not complete."""

import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from raytl.reporting.html import write_report
from raytl.reporting.importance import importance
from raytl.reporting.pareto import pareto_front
from raytl.reporting.tensorboard import write_images
from raytl.reporting.terminal import leaderboard_table


def row(index: int, **more: Any) -> dict[str, Any]:
    config = {
        "recipe": "finetune",
        "source_model": "net",
        "frozen_depth": "0%",
        "mapper": "identity",
        "adversarial_lambda": 1.0,
        "optimizer.lr": 0.01,
    }
    plain = {
        "trial": f"{index:05d}",
        "rank": index + 1,
        "control": None,
        "status": "completed",
        "objective": 0.5,
        "mean_rank": None,
        "epochs": 2,
        "seconds": 1.0,
        "searched": sorted(more.get("config", {})),
        "metrics": {"target/validation_accuracy": 0.5},
        "trainable_parameters": 10,
        "error": None,
        "log": None,
        "folder": f"trial-{index:05d}",
    }
    return plain | more | {"config": config | more.get("config", {})}


def test_importance_finds_the_key_that_matters() -> None:
    generator = random.Random(0)
    histories = []
    for index in range(40):
        lr, mapper = generator.uniform(0.001, 0.1), generator.choice(["identity", "mlp"])
        config = {"optimizer.lr": lr, "mapper": mapper, "mapper.hidden": 8}
        one = row(index, config=config)
        if mapper == "identity":
            one["searched"].remove("mapper.hidden")
        values = [0.0, 10 * lr] if index % 4 else [0.3]  # every fourth trial was stopped early
        histories.append((one, values))
    histories.append((row(99, control="scratch"), [0.0, 100.0]))
    found = importance(histories, "max")
    assert found.shares["optimizer.lr"] > 0.9
    assert sum(found.shares.values()) == pytest.approx(1.0)
    assert "30 trials, by their objective after epoch 2" in found.note
    assert "mapper.hidden" in found.note


def test_importance_says_why_there_is_none() -> None:
    few = [(row(i, config={"mapper": "mlp"}), [0.1 * i]) for i in range(3)]
    assert importance(few, "max").note == "3 trials are too few to tell; 8 are needed"
    diverged = [(row(i, config={"optimizer.lr": i}), [float("nan")]) for i in range(9)]
    assert "do not differ" in importance(diverged, "max").note
    same = [(row(i, config={"mapper": "mlp"}), [0.1 * i]) for i in range(9)]
    assert "do not differ" in importance(same, "max").note


def write_run(run: Path, rows: list[dict[str, Any]], state: str = "stopped") -> Path:
    run.mkdir()
    board = {
        "study": "tiny",
        "objective": {"name": "target/validation_accuracy", "mode": "max", "label": "accuracy"},
        "labels": 10,
        "state": state,
        "seconds": 1.0,
        "oracle": None,
        "trials": rows,
    }
    environment = {
        "python": "3.11",
        "versions": {"raytl": "0"},
        "seeds": {"study": 0},
        "datasets": {},
        "source_models": {},
        "platform": "here",
        "cpus": 2,
        "started": "now",
        "command": "raytl sweep",
    }
    (run / "leaderboard.json").write_text(json.dumps(board))
    (run / "environment.json").write_text(json.dumps(environment))
    (run / "study.yaml").write_text("study: tiny\n")
    return run


def test_an_unfinished_run_has_a_report(tmp_path: Path) -> None:
    text = write_report(write_run(tmp_path / "run", [])).read_text()
    assert "No verdict yet" in text
    assert "resume it with --resume" in text


def test_what_a_source_model_has_not_carried_over_is_stated(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [row(0)])
    facts = json.loads((run / "environment.json").read_text())
    part = {"backbone": "mlp", "blocks": 3, "note": "2 fields transferred; started fresh: size"}
    facts["source_models"] = {"old": {"parts": {"table": part}}, "new": {"parts": {
        "table": {"backbone": "mlp", "blocks": 3}}}}  # fmt: skip
    (run / "environment.json").write_text(json.dumps(facts))
    text = write_report(run).read_text()
    assert "<br>2 fields transferred; started fresh: size</td>" in text
    assert "None" not in text.partition('id="run"')[2].partition("<details>")[0]


def test_augmentation_is_stated(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [row(0)])
    assert "Training rows were augmented" not in write_report(run).read_text()
    (run / "study.yaml").write_text("study: tiny\ntrain: {augment: {crop: 4, views: 3}}\n")
    assert (
        "shifted by up to 4 pixels (spectrograms: bands and frames), in 3 fixed views of each row"
        in write_report(run).read_text()
    )


def test_what_comes_from_outside_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    rows = [row(0, status="failed", error=evil, log=f"/{evil}", objective=None)]
    rows += [row(1, config={"source_model": evil})]
    text = write_report(write_run(tmp_path / "run", rows)).read_text()
    assert evil not in text
    assert "&lt;script&gt;alert(1)" in text


def test_failures_stand_in_the_terminals_table() -> None:
    rows = [row(0), row(1, status="failed", error="it broke", log="/run/error.txt", objective=None)]
    rows += [row(2, control="scratch"), row(3, status="stopped early")]
    board = {"study": "s", "objective": {"label": "accuracy"}, "trials": rows}
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(leaderboard_table(board))
    text = console.export_text()
    assert "failed: it broke" in text.replace("\n", " ")
    assert "stopped at 2" in text
    assert "control" in text


def test_images_are_read_back_from_tensorboards_files(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    write_images(tmp_path, {"target domain": np.zeros((2, 8, 8, 1), np.uint8)})
    events = EventAccumulator(str(tmp_path / "tensorboard" / "images")).Reload()
    assert events.Tags()["images"] == ["target domain"]


def test_the_predicted_order_of_source_models_stands_beside_the_realised_one(
    tmp_path: Path,
) -> None:
    rows = [row(0, objective=0.9, config={"source_model": "a"})]
    rows += [row(1, objective=0.5, config={"source_model": "b"})]
    run = write_run(tmp_path / "run", rows)
    scored = [
        {"source_model": name, "scores": {"log_me": s}, "seconds": {"features": 0.5}, "rows": 20}
        for name, s in [("a", 0.1), ("b", 0.7), ("c", 0.2)]
    ]
    (run / "ranking.json").write_text(json.dumps(scored))
    text = write_report(run).read_text()
    assert "predicted and realised" in text
    assert "<td>weighted τ</td><td>-1.00</td>" in text
    assert "none completed" in text


@pytest.mark.parametrize("text", ["null", '{"a": 1}', "[1]", '[{"source_model": "own"}]'])
def test_a_broken_ranking_is_a_note_of_the_report(tmp_path: Path, text: str) -> None:
    run = write_run(tmp_path / "run", [row(0)])
    (run / "ranking.json").write_text(text)
    assert "ranking.json: not as `raytl sweep` writes it" in write_report(run).read_text()


def test_the_oracle_is_called_oracle(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", [row(0, mean_rank=1.5)])
    board = json.loads((run / "leaderboard.json").read_text())
    board["oracle"] = {
        "metric": "accuracy", "trial": "7", "score": 0.9, "chosen": "0", "chosen_score": 0.8
    }  # fmt: skip
    (run / "leaderboard.json").write_text(json.dumps(board))
    text = write_report(run).read_text()
    assert "Oracle (target labels that no trial saw): trial 7 with 90.0 %" in text
    assert "mean rank of validators" in text


def test_the_pareto_front_by_hand() -> None:
    rows = [
        row(0, objective=0.9, seconds=10.0, trainable_parameters=100),
        row(1, objective=0.8, seconds=1.0, trainable_parameters=10),
        row(2, objective=0.8, seconds=2.0, trainable_parameters=10),  # slower than 1
        row(3, objective=0.7, seconds=5.0, trainable_parameters=5),
        row(4, objective=0.95, seconds=1.0, trainable_parameters=1, status="stopped early"),
        row(5, objective=0.9, seconds=10.0, trainable_parameters=100),  # 0's equal
    ]
    assert [r["trial"] for r in pareto_front(rows, "max")] == ["00000", "00005", "00001", "00003"]
    assert [r["trial"] for r in pareto_front(rows, "min")] == ["00003", "00001"]
    unknown = row(6, objective=float("nan"), seconds=0.1, trainable_parameters=1)
    assert pareto_front([*rows, unknown], "max") == pareto_front(rows, "max")
