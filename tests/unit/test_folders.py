"""Where a node keeps what it maps: never on a file system that others share."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from raytl import folders
from raytl.errors import UserError
from raytl.files import check_writable, write_atomically
from raytl.folders import (
    check_place,
    new_folder,
    node_folder,
    refuse_existing,
    shared_type,
    sharing_note,
)
from raytl.node_cache import NodeCache
from raytl.remote_files import delete, put_text
from raytl.training.cache_entries import cache_folder
from raytl.urls import Url

Mount = Callable[..., None]


@pytest.fixture
def mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mount:
    """Say what is mounted where, besides a disk at the root."""

    def mounted(**kinds: str) -> None:
        folders._shared_type.cache_clear()
        found = [SimpleNamespace(mountpoint="/", fstype="ext4")]
        found += [
            SimpleNamespace(mountpoint=str(tmp_path / name), fstype=kind)
            for name, every in kinds.items()
            for kind in every.split()
        ]
        monkeypatch.setattr("psutil.disk_partitions", lambda all: found)

    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "home" / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "local"))
    yield mounted
    folders._shared_type.cache_clear()


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "lustre", "ceph", "fuse.sshfs"])
def test_what_is_mapped_never_lies_where_nodes_share_it(
    mount: Mount, tmp_path: Path, kind: str
) -> None:
    mount(home=kind)
    own = tmp_path / "local" / f"raytl-{os.getuid()}"
    assert node_folder() == own
    assert cache_folder() == own / "prefix"
    assert NodeCache.of_node().folder == own / "fetched"
    note = sharing_note()
    assert note is not None and len(note.splitlines()) == 1
    assert f"{tmp_path}/home/cache lies on {kind}" in note and str(own) in note


@pytest.mark.parametrize("kind", ["ext4", "xfs", "overlay", "tmpfs", "fuse.fuse-overlayfs"])
def test_a_node_keeps_what_it_maps_on_its_own_disk(mount: Mount, tmp_path: Path, kind: str) -> None:
    mount(home=kind)
    assert node_folder() == tmp_path / "home" / "cache"
    assert sharing_note() is None


def test_what_is_mounted_deepest_counts(mount: Mount, tmp_path: Path) -> None:
    mount(home="nfs4", **{"home/cache": "ext4", "home/cach": "nfs"})
    assert shared_type(tmp_path / "home") == "nfs4"
    assert shared_type(tmp_path / "home" / "cache" / "prefix") is None
    (tmp_path / "link").symlink_to(tmp_path / "home")
    folders._shared_type.cache_clear()
    assert shared_type(tmp_path / "link" / "other") == "nfs4"


def test_what_is_mounted_last_at_a_place_counts(mount: Mount, tmp_path: Path) -> None:
    mount(home="autofs nfs4")
    assert shared_type(tmp_path / "home") == "nfs4"
    mount(home="nfs4 ext4")
    assert shared_type(tmp_path / "home") is None


@pytest.mark.parametrize("there", ["nothing", "an empty folder", "an earlier one"])
def test_force_replaces_what_is_told_by_a_file(tmp_path: Path, there: str) -> None:
    out = tmp_path / "out"
    if there != "nothing":
        out.mkdir()
    if there == "an earlier one":
        (out / "source.json").touch()
    with new_folder(out, force=True, told_by="source.json") as folder:
        (folder / "new").touch()
    assert [path.name for path in out.iterdir()] == ["new"]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_force_replaces_nothing_else(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "out"
    if kind == "folder":
        out.mkdir()
        (out / "thesis.txt").touch()
    else:
        out.touch()
    with (
        pytest.raises(UserError, match=r"--force replaces what .* \(source.json is missing\)"),
        new_folder(out, force=True, told_by="source.json"),
    ):
        pass
    assert kind == "file" or (out / "thesis.txt").exists()


@pytest.mark.parametrize("there", ["nothing", "thesis.txt", "source.json"])
def test_force_replaces_behind_a_url_what_it_replaces_here(tmp_path: Path, there: str) -> None:
    out = Url(f"memory://{tmp_path.name}/out")
    if there != "nothing":
        put_text("{}", out / there)
    try:
        if there == "thesis.txt":
            with pytest.raises(UserError, match=r"this is none \(source.json is missing\)"):
                refuse_existing(out, force=True, told_by="source.json")
        else:
            refuse_existing(out, force=True, told_by="source.json")
    finally:
        delete(out / there)


@pytest.mark.parametrize("length", [243, 247, 248, 251, 255, 256, 300])
def test_what_can_be_written_is_known_before(tmp_path: Path, length: int) -> None:
    """A file or folder is written under a longer name first."""
    place = tmp_path / ("x" * length)
    if length <= 250:
        check_writable(place)
        write_atomically(place, "text")
        place.unlink()
    else:
        with pytest.raises(UserError, match="cannot be written: File name too long"):
            check_writable(place)
    if length <= 246:
        check_place(place)
        with new_folder(place):
            pass
    else:
        with pytest.raises(UserError, match="cannot make this folder: File name too long"):
            check_place(place)


def test_a_file_in_a_folder_that_is_closed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    with pytest.raises(UserError, match="the folder .* may not be written to; give another one"):
        check_writable(tmp_path / "file.csv")


def test_a_link_stays_and_what_it_names_is_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for name, named in (("link", "there/file"), ("dangling", "there/new"), ("lost", "no/file")):
        (tmp_path / name).symlink_to(named)
    (tmp_path / "there" / "file").write_text("old")
    for name, named in (("link", "file"), ("dangling", "new")):
        check_writable(tmp_path / name)
        write_atomically(tmp_path / name, "text")
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / "there" / named).read_text() == "text"
    with pytest.raises(UserError, match="lost: the folder .*no is not there; make it first"):
        check_writable(tmp_path / "lost")


def test_what_is_no_file_is_written_to_and_never_replaced(tmp_path: Path) -> None:
    """As root, renaming over /dev/null would take it from everyone."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    check_writable(pipe)
    write_atomically(pipe, "text")
    assert os.read(reader, 9) == b"text" and pipe.is_fifo()
    os.close(reader)


def test_a_folder_that_may_not_be_looked_into_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(_: Path) -> Iterator[Path]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", closed)
    with pytest.raises(UserError, match="cannot look into this folder: Permission denied"):
        refuse_existing(tmp_path, force=True, told_by="source.json")
