"""Whom the search asks, for what was trained before and what is retrained, and whom it tells."""

from collections.abc import Sequence
from typing import Literal, Protocol

from raytl.sweeping.kept.records import Config, Metrics, Record, Trained
from raytl.sweeping.search.selection import Outcome


class Memory(Protocol):
    """What was trained before, in this run or another."""

    def recall(self, config: Config) -> Trained | Literal["busy"] | None:
        """Return what was trained of a trial; "busy" while another process trains it."""
        ...

    def keep(self, trained: Trained) -> None:
        """Keep a trial of which nothing more comes."""
        ...


class Retrained(Protocol):
    """What is done with the best, as far as the search has to know: see `verdict.confirming`."""

    @property
    def count(self) -> int:
        """How many retrainings there are so far."""
        ...

    @property
    def wants_more(self) -> bool:
        """Whether a further round is wanted. To be asked when all before have ended."""
        ...

    @property
    def may_go_on(self) -> bool:
        """Whether a further round may follow those that are known."""
        ...

    def add(self, outcomes: Sequence[Outcome]) -> list[Config]:
        """Take up configurations; return their retrainings of the first round."""
        ...

    def further(self) -> list[Config]:
        """Return the retrainings of the next round. To be called when all before have ended."""
        ...

    def ended(self, record: Record) -> None:
        """Note that a retraining ended, well or not."""
        ...


class Listener:
    """Is told of trials as they go. Each method does nothing by default."""

    def reported(self, config: Config, metrics: Metrics) -> None:
        """A trial has trained an epoch, or what it trained before was recalled."""

    def ended(self, record: Record) -> None:
        """Nothing more comes of a trial; what counts of it may not be settled yet."""

    def settled(self, record: Record) -> None:
        """It is known what counts of a trial."""
