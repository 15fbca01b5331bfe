"""Where a run is kept: in its folder, or behind a URL whose files the folder mirrors.

With a URL, trials write their checkpoints there from wherever they run, and the driver their
records. The folder on the driver's machine has what a person reads; what it lacks is fetched, so
that another machine can go on with `--resume`.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from pyarrow.fs import (
    FileSelector,
    FileSystem,
    FileType,
    LocalFileSystem,
    copy_files,
)

from raytl.errors import CheckpointError, CorruptError, RaytlError
from raytl.files import write_atomically
from raytl.predictions import FILE_NAME as PREDICTIONS
from raytl.predictions import Predictions
from raytl.remote_files import filesystem_of
from raytl.sweeping.kept.patience import patiently
from raytl.sweeping.kept.trial_folder import Saved, TrialFolder, verify

# What stands in a run's folder besides its trials' folders.
OWN_FILES = (
    "study.yaml", "environment.json", "ranking.json", "leaderboard.json", "leaderboard.csv",
    "confirmation.json", "report.html",
)  # fmt: skip
OWN_FOLDERS = ("best", "predictions", "tensorboard")
LEASE = "lease.json"  # of the process that drives the run
DECIDING = ("study.yaml", "environment.json")  # what a run goes on by: as the last driver kept it


@dataclass(frozen=True)
class RunStorage:
    """The folder of a run, and the URL under which it is kept, if there is one."""

    run: Path
    storage_path: str | None = None

    def __post_init__(self) -> None:
        # Now: trials, to which this is sent, run in folders of their own.
        object.__setattr__(self, "_place", str(self.run.resolve()))

    @cached_property
    def _kept(self) -> tuple[FileSystem, str]:
        if self.storage_path is None:
            return LocalFileSystem(), str(vars(self)["_place"])
        try:
            filesystem, path = filesystem_of(self.storage_path)
        except RaytlError as error:
            raise type(error)(f"resources.storage_path: {error}") from None
        return filesystem, f"{path.rstrip('/')}/{self.run.name}"

    @property
    def filesystem(self) -> FileSystem:
        return self._kept[0]

    @property
    def path(self) -> str:
        """The run's folder on `filesystem`."""
        return self._kept[1]

    @property
    def remote(self) -> bool:
        return self.storage_path is not None

    def holds_a_run(self) -> bool:
        """Whether a study was started here, wherever it stands."""
        try:
            info = self.filesystem.get_file_info(f"{self.path}/study.yaml")
        except OSError as error:
            raise RaytlError(f"resources.storage_path: cannot read {self.path}: {error}") from error
        return bool(info.type != FileType.NotFound)

    def push(self) -> None:
        """Copy what raytl wrote into the folder to where the run is kept."""
        if not self.remote:
            return
        try:
            for top in (*OWN_FILES, *OWN_FOLDERS):
                for file in (self.run / top, *(self.run / top).rglob("*")):
                    if file.is_file():
                        self._copy(file.relative_to(self.run).as_posix(), up=True)
        except OSError as error:
            raise RaytlError(
                f"resources.storage_path: cannot write {self.path}: {error}"
            ) from error

    def pull(self) -> None:
        """Copy what is kept into the folder: what raytl wrote, where it is missing or where the run
        goes on by it, and each trial's record and error, but no checkpoints."""
        if not self.remote:
            return
        try:
            for name in patiently(lambda: list(self._names(""))):
                own = name.split("/")[0] in (*OWN_FILES, *OWN_FOLDERS)
                if own and name not in DECIDING and (self.run / name).exists():
                    continue
                if own or ("/" in name and "/checkpoint-" not in name):
                    self._copy(name, up=False)
        except OSError as error:
            raise RaytlError(f"resources.storage_path: cannot read {self.path}: {error}") from error

    def trial(self, name: str) -> TrialFolder:
        """Return the folder of a trial."""
        return TrialFolder(self.filesystem, f"{self.path}/{name}")

    def read(self, name: str) -> str | None:
        """Return a kept text file; None where it is not there."""

        def read() -> str:
            with self.filesystem.open_input_file(f"{self.path}/{name}") as file:
                return bytes(file.read()).decode()

        try:
            return patiently(read) if self.remote else read()
        except (FileNotFoundError, UnicodeDecodeError):
            return None

    def write(self, name: str, text: str) -> None:
        """Keep a text file, whole or not at all."""
        if not self.remote:
            (self.run / name).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.run / name, text)
            return

        def write() -> None:
            _make_parent(self.filesystem, f"{self.path}/{name}")
            with self.filesystem.open_output_stream(f"{self.path}/{name}") as file:
                file.write(text.encode())

        patiently(write)

    def newest_checkpoint(self, trial: str) -> Path:
        """Return the last checkpoint of a trial, fetched into the run's folder if it is kept
        elsewhere. Raises CorruptError where it is not there, or not what was written: then it
        goes, and is trained again when the run is resumed."""
        saved = self._newest(trial)
        at = PurePosixPath(saved.path)
        if self.remote:
            for file in self._names(f"{trial}/{at.name}"):
                self._copy(file, up=False)
        with self._dropping(trial, saved):
            verify(self.run / trial / at.name)
        return self.run / trial / at.name

    def predictions(self, trial: str) -> Predictions:
        """Return the test predictions of a confirmed trial's folder. Raises CorruptError where they
        are not there or not whole; where they are not what was written, see `newest_checkpoint`."""
        saved = self._newest(trial)
        if PREDICTIONS in saved.sha256:
            with self._dropping(trial, saved):
                self.trial(trial).verify(saved, PREDICTIONS)
        return Predictions.read(f"{saved.path}/{PREDICTIONS}", self.filesystem)

    @contextlib.contextmanager
    def _dropping(self, trial: str, saved: Saved) -> Iterator[None]:
        """Delete a trial's checkpoint where it is not what was written."""
        try:
            yield
        except CheckpointError as error:
            self.trial(trial).drop(saved)
            raise CorruptError(f"{error}; go on with --resume: {trial} is trained again") from None

    def _newest(self, trial: str) -> Saved:
        saved = self.trial(trial).newest()
        if saved is None:
            raise CorruptError(f"{self.path}/{trial}: the trial's checkpoint is missing")
        return saved

    def _names(self, folder: str) -> Iterator[str]:
        """Yield the kept files of a folder by their paths in the run."""
        at = f"{self.path}/{folder}".rstrip("/")
        selector = FileSelector(at, recursive=True, allow_not_found=True)
        for info in self.filesystem.get_file_info(selector):
            if info.type == FileType.File:
                yield str(PurePosixPath(info.path).relative_to(self.path))

    def _copy(self, name: str, *, up: bool) -> None:
        patiently(lambda: self._copy_once(name, up=up))

    def _copy_once(self, name: str, *, up: bool) -> None:
        here, there = str(self.run / name), f"{self.path}/{name}"
        local, kept = LocalFileSystem(), self.filesystem
        if up:
            _make_parent(kept, there)
            copy_files(here, there, source_filesystem=local, destination_filesystem=kept)
        else:
            Path(here).parent.mkdir(parents=True, exist_ok=True)
            copy_files(there, here, source_filesystem=kept, destination_filesystem=local)


def _make_parent(filesystem: FileSystem, path: str) -> None:
    filesystem.create_dir(str(PurePosixPath(path).parent), recursive=True)
