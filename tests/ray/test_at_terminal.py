"""A sweep at a terminal: the live table, and Ctrl-C pressed there."""

import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from ray_processes import epochs_reported
from terminal_support import CTRL_C, Terminal, at_terminal

from raytl.config import Study, dump_study

MakeStudy = Callable[..., Study]

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def command(tiny_study: MakeStudy, tmp_path: Path) -> list[str]:
    """A sweep whose trials take long, but their epochs do not."""
    study = tiny_study(
        space={"optimizer.lr": {"choice": [0.01, 0.04]}},
        train={"epochs": 200, "batch_size": 16, "steps_per_epoch": 20},
    )
    file = tmp_path / "study.yaml"
    file.write_text(dump_study(study))
    run = str(tmp_path / "run")
    return [
        sys.executable, "-m", "raytl.cli", "sweep", str(file), "--out", run, "--no-store"
    ]  # fmt: skip


def begin(terminal: Terminal, run: Path) -> None:
    terminal.wait_for("left: ")
    while epochs_reported(run) < 2:
        assert terminal.read(1.0) and terminal.process.poll() is None, terminal.written[-5000:]


def test_ctrl_c_is_answered_at_once_and_the_study_goes_on_later(
    command: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    again = f"go on with: raytl sweep {tmp_path / 'study.yaml'} --out {run} --resume --no-store"
    with at_terminal(*command, columns=300) as terminal:
        begin(terminal, run)
        assert "tiny: by target validation accuracy" in terminal.written
        assert "trial-00000" in terminal.written
        terminal.press(CTRL_C)
        seconds = terminal.wait_for("stopping (epochs that are done are kept", within=60)
        print(f"answered after {seconds:.3f} s")
        assert terminal.wait() == 130
    assert f"stopped; {again}" in terminal.written.replace("\r\n", "\n").rsplit("stopping", 1)[1]
    assert "Traceback" not in terminal.written
    shown, hidden = (terminal.written.rfind(code) for code in ("\x1b[?25h", "\x1b[?25l"))
    assert shown > hidden  # the cursor is there again
    assert epochs_reported(run) >= 2


def test_a_second_ctrl_c_ends_at_once_and_leaves_no_process(
    command: list[str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with at_terminal(*command, columns=300) as terminal:
        begin(terminal, run)
        children = psutil.Process(terminal.process.pid).children(recursive=True)
        assert any("raylet" in child.name() for child in children)
        terminal.press(CTRL_C)
        terminal.wait_for("stopping (", within=60)
        terminal.press(CTRL_C)
        assert terminal.wait(60) == 130
        assert psutil.wait_procs(children, timeout=30)[1] == []
    assert "stopped; go on with: raytl sweep" in terminal.written
    assert "Traceback" not in terminal.written
