"""The command line: exit codes, one- to three-line errors, nothing heavy for --help."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

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
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True)
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


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["shard", "mnst", "a", "b"], 2, "did you mean 'mnist'"),
        (["shard", "mnist", "out"], 2, "needs SOURCE and OUT"),
        (["shard", "mnist", "nowhere", "out"], 2, "train-images-idx3-ubyte.gz is missing"),
        (["shard", "arrays", "a.npz", "out", "--split", "train"], 2, "expected NAME=IMAGES,LABELS"),
        (["shard", "a", "b", "c", "d"], 2, "takes KIND [SOURCE] OUT"),
        (["shard", "digits", "out", "--fit", "squash"], 2, "fit"),
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
