"""Errands are done while others go on, and none gets lost."""

import threading

import pytest

from raytl.sweeping.kept import errands
from raytl.sweeping.kept.errands import Errands


def test_nobody_waits_for_an_errand_but_the_end() -> None:
    begun, go_on, done = threading.Event(), threading.Event(), list[int]()

    def errand() -> None:
        begun.set()
        go_on.wait()
        done.append(1)

    with Errands() as some:
        some.do(errand)
        begun.wait()
        assert not done
        go_on.set()
    assert done == [1]


def test_what_an_errand_raises_is_raised_at_the_end() -> None:
    both, done = threading.Event(), list[int]()

    def errand() -> None:
        both.wait()
        raise OSError("the bucket is gone")

    def study() -> None:
        with Errands() as some:
            some.do(errand)
            some.do(lambda: done.append(1))
            both.set()

    with pytest.raises(OSError, match="bucket is gone"):
        study()
    assert done == []  # it is not asked for more


def test_whoever_brings_the_next_errand_hears_of_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errands, "MOST_LEFT", 0)

    def errand() -> None:
        raise OSError("the bucket is gone")

    some = Errands()
    some.do(errand)
    with pytest.raises(OSError, match="bucket is gone"):
        some.do(lambda: None)


def test_a_study_that_fails_keeps_what_it_had() -> None:
    failed, done = threading.Event(), list[int]()

    def errand() -> None:
        failed.wait()
        done.append(1)

    def study() -> None:
        with Errands() as some:
            some.do(errand)
            some.do(errand)
            failed.set()
            raise ValueError("the study")

    with pytest.raises(ValueError, match="the study"):
        study()
    assert done == [1, 1]


def test_so_many_are_left_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errands, "MOST_LEFT", 2)
    running, most = 0, 0
    lock = threading.Lock()

    def errand() -> None:
        nonlocal running
        with lock:
            running -= 1

    with Errands() as some:
        for _ in range(200):
            with lock:
                running += 1
                most = max(most, running)
            some.do(errand)
    assert running == 0 and most <= 2 + 2
