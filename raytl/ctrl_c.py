"""Ctrl-C, answered at once by a thread of its own, whatever the main thread is about."""

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import NoReturn

GRACE_S = 2.0  # in which a process may clean up after the second Ctrl-C
EXIT_CODE = 130
SHOW_CURSOR = "\x1b[?25h"  # which a live table has hidden


@contextlib.contextmanager
def answered(stopping: str, ended: str | None = None) -> Iterator[None]:
    """Say `stopping` on stderr as soon as Ctrl-C is pressed meanwhile. What it stops is as without
    this: Python raises KeyboardInterrupt, Tune ends its trials.

    Pressed once more, the process ends within GRACE_S: by what its main thread makes of that, or
    with EXIT_CODE, having said `ended`; where that is None, by the former alone. Nothing is done
    where somebody else answers already, and in another thread than the main one, to which no signal
    comes.
    """
    if threading.current_thread() is not threading.main_thread() or _is_answered():
        yield
        return
    # The interpreter writes each signal's number there at once, in C, also while the main thread
    # computes and does not come to Python's own handler.
    numbers, written = socket.socketpair()
    written.setblocking(False)
    before = signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=_answer, args=(numbers, stopping, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        written.close()
        thread.join()  # it has said what it has to say
        numbers.close()


def _is_answered() -> bool:
    before = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before)
    return before != -1


def _answer(numbers: socket.socket, stopping: str, ended: str | None) -> None:
    """Say what there is to say at each Ctrl-C, until the block is over."""
    pressed, end = 0, None
    while True:
        numbers.settimeout(None if end is None else max(0.001, end - time.monotonic()))
        try:
            read = numbers.recv(64)
        except TimeoutError:
            assert ended is not None
            _end(ended)
        if not read:
            return
        for _ in range(read.count(signal.SIGINT)):
            pressed += 1
            if pressed == 1:
                print(stopping, file=sys.stderr, flush=True)
            elif end is None and ended is not None:
                end = time.monotonic() + GRACE_S


def _end(ended: str) -> NoReturn:
    """End the process, its main thread in the midst of whatever it does. A run loses nothing: what
    is kept is written whole or not at all, and its processes end with this one."""
    if sys.stderr.isatty():
        os.write(2, SHOW_CURSOR.encode())
    os.write(2, f"{ended}\n".encode())
    os._exit(EXIT_CODE)
