"""Writing that nobody waits for: the driver goes on while it is done."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

MOST_LEFT = 64  # errands that may be left to do; whoever brings more waits

Errand = Callable[[], None]


def at_once(errand: Errand) -> None:
    """Do an errand now: what `Errands.do` is where nobody is in a hurry."""
    errand()


class Errands:
    """A thread that does one errand after another. What an errand raises, `do` or the end of the
    block raises; those after it are left: who cannot write one thing is not asked for more."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="raytl-errand")
        self._left: list[Future[None]] = []
        self._failed = False

    def __enter__(self) -> "Errands":
        return self

    def do(self, errand: Errand) -> None:
        """Have an errand done."""
        self._collect(MOST_LEFT)
        self._left.append(self._pool.submit(self._run, errand))

    def _run(self, errand: Errand) -> None:
        if self._failed:
            return
        try:
            errand()
        except BaseException:
            self._failed = True
            raise

    def _collect(self, most_left: int) -> None:
        """Take note of those that are done; wait until no more than so many are left."""
        while self._left and (self._left[0].done() or len(self._left) > most_left):
            self._left.pop(0).result()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        raised: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pool.shutdown()  # all are done: what a trial has come to is not lost with the study
        if raised is None:
            self._collect(0)
