"""`raytl new` on the command line."""

import subprocess
import sys
from pathlib import Path

import pytest
from starting_support import table

from raytl.cli import main

HELP = """
import sys
sys.argv = ["raytl", "new", "--help"]
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
        main()
    return int(stop.value.code or 0)


def test_help_loads_nothing_heavy() -> None:
    subprocess.run([sys.executable, "-c", HELP], check=True, timeout=120, capture_output=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere: no such file or folder"),
        (["loans.csv", "--labels", "some"], "--labels must be all, none, or a number"),
        (["loans.csv", "--labels", "none"], "--source DATA2"),
        (["loans.csv", "--minutes", "-1"], "--minutes > 0 must hold"),
        (["loans.csv", "--out", "no/such/folder.yaml"], "is not there; make it first"),
        (["loans.csv", "--target", "paid"], "no column 'paid'"),
        (["s3://bucket/x", "--labels", "none"], "--source DATA2"),
    ],
)
def test_mistakes_are_told_in_a_line(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "loans.csv")
    assert run(monkeypatch, "new", *arguments) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("*.yaml")) and not (tmp_path / "data").exists()


def test_it_says_what_to_run_next(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "loans.csv")
    assert run(monkeypatch, "new", "loans.csv", "--minutes", "2") == 0
    said = capsys.readouterr()
    assert "sharding: raytl shard table loans.csv data/loans --target target --test 0.2" in said.err
    assert said.out == "loans.yaml: read it, then `raytl sweep loans.yaml`\n"
