"""Who drives a run: one process at a time, from whatever machine.

The driver keeps a lease where the run is kept and renews it while it lives; it expires where the
driver is lost. Whether it is renewed is seen by looking twice, so that clocks need not agree. Who
takes it over from a driver that was cut off, not lost, is noticed by that one within RENEW_S.
"""

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from raytl.errors import RaytlError
from raytl.sweeping.kept.storage import LEASE, RunStorage

LEASE_S = 60.0  # so long without a sign of life a driver is taken for lost
RENEW_S = 10.0
SETTLE_S = 1.0  # after which it is seen who of two that came at once has written last
Say = Callable[[str], None]


@dataclass(frozen=True)
class Holder:
    """A process that drives a run. `machine`: what its `pid` is known to, None where that cannot
    be told; `started`: in seconds since 1970; `beat`: how often it has renewed the lease; `ticks`:
    between the machine's start and its own, None where an earlier version wrote the lease."""

    id: str
    host: str
    machine: str | None
    pid: int
    started: float
    beat: int
    ticks: int | None = None

    @classmethod
    def here(cls) -> "Holder":
        """Return this process."""
        started = psutil.Process().create_time()
        pid, ticks = os.getpid(), None
        with contextlib.suppress(OSError):
            ticks = _ticks(pid)
        return cls(uuid.uuid4().hex, socket.gethostname(), _machine(), pid, started, 0, ticks)

    @property
    def text(self) -> str:
        """How a person finds it."""
        return f"process {self.pid} on {self.host}"

    @property
    def alive(self) -> bool | None:
        """Whether it lives; None where that cannot be told from here."""
        if self.machine is None or self.machine != _machine():
            return None
        if self.ticks is not None:
            try:
                return _ticks(self.pid) == self.ticks
            except OSError:
                return None
        try:
            return psutil.Process(self.pid).create_time() == self.started
        except psutil.NoSuchProcess:
            return False


def _machine() -> str | None:
    """Return what tells apart the kernels, and in them the containers, that number processes."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return None


def _ticks(pid: int) -> int | None:
    """Return after how many ticks of the kernel a process started, which no step of the clock
    changes; None where there is no such process, or no /proc. Raises OSError where it cannot be
    read."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(stat.rpartition(b")")[2].split()[19])  # after the name, which may hold blanks


def lease_of(storage: RunStorage) -> Holder | None:
    """Return which process drives a run, or did last; None where it has ended well."""
    text = storage.read(LEASE)
    return _holder(text) if text else None


def _holder(text: str) -> Holder:
    try:
        return Holder(**json.loads(text))
    except (ValueError, TypeError):  # of another version, or cut off
        return Holder(text, "a machine unknown", None, pid=0, started=0.0, beat=0)


class Lease:
    """This process's right to drive a run, while it holds."""

    def __init__(self, storage: RunStorage) -> None:
        self._storage, self._own = storage, Holder.here()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._renew_on, daemon=True)
        self.lost: str | None = None  # why it holds no more

    def take(self, say: Say) -> None:
        """Raise RaytlError where another process drives the run; wait, if need be, until that is
        known."""
        there = self._there()
        if there is not None and there.alive is not False:
            self._wait_for(there, say)
        self._write()
        time.sleep(SETTLE_S)
        now = self._there()
        if now is None or now.id != self._own.id:
            raise self._refusal(now)
        self._thread.start()

    def check(self) -> None:
        """Raise RaytlError where the lease holds no more."""
        if self.lost is not None:
            raise RaytlError(f"{self._storage.path}: {self.lost}; look which one is to go on")

    def give_back(self) -> None:
        """Let another process drive the run."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()
        if self.lost is None:
            with contextlib.suppress(OSError):
                self._storage.filesystem.delete_file(f"{self._storage.path}/{LEASE}")

    def _wait_for(self, there: Holder, say: Say) -> None:
        """Wait until the lease of a process that may be lost has expired."""
        if there.alive:
            raise self._refusal(there)
        say(
            f"{self._storage.path}: driven by {there.text} at last; going on in {LEASE_S:g} s "
            "unless that gives a sign of life"
        )
        end = time.monotonic() + LEASE_S
        while time.monotonic() < end:
            time.sleep(min(RENEW_S / 4, LEASE_S))
            now = self._there()
            if now is None:  # it has ended well
                return
            if now != there:
                raise self._refusal(now)

    def _refusal(self, there: Holder | None) -> RaytlError:
        who = "another process" if there is None else there.text
        return RaytlError(
            f"{self._storage.path}: {who} drives this run; wait for it, or stop it: "
            f"{LEASE_S:g} s after it is gone the run can be gone on with"
        )

    def _there(self) -> Holder | None:
        return lease_of(self._storage)

    def _write(self) -> None:
        self._storage.write(LEASE, json.dumps(asdict(self._own)))

    def _renew_on(self) -> None:
        good = time.monotonic()
        while self.lost is None and not self._over.wait(RENEW_S):
            try:
                self._renew()
                good = time.monotonic()
            except (OSError, RaytlError) as error:
                if time.monotonic() - good > LEASE_S:
                    self.lost = f"the lease on this run could not be renewed: {error}"

    def _renew(self) -> None:
        text = self._storage.read(LEASE)
        if text is None:  # for a moment, as where a disk is away, or for good
            time.sleep(SETTLE_S)
            text = self._storage.read(LEASE)
        if text is None:
            self.lost = (
                "its lease is gone: another process has taken the run over and ended, or the file "
                "was deleted"
            )
        elif text and (there := _holder(text)).id != self._own.id:  # else its own, cut off
            self.lost = f"{there.text} has taken this run over"
        if self.lost is not None:
            return
        self._own = replace(self._own, beat=self._own.beat + 1)
        self._write()


@contextlib.contextmanager
def leased(storage: RunStorage, say: Say) -> Iterator[Lease]:
    """Drive a run meanwhile. Raises RaytlError where another process does."""
    lease = Lease(storage)
    lease.take(say)
    try:
        yield lease
    finally:
        lease.give_back()
