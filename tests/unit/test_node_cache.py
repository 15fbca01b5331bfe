"""A node's copies: fetched once, bounded, whole."""

import os
import pickle
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from raytl.errors import CorruptError, RaytlError, UserError
from raytl.node_cache import NodeCache, limit_bytes
from raytl.sweeping.on_ray.faults import kind_of


def of_bytes(count: int) -> Callable[[Path], None]:
    return lambda to: to.write_bytes(bytes(count)) and None


def held(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir() if file.suffix != ".lock"}


def test_what_is_there_is_not_fetched_again(tmp_path: Path) -> None:
    cache = NodeCache(tmp_path, 100)
    path = cache.get("a", of_bytes(3))
    assert path.read_bytes() == bytes(3)
    assert NodeCache(tmp_path, 100).get("a", of_bytes(4)).read_bytes() == bytes(3)


def test_who_waits_too_long_is_told_what_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raytl.node_cache.LOCK_S", 0.01)
    cache = NodeCache(tmp_path, 100)

    def slowly(to: Path) -> None:
        with pytest.raises(RaytlError, match="another process of this node has been fetching"):
            NodeCache(tmp_path, 100).get("a", of_bytes(4))
        to.write_bytes(bytes(3))

    assert cache.get("a", slowly).read_bytes() == bytes(3)


def test_what_was_used_longest_ago_makes_room(tmp_path: Path) -> None:
    cache = NodeCache(tmp_path, 100)
    for age, name in enumerate("abc"):
        os.utime(cache.get(name, of_bytes(30)), (age, age))
    cache.get("a", of_bytes(0))  # used
    cache.get("d", of_bytes(30))
    assert held(tmp_path) == {"a", "c", "d"}


def test_all_entries_together_keep_the_limit(tmp_path: Path) -> None:
    cache = NodeCache(tmp_path, 1000)
    for number in range(50):
        cache.get(f"e{number}", of_bytes(90))
        assert sum((tmp_path / name).stat().st_size for name in held(tmp_path)) <= 1000
    assert "e49" in held(tmp_path)


def test_many_processes_that_fetch_little_keep_the_limit_too(tmp_path: Path) -> None:
    for number in range(200):
        NodeCache(tmp_path, 1000).get(f"e{number}", of_bytes(15))
        assert sum((tmp_path / name).stat().st_size for name in held(tmp_path)) <= 1000


def test_a_process_has_one_cache_which_counts_all_that_it_fetches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path))
    monkeypatch.setenv("RAYTL_SHARD_CACHE_BYTES", "1000")
    for number in range(200):
        NodeCache.of_node().get(f"e{number}", of_bytes(15))
    files = [tmp_path / "fetched" / name for name in held(tmp_path / "fetched")]
    assert sum(file.stat().st_size for file in files) <= 1020


def test_sent_to_another_node_it_is_the_cache_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "here"))
    monkeypatch.setenv("RAYTL_SHARD_CACHE_BYTES", "1000")
    sent = pickle.dumps(NodeCache.of_node())
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "there"))
    monkeypatch.setenv("RAYTL_SHARD_CACHE_BYTES", "77")
    assert pickle.loads(sent) == NodeCache(tmp_path / "there" / "fetched", 77)


def test_of_several_that_need_it_one_fetches(tmp_path: Path) -> None:
    fetched: list[int] = []
    started = threading.Barrier(4)

    def fetch(to: Path) -> None:
        fetched.append(1)
        to.write_text("x")

    def reader() -> None:
        started.wait(10)
        NodeCache(tmp_path, 100).get("a", fetch)

    threads = [threading.Thread(target=reader) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert fetched == [1]


def test_a_copy_that_comes_broken_is_fetched_again_and_given_up_in_the_end(tmp_path: Path) -> None:
    tries: list[int] = []

    def flaky(to: Path) -> None:
        tries.append(1)
        to.write_text("half")
        if len(tries) < 3:
            raise CorruptError("half")

    assert NodeCache(tmp_path, 100).get("a", flaky).read_text() == "half"
    assert len(tries) == 3
    with pytest.raises(CorruptError):
        NodeCache(tmp_path, 100).get("b", lambda to: (_ for _ in ()).throw(CorruptError("no")))
    assert held(tmp_path) == {"a"}


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / ".a.12345678.partial").write_text("half")
    NodeCache(tmp_path, 100).get("a", of_bytes(1))
    assert held(tmp_path) == {"a"}


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RaytlError, match="cannot make this folder: .*RAYTL_CACHE") as raised:
        NodeCache(tmp_path / "file", 100).get("a", of_bytes(1))
    assert kind_of(raised.value) == "machine"


def test_the_limit_is_a_number_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYTL_SHARD_CACHE_BYTES", "12")
    assert limit_bytes() == 12
    for wrong in ("0", "-1", "1e9", "much"):
        monkeypatch.setenv("RAYTL_SHARD_CACHE_BYTES", wrong)
        with pytest.raises(UserError, match="RAYTL_SHARD_CACHE_BYTES.*bytes >= 1"):
            limit_bytes()
    monkeypatch.delenv("RAYTL_SHARD_CACHE_BYTES")
    assert limit_bytes() > 10**6
