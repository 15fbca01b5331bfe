"""Where a run is kept: in its folder, or behind a URL whose files the folder mirrors.

With a URL, trials write their checkpoints there from wherever they run, and the driver their
records and snapshots of all else. The folder on the driver's machine has what a person reads; what
it lacks is fetched, so that another machine can go on with `--resume`.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Any

from pyarrow.fs import (
    FileSelector,
    FileSystem,
    FileType,
    LocalFileSystem,
    copy_files,
)

from raytl.errors import CheckpointError, CorruptError, RaytlError, why_not_written
from raytl.files import write_atomically
from raytl.predictions import FILE_NAME as PREDICTIONS
from raytl.predictions import Predictions
from raytl.remote_files import CHUNK, WITHOUT_FOLDERS, filesystem_of, refusal
from raytl.sweeping.kept import snapshot
from raytl.sweeping.kept.patience import patiently
from raytl.sweeping.kept.trial_folder import Saved, TrialFolder, verify
from raytl.training.published import NOTHING_SHARED, Shared
from raytl.urls import Place, Url

AT_ONCE = 16  # files that are fetched at once: each waits for the network, not for this machine
FEATURES = "prefix"  # the folder of features that nodes share, beside the trials' own
LEASE = "lease.json"  # of the process that drives the run


@dataclass(frozen=True)
class RunStorage:
    """The folder of a run, and the URL under which it is kept, if there is one. `shared`: what its
    trials share of prefix features."""

    run: Path
    storage_path: str | None = None
    shared: Shared = NOTHING_SHARED

    def __post_init__(self) -> None:
        # Now: trials, to which this is sent, run in folders of their own.
        object.__setattr__(self, "_place", str(self.run.resolve()))
        # Of a link its own name; "." has none
        object.__setattr__(self, "_name", os.path.basename(os.path.abspath(self.run)))

    def __getstate__(self) -> dict[str, Any]:
        # Each process reaches the filesystem for itself, with its own credentials.
        return {name: value for name, value in vars(self).items() if name != "_kept"}

    @cached_property
    def _kept(self) -> tuple[FileSystem, str]:
        if self.storage_path is None:
            return LocalFileSystem(), str(vars(self)["_place"])
        try:
            filesystem, path = filesystem_of(self.storage_path)
        except RaytlError as error:
            raise type(error)(f"resources.storage_path: {error}") from None
        return filesystem, f"{path.rstrip('/')}/{vars(self)['_name']}"

    @property
    def filesystem(self) -> FileSystem:
        return self._kept[0]

    @property
    def path(self) -> str:
        """The run's folder on `filesystem`."""
        return self._kept[1]

    @property
    def features(self) -> Place:
        """Where the run's nodes share prefix features."""
        if self.storage_path is None:
            return Path(self.path) / FEATURES
        return Url(self.storage_path) / vars(self)["_name"] / FEATURES

    @property
    def remote(self) -> bool:
        return self.storage_path is not None

    @contextlib.contextmanager
    def being_written(self) -> Iterator[None]:
        """Raise RaytlError for what this machine does not let be written into the folder."""
        try:
            yield
        except OSError as error:
            raise RaytlError(
                f"{self.run}: cannot write the run: {why_not_written(error)}"
            ) from error

    @contextlib.contextmanager
    def _reaching(self, what: str) -> Iterator[None]:
        """Let what the filesystem raises name where the run is kept."""
        try:
            yield
        except OSError as error:
            raise refusal(f"resources.storage_path: {self.path}", what, error) from error

    def holds_a_run(self) -> bool:
        """Whether a study was started here, wherever it stands."""
        with self._reaching("read"):
            info = self.filesystem.get_file_info(f"{self.path}/study.yaml")
        return bool(info.type != FileType.NotFound)

    def push(self, *, whole: bool = True) -> None:
        """Keep a snapshot of what raytl wrote into the folder; with `whole`, its folders, too."""
        if not self.remote:
            return
        with self._reaching("write"):
            snapshot.take(self.run, self._upload, whole=whole)

    def pull(self) -> None:
        """Copy what is kept into the folder, where it is not there: what raytl wrote, and each
        trial's record and error, but no checkpoints; and what the run goes on by, as it is
        kept."""
        if not self.remote:
            return
        with self._reaching("read"):
            files = self._files("")
            self._fetch([name for name, size in files.items() if self._lacks(name, size)])
        snapshot.unpack(self.run)

    def _lacks(self, name: str, size: int) -> bool:
        if snapshot.is_part(name):
            return snapshot.lacks(self.run, name)
        here = self.run / name
        of_trial = "/" in name and "/checkpoint-" not in name
        of_trial &= not name.startswith(f"{FEATURES}/")
        return of_trial and not (here.exists() and here.stat().st_size == size)

    def trial(self, name: str) -> TrialFolder:
        """Return the folder of a trial."""
        return TrialFolder(self.filesystem, f"{self.path}/{name}")

    def read(self, name: str) -> str | None:
        """Return a kept text file; None where it is not there. Raises RaytlError where the storage
        cannot be reached."""

        def read() -> str | None:
            try:
                with self.filesystem.open_input_file(f"{self.path}/{name}") as file:
                    return bytes(file.read()).decode()
            except (FileNotFoundError, UnicodeDecodeError):
                return None

        if not self.remote:
            return read()
        with self._reaching("read"):
            return patiently(read)

    def write(self, name: str, text: str) -> None:
        """Keep a text file, whole or not at all; raises as `read`."""
        if not self.remote:
            self._write_here(name, text)
            return

        def write() -> None:
            self._make_parent(name)
            with self.filesystem.open_output_stream(f"{self.path}/{name}") as file:
                file.write(text.encode())

        with self._reaching("write"):
            patiently(write)

    def write_both(self, name: str, text: str) -> None:
        """Keep a text file, and have it in the folder, too."""
        self.write(name, text)
        if self.remote:
            self._write_here(name, text)

    def read_nearest(self, name: str) -> str | None:
        """Return a text file that is written once: from the folder, if it is there; else as it is
        kept."""
        try:
            return (self.run / name).read_text(encoding="utf-8")
        except (FileNotFoundError, UnicodeDecodeError):
            return self.read(name)

    def _write_here(self, name: str, text: str) -> None:
        (self.run / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.run / name, text)

    def newest_checkpoint(self, trial: str) -> Path:
        """Return the last checkpoint of a trial, fetched into the run's folder if it is kept
        elsewhere. Raises CorruptError where it is not there, or not what was written: then it
        goes, and is trained again when the run is resumed."""
        saved = self._newest(trial)
        at = PurePosixPath(saved.path)
        if self.remote:
            self._fetch(list(self._files(f"{trial}/{at.name}")))
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
            raise CorruptError(
                f"{self.path}/{trial}: the trial's checkpoint is missing, or not whole; copy the "
                "run again, or go on with --resume: it is trained again"
            )
        return saved

    def _files(self, folder: str) -> dict[str, int]:
        """Return the kept files of a folder, by their paths in the run, with their bytes."""
        at = f"{self.path}/{folder}".rstrip("/")
        selector = FileSelector(at, recursive=True, allow_not_found=True)
        return {
            str(PurePosixPath(info.path).relative_to(self.path)): info.size
            for info in patiently(lambda: self.filesystem.get_file_info(selector))
            if info.type == FileType.File
        }

    def _fetch(self, names: list[str]) -> None:
        """Copy kept files into the folder."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for _ in pool.map(lambda name: patiently(lambda: self._fetch_one(name)), names):
                pass

    def _fetch_one(self, name: str) -> None:
        here = self.run / name
        partial = here.with_name(f".{here.name}.partial")
        here.parent.mkdir(parents=True, exist_ok=True)
        copy_files(
            f"{self.path}/{name}", str(partial), source_filesystem=self.filesystem,
            destination_filesystem=LocalFileSystem(),
        )  # fmt: skip
        partial.replace(here)

    def _upload(self, file: IO[bytes], name: str) -> None:
        def upload() -> None:
            file.seek(0)
            self._make_parent(name)
            with self.filesystem.open_output_stream(f"{self.path}/{name}") as there:
                shutil.copyfileobj(file, there, CHUNK)

        patiently(upload)

    def _make_parent(self, name: str) -> None:
        if self.filesystem.type_name not in WITHOUT_FOLDERS:
            parent = PurePosixPath(f"{self.path}/{name}").parent
            self.filesystem.create_dir(str(parent), recursive=True)
