"""The folder of one trial: its checkpoints, each with the metrics of all epochs so far.

A checkpoint is committed whole or not at all, so a trial that was lost anywhere goes on from what
its folder holds, and what it has reported can be reported again.
"""

import contextlib
import hashlib
import json
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyarrow.fs import FileSelector, FileSystem, FileType, LocalFileSystem, copy_files

from raytl.errors import CheckpointError
from raytl.files import sha256_of
from raytl.remote_files import WITHOUT_FOLDERS
from raytl.sweeping.kept.patience import patiently

Metrics = dict[str, Any]
# Written last: the trial, its metrics, and the sizes and SHA-256 of the other files
COMMIT = "commit.json"
READ = 2**20  # bytes at a time
KEPT = 2  # checkpoints of a trial in training: one may be found corrupt
ERROR_LOG = "error.txt"
FAILURE = "failure.json"  # of a trial that another of its group has trained


def checkpoint_name(epoch: int) -> str:
    """Return the name of the checkpoint after `epoch` epochs."""
    return f"checkpoint-{epoch:05d}"


def verify(checkpoint: Path) -> None:
    """Raise CheckpointError where a file of a checkpoint's folder on this machine is not what was
    written: torch reads weights of which a bit has changed."""
    try:
        wanted = json.loads((checkpoint / COMMIT).read_bytes()).get("sha256", {})  # none before
        altered = [name for name in wanted if sha256_of(checkpoint / name) != wanted[name]]
    except (FileNotFoundError, ValueError) as error:
        raise CheckpointError(f"{checkpoint}: is no whole checkpoint: {error}") from None
    if altered:
        raise CheckpointError(f"{checkpoint}: {altered[0]} is not what was written")


@dataclass(frozen=True)
class Saved:
    """A whole checkpoint: where it is, of which trial, the metrics of all epochs up to it, and the
    SHA-256 of its files, which older ones do not have."""

    path: str
    config: dict[str, Any]
    curve: Sequence[Metrics]
    sha256: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class TrialFolder:
    """`path`: of the folder on `filesystem`."""

    filesystem: FileSystem
    path: str

    def save(
        self,
        config: dict[str, Any],
        curve: Sequence[Metrics],
        save: Callable[[Path], None] | None,
        *,
        last: bool,
    ) -> None:
        """Write the checkpoint of the last epoch in `curve`. `save` writes its files into a folder;
        None where nobody wants the weights. `last`: no further one follows, and those before
        go."""
        with tempfile.TemporaryDirectory(prefix="raytl-") as temporary:
            folder = Path(temporary)
            if save is not None:
                save(folder)
            files = sorted(folder.iterdir())
            commit = {
                "config": config, "curve": list(curve),
                "files": {file.name: file.stat().st_size for file in files},
                "sha256": {file.name: sha256_of(file) for file in files},
            }  # fmt: skip
            (folder / COMMIT).write_text(json.dumps(commit), encoding="utf-8")
            self._publish(folder, checkpoint_name(len(curve)))
        self._prune(1 if last else KEPT)

    def _publish(self, folder: Path, name: str) -> None:
        target = f"{self.path}/{name}"
        if isinstance(self.filesystem, LocalFileSystem):
            draft = Path(f"{self.path}/.{name}.{uuid.uuid4().hex}")
            shutil.copytree(folder, draft)
            shutil.rmtree(target, ignore_errors=True)
            draft.replace(target)
            return
        if self.filesystem.type_name not in WITHOUT_FOLDERS:
            self.filesystem.create_dir(target, recursive=True)
        for file in sorted(folder.iterdir(), key=lambda file: file.name == COMMIT):
            copy_files(
                str(file), f"{target}/{file.name}", source_filesystem=LocalFileSystem(),
                destination_filesystem=self.filesystem,
            )  # fmt: skip

    def newest(self) -> Saved | None:
        """Return the newest whole checkpoint."""
        return next(self.whole(), None)

    def whole(self) -> Iterator[Saved]:
        """Yield the whole checkpoints, the newest first."""
        for path in self._listed()[0]:
            saved = self._open(path)
            if saved is not None:
                yield saved

    def _listed(self) -> tuple[list[str], list[str]]:
        """Return the paths of all checkpoints, the newest first, and those of checkpoints that were
        begun here; in one request."""
        selector = FileSelector(self.path, allow_not_found=True)
        found = patiently(lambda: self.filesystem.get_file_info(selector))
        names = sorted((info.base_name, info.path) for info in found)
        whole = [path for name, path in names if name.startswith("checkpoint-")]
        return whole[::-1], [path for name, path in names if name.startswith(".checkpoint-")]

    def _open(self, path: str) -> Saved | None:
        try:
            commit = json.loads(self._read(f"{path}/{COMMIT}"))
            sizes, config, curve = dict(commit["files"]), dict(commit["config"]), commit["curve"]
            sha256 = dict(commit.get("sha256", {}))
            files = [f"{path}/{name}" for name in sizes]
            infos = patiently(lambda: self.filesystem.get_file_info(files))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        found = {info.base_name: info.size for info in infos if info.type == FileType.File}
        if found != sizes or not isinstance(curve, list):
            return None
        return Saved(path, config, curve, sha256)

    def verify(self, saved: Saved, name: str) -> None:
        """Raise CheckpointError where a file of a checkpoint is not what was written."""
        digest = hashlib.sha256()
        with self.filesystem.open_input_stream(f"{saved.path}/{name}") as file:
            while part := file.read(READ):
                digest.update(part)
        if digest.hexdigest() != saved.sha256.get(name, digest.hexdigest()):
            raise CheckpointError(f"{saved.path}: {name} is not what was written")

    @contextlib.contextmanager
    def fetched(self, saved: Saved) -> Iterator[Path]:
        """Yield a folder of this machine with the checkpoint's files. Raises CheckpointError where
        they are not what was written."""
        if isinstance(self.filesystem, LocalFileSystem):
            verify(Path(saved.path))
            yield Path(saved.path)
            return
        with tempfile.TemporaryDirectory(prefix="raytl-") as folder:
            copy_files(
                saved.path, folder, source_filesystem=self.filesystem,
                destination_filesystem=LocalFileSystem(),
            )  # fmt: skip
            verify(Path(folder))
            yield Path(folder)

    def drop(self, saved: Saved) -> None:
        """Delete a checkpoint that cannot be read after all."""
        self.filesystem.delete_dir(saved.path)

    def _prune(self, kept: int) -> None:
        """Delete all but the newest, and what processes that were lost had begun."""
        checkpoints, begun = self._listed()
        for path in [*checkpoints[kept:], *begun]:
            with contextlib.suppress(OSError):  # the next one tries again
                self.filesystem.delete_dir(path)

    def clear(self) -> None:
        """Delete all checkpoints: nothing more comes of the trial, and nobody wants its weights."""
        self._prune(0)

    def end(self) -> None:
        """Delete all checkpoints but the last: nothing more comes of the trial."""
        self._prune(1)

    def remove(self) -> None:
        """Delete the folder, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            patiently(lambda: self.filesystem.delete_dir(self.path))

    def write_failure(self, failure: dict[str, Any]) -> None:
        """Keep how the trial ended, for whoever runs it, where another of its group has met it."""
        self._write(FAILURE, json.dumps(failure))

    def failure(self) -> dict[str, Any] | None:
        """Return what `write_failure` kept; None where there is nothing whole."""
        try:
            return dict(json.loads(self._read(f"{self.path}/{FAILURE}")))
        except (OSError, ValueError, TypeError):
            return None

    def _read(self, path: str) -> bytes:
        def read() -> bytes:
            with self.filesystem.open_input_file(path) as file:
                return bytes(file.read())

        return patiently(read)

    def write_error(self, text: str) -> None:
        """Keep what the trial failed of."""
        self._write(ERROR_LOG, text)

    def _write(self, name: str, text: str) -> None:
        if self.filesystem.type_name not in WITHOUT_FOLDERS:
            self.filesystem.create_dir(self.path, recursive=True)

        def write() -> None:
            with self.filesystem.open_output_stream(f"{self.path}/{name}") as file:
                file.write(text.encode())

        patiently(write)
