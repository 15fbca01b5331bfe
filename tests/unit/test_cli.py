"""The command line: exit codes, one- to three-line errors, nothing heavy for --help."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from raytl import cli, verbs
from raytl.errors import CorruptError

LIGHT = """
import sys
sys.argv = ["raytl", "--help"]
import raytl
from raytl.cli import main
try:
    main()
except SystemExit as stop:
    assert stop.code == 0
heavy = {"torch", "ray", "torchvision", "optuna", "sklearn", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["raytl", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


def test_help_and_import_are_light() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    for verb in ("shard", "inspect", "pretrain", "rank", "sweep", "report", "predict", "demo"):
        assert verb in done.stdout


def test_shard_inspect_and_existing_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "digits"
    assert run(monkeypatch, "shard", "digits", out, "--size", "16") == 0
    assert "train 1000, test 797 rows" in capsys.readouterr().out
    assert run(monkeypatch, "inspect", out) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["kind"] == "dataset"
    assert found["image"]["shape"] == [16, 16, 1]
    assert found["splits"]["train"]["classes"]["0"] == 99
    assert run(monkeypatch, "shard", "digits", out) == 2
    assert "exists already" in capsys.readouterr().err


def test_shard_says_what_nobody_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("a.npz", X=np.zeros((6, 2, 2), np.uint8), y=np.arange(6) % 2)
    assert run(monkeypatch, "shard", "arrays", "a.npz", "[red]out[/x]", "--split", "train=X,y",
               "--classes", "a,b,c") == 0  # fmt: skip
    printed = capsys.readouterr()
    assert "note: split train: 1 of 3 classes have no row: c" in printed.err
    assert "[red]out[/x]: train 6 rows" in printed.out


MISTAKES = """
import sys
sys.argv = ["raytl", *{arguments}]
from raytl.cli import main
try:
    main()
except SystemExit as stop:
    assert stop.code == 2, stop.code
heavy = {{"torch", "ray", "torchvision", "optuna", "sklearn", "matplotlib"}} & set(sys.modules)
assert not heavy, heavy
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["shard", "mnst", "a", "b"],
        ["shard", "torchvision", "MNST", "b"],
        ["shard", "image-folder", "nowhere", "b"],
        ["shard", "arrays", "nowhere.npz", "b", "--split", "train=X,y"],
        ["inspect", "nowhere"],
    ],
)
def test_a_mistake_is_told_before_anything_heavy_is_imported(arguments: list[str]) -> None:
    code = MISTAKES.format(arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["shard", "mnst", "a", "b"], 2, "did you mean 'mnist'"),
        (["shard", "mnist", "out"], 2, "needs SOURCE and OUT"),
        (["shard", "mnist", "nowhere", "out"], 2, "train-images-idx3-ubyte.gz is missing"),
        (["shard", "arrays", "a.npz", "out", "--split", "train"], 2, "expected NAME=IMAGES,LABELS"),
        (["shard", "a", "b", "c", "d"], 2, "takes KIND [SOURCE] OUT"),
        (["shard", "digits", "out", "--fit", "squash"], 2, "fit"),
        (["shard", "digits", "out", "--size", "1000000"], 2, "--size: must be 1 to 4096 pixels"),
        (["shard", "digits", "src", "out"], 2, "needs OUT alone"),
        (["shard", "digits", "file/out"], 2, "cannot be made: Not a directory"),
        (["shard", "arrays", "a.npz", "out", "--split", "../x=X,y"], 2, "got '../x'"),
        (
            ["shard", "arrays", "a.npz", "out", *2 * ["--split", "train=X,y"]],
            2,
            "split 'train' is given twice",
        ),
        (["shard", "torchvision", "MNST", "out"], 2, "did you mean 'MNIST'"),
        (["sweep", "none.yaml"], 2, "none.yaml: cannot read the study"),
        (["inspect", "nowhere"], 2, "neither a dataset"),
        (["report", "nowhere"], 2, "not a run folder"),
        (["predict", "nowhere", "nowhere"], 2, "no source model here"),
        (["pretrain", "--dataset", "no", "--backbone", "lenet", "--out", "o"], 2, "no dataset"),
    ],
)
def test_mistakes_end_in_a_line_and_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert run(monkeypatch, *arguments) == code
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert len(error.strip().splitlines()) <= 3
    assert not (tmp_path / "out").exists()


def test_failures_are_code_1_and_ctrl_c_is_130(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise CorruptError("x.arrow: SHA-256 differs")

    monkeypatch.setattr(verbs, "inspect", broken)
    assert run(monkeypatch, "inspect", "x") == 1
    assert "raytl: x.arrow: SHA-256 differs" in capsys.readouterr().err

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(verbs, "inspect", interrupted)
    assert run(monkeypatch, "inspect", "x") == 130


def test_what_nobody_foresaw_is_code_1_with_a_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(verbs, "inspect", broken)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert run(monkeypatch, "inspect", "x") == 1
    error = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero" in error
    assert "Traceback" not in error
    log = next(tmp_path.glob("raytl-error-*.log"))
    assert "Traceback" in log.read_text()
    assert log.name in error.replace("\n", "")
