"""The tools of `peers.py`: what a user of each wrote, what is installed for it, what it cannot do.

A tool's script is started in a folder with `train.csv`, `test.csv`, the pictures that these name
and `weights/`, with the name of the data set and the minutes that it may take, and leaves
`predictions.csv` in the tool's own form.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from peer_scores import Answers, of_autogluon, of_ludwig, of_raytl

SCRIPTS = Path(__file__).parent / "peers"
INSTALLING = 3600  # seconds at most
OURS = "raytl"
TORCH = "torch===2.13.0"  # PyPI's own: torchvision's operators are not in builds for CPUs alone
IMAGES_ALONE = "it classifies images, and nothing else so far (its README)"


@dataclass(frozen=True)
class Tool:
    """`script`: among SCRIPTS. `requirements`: pinned, installed into an environment of its own;
    none of raytl, which is taken from the environment that runs the benchmark. `cannot`: why, by
    data set. `python`: what the environment is made with, on the PATH; by default what runs the
    benchmark."""

    called: str
    script: str
    answers: Callable[[Path, str | None], Answers]
    requirements: tuple[str, ...] = ()
    cannot: dict[str, str] = field(default_factory=dict)
    python: str = sys.executable


TOOLS = {
    OURS: Tool("raytl", "raytl_new.sh", of_raytl),
    "autogluon": Tool(
        "AutoGluon-MM", "autogluon_mm.py", of_autogluon, ("autogluon.multimodal==1.6.3", TORCH)
    ),
    "ludwig": Tool(
        "Ludwig",
        "ludwig_search.py",
        of_ludwig,
        ("ludwig[distributed,hyperopt]==0.17.10", "timm==1.0.31", TORCH),
        python="python3.12",
    ),
    "quicktune": Tool(
        "Quick-Tune-Tool",
        "quick_tune_tool.py",
        of_autogluon,
        ("quicktunetool==0.0.4",),
        dict.fromkeys(("sentiment", "german", "emoji"), IMAGES_ALONE),
    ),
}


def lines_of(script: Path) -> int:
    """Return how many lines a user wrote: those that are neither blank nor comments, nor of the
    sentence that a Python file begins with."""
    text = script.read_text(encoding="utf-8")
    if text.startswith('"""'):
        text = text.partition('"""')[2].partition('"""')[2]
    lines = (line.strip() for line in text.splitlines())
    return sum(bool(line) and not line.startswith("#") for line in lines)


@dataclass(frozen=True)
class Installed:
    """A tool's interpreter, or why there is none."""

    python: Path
    version: str = ""
    why_not: str | None = None


def installed(name: str, envs: Path) -> Installed:
    """Return a tool's environment, which is made where it is missing. What cannot be installed is
    noted there, and not tried again while the note stands."""
    tool = TOOLS[name]
    if not tool.requirements:
        return Installed(Path(sys.executable), version(name))
    folder = envs / name
    python, note, done = folder / "bin" / "python", folder / "failed.txt", folder / "installed.txt"
    wanted = "\n".join(tool.requirements)
    if note.exists():
        return Installed(python, why_not=note.read_text("utf-8"))
    if not done.exists() or done.read_text("utf-8") != wanted:
        if not shutil.which(tool.python):
            return Installed(python, why_not=f"it needs {tool.python}, which is not on the PATH")
        print(f"installing {wanted} into {folder}", flush=True)
        why = _install(folder, tool)
        if why is not None:
            note.write_text(why, encoding="utf-8")
            return Installed(python, why_not=why)
        done.write_text(wanted, encoding="utf-8")
    return Installed(python, tool.requirements[0].partition("==")[2])


def _install(folder: Path, tool: Tool) -> str | None:
    """Make an environment; return why that failed, None where it did not."""
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--no-cache-dir"]
    folder.mkdir(parents=True, exist_ok=True)
    for command in ([tool.python, "-m", "venv", str(folder)], [*pip, *tool.requirements]):
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=INSTALLING, env=bare(os.environ)
            )
        except subprocess.TimeoutExpired:
            return f"installing took more than {INSTALLING} s"
        if done.returncode != 0:
            said = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            return " ".join(said)[:600] or done.stderr[-600:].strip()
    return None


def bare(environ: os._Environ[str] | dict[str, str]) -> dict[str, str]:
    """Return the environment variables without those of this interpreter, for another one's."""
    own = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    return {key: value for key, value in environ.items() if key not in own}
