"""A trial's checkpoints: each is whole or not there, wherever they are kept."""

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pytest
from pyarrow.fs import (
    FileSelector,
    FileSystem,
    FSSpecHandler,
    LocalFileSystem,
    PyFileSystem,
    SubTreeFileSystem,
)

from raytl.errors import CheckpointError
from raytl.sweeping.kept import trial_folder
from raytl.sweeping.kept.trial_folder import COMMIT, TrialFolder, checkpoint_name

CONFIG = {"name": "trial-00000", "seed": 3}
FILES = {"checkpoint.pt": b"weights" * 40, "predictions.arrow": b"rows" * 9}


def in_memory() -> FileSystem:
    return PyFileSystem(FSSpecHandler(fsspec.filesystem("memory")))


@pytest.fixture(params=["local", "subtree", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> TrialFolder:
    """An empty folder on this machine, or on a filesystem that cannot rename folders at once."""
    if request.param == "local":
        return TrialFolder(LocalFileSystem(), str(tmp_path / "run" / "trial-00000"))
    if request.param == "subtree":
        (tmp_path / "bucket").mkdir()
        kept = SubTreeFileSystem(str(tmp_path / "bucket"), LocalFileSystem())
        return TrialFolder(kept, "run/trial-00000")
    return TrialFolder(in_memory(), f"{tmp_path}/trial-00000")


def curve(epochs: int) -> list[dict[str, Any]]:
    return [{"epoch": epoch, "loss": 1 / epoch} for epoch in range(1, epochs + 1)]


def write(at: Path) -> None:
    for name, content in FILES.items():
        (at / name).write_bytes(content)


def save(folder: TrialFolder, epochs: int, *, last: bool = False) -> None:
    folder.save(CONFIG, curve(epochs), write, last=last)


def newest(folder: TrialFolder) -> int:
    """Return after how many epochs the newest whole checkpoint is; 0 where there is none."""
    saved = folder.newest()
    return 0 if saved is None else len(saved.curve)


def names(folder: TrialFolder) -> list[str]:
    found = folder.filesystem.get_file_info(FileSelector(folder.path, allow_not_found=True))
    return sorted(info.base_name for info in found)


def read(folder: TrialFolder, name: str) -> bytes:
    with folder.filesystem.open_input_file(f"{folder.path}/{name}") as file:
        return bytes(file.read())


def overwrite(folder: TrialFolder, name: str, content: bytes) -> None:
    with folder.filesystem.open_output_stream(f"{folder.path}/{name}") as file:
        file.write(content)


def test_the_newest_checkpoint_is_had_again(folder: TrialFolder) -> None:
    assert folder.newest() is None
    save(folder, 1)
    save(folder, 2)
    saved = folder.newest()
    assert saved is not None
    assert (saved.config, saved.curve) == (CONFIG, curve(2))
    with folder.fetched(saved) as here:
        found = {file.name: file.read_bytes() for file in here.iterdir() if file.name != COMMIT}
    assert found == FILES


def alter(folder: TrialFolder, name: str) -> None:
    """Change a bit of a file; its size says nothing."""
    content = bytearray(read(folder, name))
    content[len(content) // 2] ^= 1
    overwrite(folder, name, bytes(content))


@pytest.mark.parametrize("name", FILES)
def test_a_bit_that_has_changed_is_noticed_before_anybody_reads(
    folder: TrialFolder, name: str
) -> None:
    save(folder, 1)
    saved = folder.newest()
    assert saved is not None
    folder.verify(saved, name)
    alter(folder, f"{checkpoint_name(1)}/{name}")
    assert newest(folder) == 1
    with pytest.raises(CheckpointError, match=f"{name} is not what was written"):
        folder.verify(saved, name)
    altered = pytest.raises(CheckpointError, match=f"{name} is not what was written")
    with altered, folder.fetched(saved):
        pass


def test_a_checkpoint_of_an_earlier_raytl_has_no_digests(folder: TrialFolder) -> None:
    save(folder, 1)
    at = f"{checkpoint_name(1)}/{COMMIT}"
    commit = json.loads(read(folder, at))
    assert commit.pop("sha256").keys() == FILES.keys()
    overwrite(folder, at, json.dumps(commit).encode())
    saved = folder.newest()
    assert saved is not None
    with folder.fetched(saved) as here:
        assert (here / "checkpoint.pt").read_bytes() == FILES["checkpoint.pt"]


def test_what_was_fetched_goes_and_what_is_kept_stays(folder: TrialFolder) -> None:
    save(folder, 1)
    saved = folder.newest()
    assert saved is not None
    with folder.fetched(saved) as here:
        assert here.is_dir()
    assert here.exists() == isinstance(folder.filesystem, LocalFileSystem)
    assert newest(folder) == 1


def test_one_before_the_newest_is_kept_and_after_the_last_none(folder: TrialFolder) -> None:
    for epochs in range(1, 5):
        save(folder, epochs)
        assert names(folder) == [checkpoint_name(n) for n in (epochs - 1, epochs) if n]
    save(folder, 5, last=True)
    assert names(folder) == [checkpoint_name(5)]


def test_epochs_are_counted_not_spelled(folder: TrialFolder) -> None:
    for epochs in (9, 10):
        save(folder, epochs)
    assert newest(folder) == 10
    save(folder, 11)
    assert names(folder) == [checkpoint_name(10), checkpoint_name(11)]


def test_a_checkpoint_that_cannot_be_read_gives_way_to_the_one_before(folder: TrialFolder) -> None:
    save(folder, 1)
    save(folder, 2)
    saved = folder.newest()
    assert saved is not None
    folder.drop(saved)
    assert (newest(folder), names(folder)) == (1, [checkpoint_name(1)])
    save(folder, 2)
    assert newest(folder) == 2


def test_nothing_stays_where_nobody_wants_the_weights(folder: TrialFolder) -> None:
    folder.clear()
    save(folder, 1)
    save(folder, 2)
    folder.write_error("a traceback")
    folder.clear()
    assert (newest(folder), names(folder)) == (0, ["error.txt"])
    assert read(folder, "error.txt") == b"a traceback"


def test_an_end_whose_weights_nobody_wants_is_kept_as_its_numbers(folder: TrialFolder) -> None:
    save(folder, 1)
    folder.save(CONFIG, curve(2), None, last=True)
    saved = folder.newest()
    assert saved is not None and saved.curve == curve(2)
    with folder.fetched(saved) as here:
        assert [file.name for file in here.iterdir()] == [COMMIT]
    assert names(folder) == [checkpoint_name(2)]


def test_an_epoch_is_saved_again(folder: TrialFolder) -> None:
    save(folder, 1)
    folder.save(CONFIG | {"seed": 4}, curve(1), lambda at: None, last=False)
    saved = folder.newest()
    assert saved is not None and saved.config["seed"] == 4


@pytest.mark.parametrize("name", [COMMIT, *FILES])
def test_where_a_file_is_cut_off_the_one_before_is_taken(folder: TrialFolder, name: str) -> None:
    save(folder, 1)
    save(folder, 2)
    path = f"{checkpoint_name(2)}/{name}"
    whole = read(folder, path)
    for length in range(len(whole)):
        overwrite(folder, path, whole[:length])
        assert newest(folder) == 1
    overwrite(folder, path, whole)
    assert newest(folder) == 2


@pytest.mark.parametrize("name", [COMMIT, *FILES])
def test_where_a_file_is_missing_the_one_before_is_taken(folder: TrialFolder, name: str) -> None:
    save(folder, 1)
    save(folder, 2)
    folder.filesystem.delete_file(f"{folder.path}/{checkpoint_name(2)}/{name}")
    assert newest(folder) == 1
    folder.filesystem.delete_file(f"{folder.path}/{checkpoint_name(1)}/{name}")
    assert newest(folder) == 0


def test_where_a_file_has_grown_the_one_before_is_taken(folder: TrialFolder) -> None:
    save(folder, 1)
    save(folder, 2)
    overwrite(folder, f"{checkpoint_name(2)}/checkpoint.pt", FILES["checkpoint.pt"] + b"x")
    assert newest(folder) == 1


SHAPES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a list": lambda commit: list(commit),
    "null": lambda commit: None,
    "empty": lambda commit: {},
    "no curve": lambda commit: {k: v for k, v in commit.items() if k != "curve"},
    "no config": lambda commit: {k: v for k, v in commit.items() if k != "config"},
    "names alone": lambda commit: commit | {"files": list(commit["files"])},
    "nested files": lambda commit: commit | {"files": {"checkpoint.pt": {"bytes": 280}}},
    "files are null": lambda commit: commit | {"files": None},
    "files are a number": lambda commit: commit | {"files": 3},
    "the curve is null": lambda commit: commit | {"curve": None},
    "the curve is a number": lambda commit: commit | {"curve": 2},
}


@pytest.mark.parametrize(
    "shape",
    SHAPES,
)
def test_where_a_commit_has_another_shape_the_one_before_is_taken(
    folder: TrialFolder, shape: str
) -> None:
    save(folder, 1)
    save(folder, 2)
    path = f"{checkpoint_name(2)}/{COMMIT}"
    commit = json.loads(read(folder, path))
    overwrite(folder, path, json.dumps(SHAPES[shape](commit)).encode())
    assert newest(folder) == 1


class LostError(Exception):
    """The process is lost."""


def lose(folder: TrialFolder, epochs: int, files: int) -> None:
    """Save a checkpoint until, after so many of its files and half of another one, the process is
    lost."""
    left = files

    def copy(source: str, target: str, **_: Any) -> None:
        nonlocal left
        content, whole, left = Path(source).read_bytes(), left > 0, left - 1
        with folder.filesystem.open_output_stream(str(target)) as file:
            file.write(content if whole else content[: len(content) // 2])
        if not whole:
            raise LostError

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial_folder, "copy_files", copy)
        tree = partial(shutil.copytree, copy_function=copy)
        patch.setattr(shutil, "copytree", tree)
        with pytest.raises(LostError):
            save(folder, epochs)


@pytest.mark.parametrize("files", range(len(FILES) + 1))
def test_a_checkpoint_that_was_not_written_to_its_end_is_not_taken(
    folder: TrialFolder, files: int
) -> None:
    lose(folder, 1, files)
    assert newest(folder) == 0
    folder.filesystem.delete_dir(folder.path)
    save(folder, 1)
    lose(folder, 2, files)
    assert newest(folder) == 1


@pytest.mark.parametrize("folder", ["subtree", "memory"], indirect=True)
def test_the_commit_is_written_when_all_else_is_there(folder: TrialFolder) -> None:
    lose(folder, 1, files=len(FILES))
    found = {name: read(folder, f"{checkpoint_name(1)}/{name}") for name in FILES}
    assert found == FILES


def test_who_comes_after_a_lost_process_writes_the_checkpoint_whole(
    folder: TrialFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(folder, 1)
    lose(folder, 2, files=1)
    monkeypatch.setattr(os, "getpid", lambda: 0)
    save(folder, 2)
    assert newest(folder) == 2


def test_what_a_lost_process_left_behind_goes(tmp_path: Path) -> None:
    folder = TrialFolder(LocalFileSystem(), str(tmp_path / "trial-00000"))
    save(folder, 1)
    lose(folder, 2, files=1)
    save(folder, 2, last=True)
    assert names(folder) == [checkpoint_name(2)]
