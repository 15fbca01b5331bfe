"""What is only looked at does not end a study: a warning says why it is missing."""

import contextlib
import sys
from collections.abc import Iterator

from raytl.sweeping.kept.records import Config, Metrics, Record
from raytl.sweeping.search.asked_and_told import Listener

LONGEST = 300  # letters of a reason


@contextlib.contextmanager
def spared(what: str, remedy: str = "") -> Iterator[None]:
    """Say on stderr what is missing, instead of raising; `remedy`: what brings it back."""
    try:
        yield
    except Exception as error:
        why = " ".join(str(error).split())[:LONGEST] or type(error).__name__
        print(f"warning: {what}: {why}{remedy and '; '}{remedy}", file=sys.stderr, flush=True)


class Sparing(Listener):
    """Tells a listener of trials until it fails, once with a warning."""

    def __init__(self, listener: Listener, what: str) -> None:
        self._listener: Listener | None = listener
        self._what = what

    @contextlib.contextmanager
    def _told(self) -> Iterator[Listener]:
        listener, self._listener = self._listener or Listener(), None
        with spared(self._what):
            yield listener
            self._listener = listener

    def reported(self, config: Config, metrics: Metrics) -> None:
        with self._told() as listener:
            listener.reported(config, metrics)

    def ended(self, record: Record) -> None:
        with self._told() as listener:
            listener.ended(record)

    def settled(self, record: Record) -> None:
        with self._told() as listener:
            listener.settled(record)
