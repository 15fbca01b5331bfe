"""Batches read ahead in a thread of their own, for a device that computes beside the host."""

import contextlib
import threading
from collections.abc import Callable, Generator, Iterator
from queue import Empty, Full, Queue

import torch

from raytl import devices
from raytl.data.batch import Batch
from raytl.data.feed import Feed, closable
from raytl.ranks import WHOLE, Share

AHEAD = 2  # batches that are ready, at most: the next one, and another where reading stalls
LOOK_S = 0.1  # how often a thread that waits looks whether anybody still wants its batches
LEAVE_S = 30.0  # at most that long a reader is waited for that is in the middle of a batch
Read = Callable[[], Iterator[Batch]]
Item = Batch | BaseException | None  # what it raised; None: there are no more


class AheadFeed:
    """The same batches as those of a feed, in the same order: each is read, and its memory pinned
    for the copy to the device, while the device works on those before it. What reading raises is
    raised where the batch would have come."""

    def __init__(self, feed: Feed, device: torch.device) -> None:
        self.rows, self.batch_size, self.share = feed.rows, feed.batch_size, feed.share
        self._feed, self._device = feed, device

    def train_batches(self, start_step: int = 0) -> Iterator[Batch]:
        return read_ahead(lambda: self._feed.train_batches(start_step), self._device)

    def eval_batches(self, batch_size: int = 512, share: Share = WHOLE) -> Iterator[Batch]:
        return read_ahead(lambda: self._feed.eval_batches(batch_size, share), self._device)


def ahead_for(feed: Feed, device: torch.device) -> Feed:
    """Return the feed, reading ahead where that pays. On a CPU it does not: the thread would take
    the time from those that train."""
    return AheadFeed(feed, device) if devices.runs_beside(device) else feed


def read_ahead(read: Read, device: torch.device) -> Generator[Batch, None, None]:
    """Yield the batches of `read`, up to AHEAD of them read before they are asked for. The thread
    starts with the first one asked for, and ends where this is closed, or nobody has it any
    more."""
    ready: Queue[Item] = Queue(AHEAD)
    closed = threading.Event()
    reader = threading.Thread(
        target=_read, args=(read, device, ready, closed), name="raytl-ahead", daemon=True
    )
    reader.start()
    try:
        while True:
            item = _next(ready, reader)
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        closed.set()
        if threading.current_thread() is not reader:  # else it found that nobody has this any more
            reader.join(LEAVE_S)


def _next(ready: Queue[Item], reader: threading.Thread) -> Item:
    while True:
        try:
            return ready.get(timeout=LOOK_S)
        except Empty:
            assert reader.is_alive() or not ready.empty(), "a reader says why it ends"


def _read(read: Read, device: torch.device, ready: Queue[Item], closed: threading.Event) -> None:
    """Fill `ready`. Runs in the thread, and closes there what it reads from."""

    def put(item: Item) -> None:
        while not closed.is_set():
            with contextlib.suppress(Full):
                return ready.put(item, timeout=LOOK_S)

    try:
        # A thread of its own begins on the first GPU, and would make a context there.
        with devices.current(device), contextlib.closing(closable(read())) as batches:
            for batch in batches:
                put(batch.pinned() if devices.runs_beside(device) else batch)
                if closed.is_set():
                    return
        put(None)
    except BaseException as error:
        put(error)
