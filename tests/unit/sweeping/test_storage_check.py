"""What a node is found to be able to do behind a URL, on a local S3 server and on one that
refuses."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem
from metadata_server import aws, metadata_service
from pyarrow.fs import FileInfo, FSSpecHandler, PyFileSystem
from ray_processes import free_port
from s3_server import s3_bucket

from raytl.errors import RaytlError
from raytl.remote_files import files_in
from raytl.sweeping.on_ray import storage_check
from raytl.sweeping.on_ray.node_facts import unwatched
from raytl.sweeping.on_ray.spot_notices import Aws
from raytl.sweeping.on_ray.storage_check import check_storage, delete_note, write_note
from raytl.urls import Url


def test_a_bucket_that_is_well_has_nothing_left_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_bucket(monkeypatch) as bucket:
        url = bucket / "runs"
        note = write_note(url, "text")
        found = check_storage(url, note, "text")
        assert found.refused == []
        assert found.skew_s is not None and abs(found.skew_s) < 2
        assert set(files_in(url)) == {note}
        delete_note(url, note)
        assert not files_in(bucket)


def test_another_bucket_than_the_drivers_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_bucket(monkeypatch) as bucket:
        note = write_note(bucket / "runs", "text")
        (other,) = check_storage(bucket / "others", note, "text").refused
        assert note in other
        (changed,) = check_storage(bucket / "runs", note, "other text").refused
    assert "cannot read what the driver wrote to it: it gives 'text'" in changed


def test_no_bucket_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_bucket(monkeypatch) as bucket:
        nowhere = Url(bucket.replace("s3://bucket", "s3://nowhere"))
        with pytest.raises(RaytlError, match=r"s3://nowhere/runs: (cannot|may not) write it: "):
            write_note(nowhere / "runs", "text")
        (refused,) = check_storage(nowhere / "runs", "note", "text").refused
    assert "s3://nowhere/runs: cannot write it" in refused


def test_a_bucket_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage_check, "ANSWER_S", 0.2)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    where = f"region=us-east-1&scheme=http&endpoint_override=127.0.0.1:{free_port()}"
    found = check_storage(Url(f"s3://bucket/runs?{where}"), "note", "text")
    assert found.refused == ["cannot reach it: no answer within 0.2 s"]


class Refusing(MemoryFileSystem):  # type: ignore[misc]
    """A file system in memory without one of its ways."""

    cachable = False
    refused = ""

    def find(self, path: str, *args: Any, **more: Any) -> Any:
        return {} if self.refused == "list" else super().find(path, *args, **more)

    def rm(self, path: str, *args: Any, **more: Any) -> None:
        if self.refused == "delete":
            raise PermissionError("AccessDenied")
        super().rm(path, *args, **more)


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def refuse(what: str) -> None:
        Refusing.store.clear()
        Refusing.pseudo_dirs[:] = [""]
        filesystem = Refusing()
        filesystem.refused = what
        place = (PyFileSystem(FSSpecHandler(filesystem)), "/runs")
        monkeypatch.setattr(storage_check, "filesystem_of", lambda url: place)

    yield refuse
    Refusing.store.clear()


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("list", "memory://runs: cannot list it: what was just written is not in the list"),
        ("delete", "memory://runs: may not delete it (AccessDenied); give this machine"),
    ],
)
def test_what_is_refused_is_named(what: str, text: str, refusing: Callable[[str], None]) -> None:
    refusing(what)
    url = Url("memory://runs")
    (refused,) = check_storage(url, write_note(url, "text"), "text").refused
    assert refused.startswith(text)


@pytest.mark.parametrize(
    ("written", "skew"), [(100, 0.0), (101, 0.0), (99, 0.5), (97, 2.5), (105, -4.0)]
)
def test_clocks_are_compared_to_the_second(written: int, skew: float) -> None:
    info = FileInfo("x", mtime=datetime.fromtimestamp(written, UTC))
    assert storage_check._skew([info], before=100.5, after=101.0) == skew
    assert storage_check._skew([FileInfo("x")], before=100.5, after=101.0) is None


@dataclass
class Process:
    """What is seen of a process of the machine."""

    info: dict[str, list[str]]


def test_a_spot_machine_without_a_watcher_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    running: list[Process] = []
    monkeypatch.setattr("psutil.process_iter", lambda _: running)
    with metadata_service(aws(None)) as service:
        assert unwatched(Aws(service.base)) == "a spot machine without `raytl watch-spot`"
        running.append(Process({"cmdline": ["python", "raytl", "watch-spot"]}))
        assert unwatched(Aws(service.base)) is None
        running.clear()
        service.answer = aws(None, life_cycle="on-demand")
        assert unwatched(Aws(service.base)) is None
    silent = Aws(f"http://127.0.0.1:{free_port()}")
    assert "cannot be asked whether it is a spot machine" in str(unwatched(silent))
