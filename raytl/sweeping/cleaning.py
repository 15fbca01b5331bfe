"""What a run's folder holds that nobody needs any more: found, and deleted.

A run of today's raytl deletes it itself; what earlier ones left, a process that was killed, or a
search with prefix features that nodes share, is found here.
"""

import io
import itertools
import json
import os
import re
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from pyarrow.fs import FileSelector, FileType

from raytl.errors import CorruptError, UserError
from raytl.sweeping.kept.lease import lease_of
from raytl.sweeping.kept.records import FILE_NAME as RECORD
from raytl.sweeping.kept.records import read_record
from raytl.sweeping.kept.snapshot import OWN_FOLDERS
from raytl.sweeping.kept.storage import FEATURES, RunStorage
from raytl.sweeping.kept.trial_folder import COMMIT
from raytl.sweeping.search.selection import CONFIRM

# Of a trial, finished or just being written, by this raytl or, with `_`, by those before 2026-11-26
CHECKPOINT = re.compile(r"^\.?checkpoint[-_](\d+)")
WEIGHTS = "checkpoint.pt"
HALF, SHARED = "checkpoints that were never finished", "prefix features that nodes shared"
ENDED, OLDER = "checkpoints of trials that have ended", "checkpoints before a trial's last"
OPTIMISER, COPIES = "optimiser state of retrainings", "copies of checkpoints kept elsewhere"


@dataclass(frozen=True)
class Needless:
    """What can go: a folder, or of a file of weights what is not weights. `path`: in the run."""

    path: str
    bytes: int
    why: str


@dataclass(frozen=True)
class Cleaned:
    """What was found in a run. `bytes`: of all that it holds, before."""

    run: Path
    bytes: int
    needless: tuple[Needless, ...]

    @property
    def freed(self) -> int:
        """The bytes that go."""
        return sum(of.bytes for of in self.needless)

    @property
    def of_earlier(self) -> bool:
        """Whether an earlier raytl wrote checkpoints that go, without which it cannot go on."""
        return any("/checkpoint_" in of.path for of in self.needless)

    @property
    def reasons(self) -> dict[str, tuple[int, int]]:
        """Why → how many, and their bytes."""
        found: dict[str, tuple[int, int]] = {}
        for of in self.needless:
            count, total = found.get(of.why, (0, 0))
            found[of.why] = (count + 1, total + of.bytes)
        return found


@dataclass(frozen=True)
class _Run:
    """A run's files. `finished`: whether its study has run to its end. `retrained`: the folders of
    confirmed trials."""

    storage: RunStorage
    finished: bool
    retrained: Collection[str]
    files: Mapping[str, int]  # path in the run → bytes, where the run is kept

    @property
    def trials(self) -> dict[str, dict[str, int]]:
        """Trial → its checkpoints' folders → their bytes."""
        found: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for path, size in self.files.items():
            trial, _, rest = path.partition("/")
            folder = rest.partition("/")[0]
            if trial not in OWN_FOLDERS and CHECKPOINT.match(folder):
                found[trial][folder] += size
        return found


def clean(run: Path, *, force: bool = False, dry_run: bool = False) -> Cleaned:
    """Delete what a run's folder, or what it is kept in behind a URL, holds needlessly; with
    `dry_run` find it alone.

    What is left is all that going on, `raytl report` and `raytl export` need. Of trials that have
    not ended the last checkpoint stays, with `force` too. Raises UserError where the folder holds
    no run, where a process drives it, and without `force` where it is not known to have ended;
    CorruptError where its confirmation.json is broken.
    """
    found = _opened(run, force=force)
    parts = (_features(found), _checkpoints(found), _optimisers(found), _copies(found))
    needless = tuple(itertools.chain(*parts))
    for of in () if dry_run else needless:
        if of.why == OPTIMISER:
            _strip(run / of.path)
        elif of.why == COPIES:
            shutil.rmtree(run / of.path)
        else:
            found.storage.filesystem.delete_dir(f"{found.storage.path}/{of.path}")
    copied = sum(of.bytes for of in needless if of.why == COPIES)
    return Cleaned(run, sum(found.files.values()) + copied, needless)


def _opened(run: Path, *, force: bool) -> _Run:
    if not (run / "study.yaml").exists():
        raise UserError(f"{run}: is no run folder: it holds no study.yaml")
    storage = RunStorage(run, _storage_path(run / "study.yaml"))
    holder = lease_of(storage)
    if holder is not None and (holder.alive or (holder.alive is None and not force)):
        doubt = "" if holder.alive else ", or did when it was last heard of; then give --force"
        raise UserError(f"{run}: {holder.text} drives this run{doubt}; clean it when it has ended")
    finished = _finished(run)
    if not finished and not force:
        raise UserError(
            f"{run}: this study has not run to its end; go on with --resume, or give --force: the "
            "last checkpoints of trials that have not ended stay"
        )
    selector = FileSelector(storage.path, recursive=True)
    infos = storage.filesystem.get_file_info(selector)
    sizes = {
        info.path[len(storage.path) :].lstrip("/"): info.size
        for info in infos
        if info.type == FileType.File
    }
    return _Run(storage, finished, _retrained(run), sizes)


def _storage_path(file: Path) -> str | None:
    """Return where a study keeps its run. An earlier raytl may have had other keys, so that the
    study is not checked."""
    try:
        resources = yaml.safe_load(file.read_text(encoding="utf-8")).get("resources") or {}
        path = resources.get("storage_path")
    except (OSError, ValueError, AttributeError, yaml.YAMLError) as error:
        raise UserError(f"{file}: is no study of a run: {' '.join(str(error).split())}") from None
    return None if path is None else str(path)


def _finished(run: Path) -> bool:
    try:
        board = json.loads((run / "leaderboard.json").read_text(encoding="utf-8"))
        complete, unconfirmed = board["state"] == "complete", board.get("unconfirmed")
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
    return complete and (unconfirmed is not None or (run / "confirmation.json").exists())


def _features(run: _Run) -> Iterator[Needless]:
    size = sum(size for path, size in run.files.items() if path.startswith(f"{FEATURES}/"))
    if size and run.finished:
        yield Needless(FEATURES, size, SHARED)


def _checkpoints(run: _Run) -> Iterator[Needless]:
    for trial, checkpoints in sorted(run.trials.items()):
        begun = [name for name in checkpoints if name.startswith(".")]
        whole = sorted(checkpoints.keys() - set(begun), key=_number)
        keeps = _keeps(run, trial)
        going = whole if keeps is None else whole[: len(whole) - keeps]
        for name in begun:
            yield Needless(f"{trial}/{name}", checkpoints[name], HALF)
        for name in going:
            why = OLDER if keeps else ENDED
            yield Needless(f"{trial}/{name}", checkpoints[name], why)


def _number(name: str) -> int:
    found = CHECKPOINT.match(name)
    assert found is not None
    return int(found[1])


def _keeps(run: _Run, trial: str) -> int | None:
    """Return how many of a trial's checkpoints are kept, None for not one: of a retraining the
    last, for its weights, of a trial that is or may be gone on with two, should one be corrupt."""
    if trial in run.retrained or trial.startswith(CONFIRM):
        return 1 if run.finished else 2
    record = read_record(run.storage, trial)
    if record is None:
        return None if run.finished else 2
    members = record.config.get("fused", {}).get("members", [])
    ended = all(f"{of['name']}/{RECORD}" in run.files for of in members)
    return 2 if record.doubted or not (ended or run.finished) else None


def _retrained(run: Path) -> set[str]:
    """Return the folders of the retrainings that confirmation.json names, also of older ones.
    Raises CorruptError where it is broken: their weights could not be told from others."""
    file = run / "confirmation.json"
    if not file.exists():
        return set()
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return {of["folder"] for candidate in content["candidates"] for of in candidate["runs"]}
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptError(
            f"{file}: cannot be read ({error!r:.100}), so that nothing is deleted; copy the run "
            "again, or go on with `raytl sweep … --resume`"
        ) from None


def _copies(run: _Run) -> Iterator[Needless]:
    """Yield the checkpoints that were fetched from where the run is kept."""
    if not run.storage.remote:
        return
    here = run.storage.run
    for folder in sorted(here.glob("*/*/")):
        if CHECKPOINT.match(folder.name) and folder.parent.name not in OWN_FOLDERS:
            size = sum(file.stat().st_size for file in folder.iterdir())
            yield Needless(folder.relative_to(here).as_posix(), size, COPIES)


def _optimisers(run: _Run) -> Iterator[Needless]:
    """Yield the weights of retrainings in which an earlier raytl left the optimiser's state. Those
    of today's are committed without it."""
    if not run.finished or run.storage.remote:
        return
    for trial, checkpoints in sorted(run.trials.items()):
        if _keeps(run, trial) == 1:
            whole = [name for name in checkpoints if not name.startswith(".")]
            if not whole:
                continue
            last = max(whole, key=_number)
            file = f"{trial}/{last}/{WEIGHTS}"
            if file in run.files and f"{trial}/{last}/{COMMIT}" not in run.files:
                thin = _thin(run.storage.run / file)
                if thin is not None:
                    yield Needless(file, run.files[file] - len(thin), OPTIMISER)


def _thin(file: Path) -> bytes | None:
    """Return a checkpoint's file without the optimiser's state; None where there is none in it, or
    it cannot be read: of that nothing is thrown away."""
    import torch

    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception:
        return None
    if not isinstance(state, dict) or state.get("optimizer") is None:
        return None
    buffer = io.BytesIO()
    torch.save(state | {"optimizer": None}, buffer)
    return buffer.getvalue()


def _strip(file: Path) -> None:
    thin = _thin(file)
    if thin is not None:
        written = file.with_name(f".{file.name}.thin")
        written.write_bytes(thin)
        os.replace(written, file)
