"""One cell of `peers.py`: a tool on a data set, in a process tree of its own, for some minutes."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
from peer_data import SOURCES, Split, write
from peer_scores import Answers, check_rows, score
from peer_tools import OURS, SCRIPTS, TOOLS, Installed, bare, lines_of

Key = tuple[str, str, float, int, int]
TOLD = 0.8  # of the minutes: what a tool is told to take, as its start and predicting take some too
LOG, PREDICTIONS, WEIGHTS = "log.txt", "predictions.csv", "weights"
PREPARING = 600  # seconds at most, for weights in a tool's own form; not of its minutes
KEPT = (LOG, PREDICTIONS, "study.yaml")  # of a cell's folder
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "WANDB_MODE": "offline",
}
# A network and a list of processes of its own, all of which end with the first one. What waits for
# a network that is not there fails at once, and a cluster of Ray's elsewhere is not found.
OWN_SPACE = ["unshare", "--map-root-user", "--net", "--pid", "--fork", "--mount-proc",
             "--kill-child", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]  # fmt: skip


@dataclass(frozen=True)
class Asked:
    """`minutes`: of wall time, with start and predicting; a cell that is not done `grace` seconds
    later is ended."""

    minutes: float
    seed: int
    grace: float
    data: Path
    envs: Path
    work: Path


@dataclass(frozen=True)
class Record:
    """A line of the results. `rows`: of the test. `why_not`: there is no score, and why. `late`:
    seconds over the minutes; `alone`: whether it had no network at all, or was only told so by
    variables."""

    tool: str
    dataset: str
    minutes: float
    seed: int
    rows: int
    lines: int
    version: str = ""
    seconds: float | None = None
    late: float = 0.0
    alone: bool | None = None
    score: float | None = None
    why_not: str | None = None
    predicted: list[str] = field(default_factory=list)
    rare: list[float] | None = None

    @property
    def key(self) -> Key:
        """What a cell is called when it is looked for among those that are done."""
        return self.tool, self.dataset, self.minutes, self.seed, self.rows

    @property
    def answers(self) -> Answers:
        """What was said of the test rows."""
        return Answers(self.predicted, self.rare)

    def line(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)


def run_cell(tool: str, dataset: str, split: Split, asked: Asked, found: Installed) -> Record:
    """Run a tool on a data set, once; what goes wrong in it is said in the record."""
    script = SCRIPTS / TOOLS[tool].script
    blank = Record(
        tool, dataset, asked.minutes, asked.seed, len(split.test), lines_of(script), found.version
    )
    why = found.why_not and f"not installed: {found.why_not}"
    why = TOOLS[tool].cannot.get(dataset) or why
    if why is not None:
        return _with(blank, why_not=why)
    source, folder = SOURCES[dataset], asked.work / f"{tool}-{dataset}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write(split, folder, by_class=source.by_class)
    space = own_space()
    with tempfile.TemporaryDirectory(prefix="peers-") as scratch:
        variables = _variables(tool, found.python, folder, Path(scratch))
        try:
            _prepare(tool, found.python, asked.data, folder, variables)
        except RuntimeError as error:
            return _with(blank, why_not=str(error))
        command = [*space, *_command(script, found.python, dataset, TOLD * asked.minutes)]
        limit = 60 * asked.minutes + asked.grace
        code, seconds = run_bounded(command, folder, variables, limit)
    record = _with(
        blank, seconds=round(seconds, 1), late=round(max(0.0, seconds - 60 * asked.minutes), 1),
        alone=bool(space),
    )  # fmt: skip
    if code is None:
        return _with(record, why_not=f"no prediction within {limit:.0f} s")
    try:
        answers = TOOLS[tool].answers(folder / PREDICTIONS, source.rare)
        check_rows(answers, split.truth)
    except (OSError, ValueError, KeyError) as error:
        said = last_words(folder / LOG) if code != 0 else str(error)
        return _with(record, why_not=f"exit code {code}: {said}")
    _tidy(folder)
    return _with(
        record, score=score(split.truth, answers, source.rare), predicted=answers.predicted,
        rare=answers.rare,
    )  # fmt: skip


def _with(record: Record, **more: Any) -> Record:
    return Record(**(asdict(record) | more))


def own_space() -> list[str]:
    """Return what a command begins with to have no network; nothing where that is not allowed."""
    if not shutil.which("unshare") or not shutil.which("ip"):
        return []
    done = subprocess.run([*OWN_SPACE, "true"], capture_output=True, timeout=60)
    return OWN_SPACE if done.returncode == 0 else []


def _command(script: Path, python: Path, dataset: str, minutes: float) -> list[str]:
    runs = ["sh"] if script.suffix == ".sh" else [str(python)]
    return [*runs, str(script.resolve()), dataset, f"{minutes:g}"]


def _variables(tool: str, python: Path, folder: Path, scratch: Path) -> dict[str, str]:
    """Return a cell's environment: its interpreter first, no network, places of its own to write
    to. Ray's sockets have short names only in a short `scratch`."""
    own = dict(os.environ) if tool == OURS else bare(os.environ)
    places = {"TMPDIR": scratch, "HOME": scratch, "TORCH_HOME": folder / WEIGHTS / "torch"}
    path = {"PATH": f"{python.absolute().parent}{os.pathsep}{os.environ['PATH']}"}
    return own | OFFLINE | path | {name: str(place.absolute()) for name, place in places.items()}


def _prepare(tool: str, python: Path, data: Path, folder: Path, variables: dict[str, str]) -> None:
    """Write the weights in the tool's own form, with the tool's own libraries. Raises
    RuntimeError."""
    command = [str(python), str(SCRIPTS / "weights.py"), tool, str(data / "pretrained"), WEIGHTS]
    code, _ = run_bounded(command, folder, variables, PREPARING)
    if code != 0:
        raise RuntimeError(f"the weights could not be prepared: {last_words(folder / LOG)}")


def run_bounded(
    command: list[str], folder: Path, variables: dict[str, str], seconds: float
) -> tuple[int | None, float]:
    """Run a command in a folder, where its output is kept; return its exit code, None where it took
    longer than it may and was ended with all its processes, and how long it took."""
    start = time.perf_counter()
    with (folder / LOG).open("ab") as log:
        process = subprocess.Popen(
            command, cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=log,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            code: int | None = process.wait(seconds)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            end_tree(process)
    return code, time.perf_counter() - start


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """End a process that still runs, and all that it started."""
    if process.poll() is not None:
        return
    try:
        every = [*psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        every = []
    process.kill()
    for one in every:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()


def last_words(log: Path) -> str:
    """Return the last line of a log that says something, by which a failure is told; what an
    interpreter says while it ends is about nothing."""
    text = log.read_text("utf-8", "replace") if log.exists() else ""
    lines = [line.strip() for line in text.partition("Exception ignored in")[0].splitlines()]
    return next((line[:400] for line in reversed(lines) if line), "it said nothing")


def _tidy(folder: Path) -> None:
    """Keep of a cell what a person looks at: trained models and pictures take gigabytes."""
    for path in folder.iterdir():
        if path.name not in KEPT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def records_of(lines: Iterable[dict[str, Any]]) -> dict[Key, Record]:
    """Return the records of a results file by cell; of two of one cell the later one."""
    return {record.key: record for record in (Record(**line) for line in lines)}
