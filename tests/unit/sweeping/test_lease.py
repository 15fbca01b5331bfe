"""Two drivers do not drive one run: neither at once, nor with clocks that disagree."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest

from raytl.errors import RaytlError
from raytl.sweeping.kept import lease as lease_module
from raytl.sweeping.kept.lease import Holder, Lease, leased
from raytl.sweeping.kept.storage import LEASE, RunStorage

ELSEWHERE = Holder("a", "other", "another kernel", pid=7, started=1.0, beat=0)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "LEASE_S", 0.6)
    monkeypatch.setattr(lease_module, "RENEW_S", 0.1)
    monkeypatch.setattr(lease_module, "SETTLE_S", 0.05)


@pytest.fixture(params=["local", "url"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> RunStorage:
    """Where a run is kept: in its folder, or on a filesystem that is not this machine's."""
    url = f"local://{tmp_path}/kept" if request.param == "url" else None
    return RunStorage(tmp_path / "run", url)


@pytest.fixture
def said() -> list[str]:
    return []


def put(storage: RunStorage, holder: Holder) -> None:
    storage.write(LEASE, json.dumps(asdict(holder)))


def test_it_is_there_while_the_run_is_driven(storage: RunStorage, said: list[str]) -> None:
    with leased(storage, said.append) as lease:
        assert storage.read(LEASE) is not None
        lease.check()
    assert storage.read(LEASE) is None
    with leased(storage, said.append):  # the next one need not wait
        pass
    assert said == []


def test_a_second_driver_on_this_machine_is_refused_at_once(
    storage: RunStorage, said: list[str]
) -> None:
    with leased(storage, said.append) as first:
        with pytest.raises(RaytlError, match=r"process \d+ on .* drives this run; wait for it, or"):
            Lease(storage).take(said.append)
        first.check()
    assert said == []


def test_that_of_a_process_of_this_machine_that_is_gone_holds_no_more(
    storage: RunStorage, said: list[str]
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    put(storage, replace(Holder.here(), pid=gone.pid))
    with leased(storage, said.append) as lease:
        lease.check()
    put(storage, replace(Holder.here(), ticks=1))  # this process's number, but another process
    with leased(storage, said.append) as lease:
        lease.check()
    assert said == []


@pytest.fixture
def renewed(storage: RunStorage) -> Iterator[Callable[[Holder], None]]:
    """Let another machine renew a lease."""
    over, threads = threading.Event(), list[threading.Thread]()

    def renew(holder: Holder) -> None:
        while not over.wait(0.1):
            holder = replace(holder, beat=holder.beat + 1)
            put(storage, holder)

    def start(holder: Holder) -> None:
        put(storage, holder)
        threads.append(threading.Thread(target=renew, args=(holder,), daemon=True))
        threads[-1].start()

    yield start
    over.set()
    for thread in threads:
        thread.join()


def test_one_that_is_renewed_elsewhere_is_refused(
    storage: RunStorage, said: list[str], renewed: Callable[[Holder], None]
) -> None:
    renewed(ELSEWHERE)
    with pytest.raises(RaytlError, match="process 7 on other drives this run"):
        Lease(storage).take(said.append)
    assert len(said) == 1 and "driven by process 7 on other at last; going on in" in said[0]


@pytest.mark.parametrize("text", [json.dumps(asdict(ELSEWHERE)), "{", '{"id": "a"}'])
def test_one_that_is_not_renewed_expires(storage: RunStorage, said: list[str], text: str) -> None:
    storage.write(LEASE, text)
    start = time.monotonic()
    with leased(storage, said.append) as lease:
        assert time.monotonic() - start >= lease_module.LEASE_S
        lease.check()
    assert len(said) == 1


def test_one_that_is_given_back_is_waited_for_no_longer(
    storage: RunStorage, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module, "LEASE_S", 300.0)
    put(storage, ELSEWHERE)
    at = f"{storage.path}/{LEASE}"
    threading.Timer(0.3, storage.filesystem.delete_file, [at]).start()
    with leased(storage, said.append):
        pass


def test_of_two_that_come_at_once_one_drives(
    storage: RunStorage, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease_module.time, "sleep", lambda _: put(storage, ELSEWHERE))
    with pytest.raises(RaytlError, match="process 7 on other drives this run"):
        Lease(storage).take(said.append)


def wait_until_lost(lease: Lease) -> None:
    while lease.lost is None:
        time.sleep(0.02)


def test_who_was_cut_off_and_replaced_is_told_and_leaves_the_other_alone(
    storage: RunStorage, said: list[str]
) -> None:
    with leased(storage, said.append) as lease:
        put(storage, ELSEWHERE)
        wait_until_lost(lease)
        with pytest.raises(RaytlError, match="process 7 on other has taken this run over; look"):
            lease.check()
    kept = storage.read(LEASE)
    assert kept is not None and json.loads(kept)["host"] == "other"


def test_who_was_replaced_by_one_that_has_ended_by_now_is_told(
    storage: RunStorage, said: list[str]
) -> None:
    with leased(storage, said.append) as lease:
        storage.filesystem.delete_file(f"{storage.path}/{LEASE}")
        wait_until_lost(lease)
        with pytest.raises(RaytlError, match="its lease is gone: another process"):
            lease.check()
    assert storage.read(LEASE) is None


def test_a_lease_that_is_away_for_a_moment_is_no_loss(
    storage: RunStorage, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with leased(storage, said.append) as lease:
        read, away = RunStorage.read, [True]

        def once_none(self: RunStorage, name: str) -> str | None:
            return None if away and away.pop() else read(self, name)

        monkeypatch.setattr(RunStorage, "read", once_none)
        while away:
            time.sleep(0.02)
        time.sleep(0.3)
        lease.check()


def test_a_step_of_the_clock_ends_nobody(
    storage: RunStorage, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with leased(storage, said.append) as first:
        started = psutil.Process().create_time()
        monkeypatch.setattr(psutil.Process, "create_time", lambda _: started + 5)
        with pytest.raises(RaytlError, match=r"process \d+ on .* drives this run; wait for it, or"):
            Lease(storage).take(said.append)
        first.check()
    assert said == []


def test_those_of_earlier_versions_are_read(storage: RunStorage) -> None:
    now = asdict(Holder.here())
    del now["ticks"]
    for holder, alive in ((now, True), (now | {"started": 1.0}, False)):
        storage.write(LEASE, json.dumps(holder))
        there = lease_module.lease_of(storage)
        assert there is not None and there.pid == now["pid"] and there.alive is alive


def test_who_cannot_renew_it_is_told_once_it_may_have_expired(
    storage: RunStorage, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: RunStorage, name: str) -> str:
        raise OSError("slow down")

    with leased(storage, said.append) as lease:
        start = time.monotonic()
        monkeypatch.setattr(RunStorage, "read", fail)
        wait_until_lost(lease)
        assert time.monotonic() - start > lease_module.LEASE_S - lease_module.RENEW_S
        with pytest.raises(RaytlError, match="could not be renewed: slow down"):
            lease.check()
