"""Ctrl-C is answered while the main thread is busy, and a second one ends the process."""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from raytl.ctrl_c import EXIT_CODE, answered

# One call into C that no signal handler of Python interrupts, for minutes.
BUSY = "hashlib.pbkdf2_hmac('sha256', b'a', b'b', 10**9)"
PROGRAM = """
import hashlib
import sys
from raytl.ctrl_c import answered
try:
    with answered("stopping", "ended"):
        print("begun", file=sys.stderr, flush=True)
        {work}
except KeyboardInterrupt:
    print("interrupted", file=sys.stderr, flush=True)
    sys.exit(3)
"""
Child = subprocess.Popen[bytes]


def begin(work: str) -> Child:
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(work=work)], stderr=subprocess.PIPE
    )
    assert said(child, "begun")
    return child


def said(child: Child, words: str, within: float = 20.0) -> bool:
    """Whether the child says the words on a line of its own before the time is over."""
    assert child.stderr is not None
    read, end = b"", time.monotonic() + within
    while f"{words}\n" not in read.decode() and time.monotonic() < end:
        if select.select([child.stderr], [], [], end - time.monotonic())[0]:
            part = os.read(child.stderr.fileno(), 4096)
            if not part:
                break
            read += part
    return f"{words}\n" in read.decode()


@pytest.fixture
def busy() -> Iterator[Child]:
    child = begin(BUSY)
    with child:
        process, end = psutil.Process(child.pid), time.monotonic() + 60
        begun = process.cpu_times().user
        while process.cpu_times().user < begun + 0.1:  # which it takes in the call into C alone
            assert time.monotonic() < end
            time.sleep(0.02)
        yield child
        child.kill()


def test_it_is_answered_while_the_main_thread_is_busy(busy: Child) -> None:
    busy.send_signal(signal.SIGINT)
    assert said(busy, "stopping")
    assert busy.poll() is None  # nothing else came of it yet


def test_a_second_one_ends_what_is_still_busy(busy: Child) -> None:
    busy.send_signal(signal.SIGINT)
    assert said(busy, "stopping")
    busy.send_signal(signal.SIGINT)
    assert said(busy, "ended")
    assert busy.wait(20) == EXIT_CODE


def test_what_it_interrupts_ends_as_ever() -> None:
    with begin("import time; time.sleep(600)") as child:
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=20)[1] == b"stopping\ninterrupted\n"
    assert child.returncode == 3


def test_whoever_was_first_answers() -> None:
    work = """
        with answered("inner"):
            import time; time.sleep(600)"""
    with begin(work) as child:
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=20)[1] == b"stopping\ninterrupted\n"


def test_without_last_words_the_process_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    """As a notebook's has to: what comes of it is the main thread's affair."""
    pressed = 0

    def note(number: int, frame: object) -> None:
        nonlocal pressed
        pressed += 1

    before = signal.signal(signal.SIGINT, note)
    try:
        with answered("stopping"):
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert pressed == 2 and capsys.readouterr().err == "stopping\n"


def test_without_it_nothing_is_said_and_the_old_ways_come_back(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with answered("stopping", "ended"):
        pass
    assert signal.set_wakeup_fd(-1) == -1
    assert capsys.readouterr().err == ""


def test_in_another_thread_it_does_nothing() -> None:
    entered: list[bool] = []

    def enter() -> None:
        with answered("stopping", "ended"):
            entered.append(True)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join(20)
    assert entered == [True]
