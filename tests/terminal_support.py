"""A command at a terminal of its own, as a person has it: what it writes, and keys to press."""

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass

CTRL_C = b"\x03"
# Makes the terminal the one that Ctrl-C comes from, then becomes the command.
TAKE_OVER = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


@dataclass
class Terminal:
    """`written`: all that the command has written so far."""

    process: subprocess.Popen[bytes]
    fd: int
    written: str = ""

    def wait_for(self, words: str, within: float = 120.0) -> float:
        """Return after how many seconds the words are there."""
        begin = time.monotonic()
        while words not in self.written:
            left = begin + within - time.monotonic()
            assert left > 0 and self.read(left), f"no '{words}' in:\n{self.written[-5000:]}"
        return time.monotonic() - begin

    def read(self, within: float) -> bool:
        """Read what comes next; return whether there may be more."""
        if not select.select([self.fd], [], [], max(0.0, within))[0]:
            return True
        try:
            part = os.read(self.fd, 65536)
        except OSError:  # the terminal's other end is closed
            return False
        self.written += part.decode(errors="replace")
        return bool(part)

    def press(self, key: bytes) -> None:
        """Press a key."""
        os.write(self.fd, key)

    def wait(self, within: float = 120.0) -> int:
        """Return the command's exit code once it has ended."""
        end = time.monotonic() + within
        while self.read(0.2) and self.process.poll() is None:
            assert time.monotonic() < end, self.written[-5000:]
        return self.process.wait(max(1.0, end - time.monotonic()))


@contextlib.contextmanager
def at_terminal(*command: str, columns: int = 140, rows: int = 50) -> Iterator[Terminal]:
    """Run a command at a terminal; end it where the test has not."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    own = {name: value for name, value in os.environ.items() if name not in ("CI", "COLUMNS")}
    with subprocess.Popen(
        [sys.executable, "-c", TAKE_OVER, *command], stdin=theirs, stdout=theirs, stderr=theirs,
        env=own | {"TERM": "xterm-256color", "RAY_ADDRESS": "local"},
    ) as process:  # fmt: skip
        os.close(theirs)
        try:
            yield Terminal(process, ours)
        finally:
            process.kill()
            os.close(ours)
