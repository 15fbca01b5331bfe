"""Where a run is kept: in its folder, or behind a URL whose files the folder mirrors.

With a URL, trials write their checkpoints there from wherever they run, and the driver their
records. The folder on the driver's machine has what a person reads; what it lacks is fetched, so
that another machine can go on with `--resume`.
"""

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

from raytl.errors import CorruptError, RaytlError
from raytl.files import write_atomically
from raytl.predictions import FILE_NAME as PREDICTIONS
from raytl.predictions import Predictions
from raytl.remote_files import filesystem_of
from raytl.sweeping.kept.trial_folder import Saved, TrialFolder

# What stands in a run's folder besides its trials' folders.
OWN_FILES = (
    "study.yaml", "environment.json", "ranking.json", "leaderboard.json", "leaderboard.csv",
    "confirmation.json", "report.html",
)  # fmt: skip
OWN_FOLDERS = ("best", "predictions", "tensorboard")


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
        """Copy what is kept into the folder: what raytl wrote, where it is missing, and each
        trial's record and error, but no checkpoints."""
        if not self.remote:
            return
        for name in self._names(""):
            own = name.split("/")[0] in (*OWN_FILES, *OWN_FOLDERS)
            if own and (self.run / name).exists():
                continue
            if own or ("/" in name and "/checkpoint-" not in name):
                self._copy(name, up=False)

    def trial(self, name: str) -> TrialFolder:
        """Return the folder of a trial."""
        return TrialFolder(self.filesystem, f"{self.path}/{name}")

    def read(self, name: str) -> str | None:
        """Return a kept text file; None where it is not there."""
        try:
            with self.filesystem.open_input_file(f"{self.path}/{name}") as file:
                return bytes(file.read()).decode()
        except (FileNotFoundError, UnicodeDecodeError):
            return None

    def write(self, name: str, text: str) -> None:
        """Keep a text file, whole or not at all."""
        if not self.remote:
            (self.run / name).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self.run / name, text)
            return
        _make_parent(self.filesystem, f"{self.path}/{name}")
        with self.filesystem.open_output_stream(f"{self.path}/{name}") as file:
            file.write(text.encode())

    def newest_checkpoint(self, trial: str) -> Path:
        """Return the last checkpoint of a trial, fetched into the run's folder if it is kept
        elsewhere."""
        at = PurePosixPath(self._newest(trial).path)
        if self.remote:
            for file in self._names(f"{trial}/{at.name}"):
                self._copy(file, up=False)
        return self.run / trial / at.name

    def predictions(self, trial: str) -> Predictions:
        """Return the test predictions of a confirmed trial's folder. Raises CorruptError where they
        are not there or not whole."""
        return Predictions.read(f"{self._newest(trial).path}/{PREDICTIONS}", self.filesystem)

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
