"""Which retrainings run next, as those before them end."""

from collections.abc import Callable, Mapping, Sequence

from raytl.config import Study
from raytl.predictions import Predictions
from raytl.scoring.metrics import METRICS
from raytl.sweeping.kept.records import Config, Record
from raytl.sweeping.search.selection import Outcome, retrainings
from raytl.sweeping.verdict.rounds import Ended, Standing, gather, standing


class Confirming:
    """The confirmation in the making: its configurations, and what has become of their seeds."""

    def __init__(
        self, study: Study, read: Callable[[str], Predictions], *, redraw: bool = False
    ) -> None:
        """`read`: returns the test predictions in a trial's folder. `redraw`: each seed draws
        labelled rows of its own."""
        self._study, self._read, self._redraw = study, read, redraw
        self._outcomes: dict[str, Outcome] = {}
        self._asked: dict[str, int] = {}  # seeds of each configuration so far
        self._ended: list[Ended] = []
        self._standing: tuple[int, Standing] | None = None  # after so many have ended

    @property
    def count(self) -> int:
        """How many retrainings there are so far."""
        return sum(self._asked.values())

    def add(self, outcomes: Sequence[Outcome]) -> list[Config]:
        """Take up configurations; return their retrainings of the first round."""
        fewest = self._study.confirm.seed_counts[0]
        self._outcomes |= {outcome.name: outcome for outcome in outcomes}
        return [one for outcome in outcomes for one in self._up_to(outcome.name, fewest)]

    @property
    def wants_more(self) -> bool:
        """Whether a further round is wanted. To be asked when all before have ended."""
        return bool(self._wanted())

    @property
    def may_go_on(self) -> bool:
        """Whether a further round may follow those that are known: seeds are left."""
        most = self._study.confirm.seed_counts[1]
        return any(asked < most for asked in self._asked.values())

    def further(self) -> list[Config]:
        """Return the retrainings of the next round; none where the verdict is decided or no more
        seeds are allowed. To be called when all before have ended."""
        return [one for name, count in self._wanted().items() for one in self._up_to(name, count)]

    def _wanted(self) -> Mapping[str, int]:
        """All test rows are read and compared for this, so it is done once a round."""
        count = len(self._ended)
        if self._standing is None or self._standing[0] != count:
            reads = METRICS[self._study.metric].reads
            found = standing(self._study, gather(self._ended, self._read, reads))
            self._standing = count, found
        return self._standing[1].wanted

    def ended(self, record: Record) -> None:
        """Note that a retraining ended, well or not."""
        self._ended.append(Ended.of(record, self._study))

    def _up_to(self, name: str, count: int) -> list[Config]:
        seeds = range(self._asked.get(name, 0), count)
        self._asked[name] = max(count, seeds.start)
        return retrainings(self._study, self._outcomes[name], seeds, self._redraw)


class Unconfirmed:
    """What is done with the best where no test row has a label: one searched trial is retrained
    once, for its weights and its predictions."""

    wants_more = may_go_on = False

    def __init__(self, study: Study) -> None:
        self._study = study
        self.count = 0

    def add(self, outcomes: Sequence[Outcome]) -> list[Config]:
        """Return the retraining of the first of `outcomes`, unless it is a control."""
        best = [outcome for outcome in outcomes[:1] if outcome.control is None]
        found = [one for of in best for one in retrainings(self._study, of, range(1), redraw=False)]
        self.count += len(found)
        return found

    def further(self) -> list[Config]:
        """Return no further round."""
        return []

    def ended(self, record: Record) -> None:
        """There is nothing to compare."""
