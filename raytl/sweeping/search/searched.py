"""The searched trials, in the order of their numbers.

Trial n is asked for when trials 0 … n - lag are settled and told, in their order, and the sampler
knows no more than those, whatever else has ended.
"""

from optuna.trial import TrialState

from raytl.config import Study, TrialConfig
from raytl.recipes import RECIPES
from raytl.search_space import SearchSpace
from raytl.sweeping.kept.records import Config, Status
from raytl.sweeping.search.fusing import group_size, grouped
from raytl.sweeping.search.halving import Ladder, rule_of
from raytl.sweeping.search.objective import ObjectiveMetric
from raytl.sweeping.search.runs import Run, suggestion
from raytl.sweeping.search.sampling import STARTUP, Sampler
from raytl.sweeping.search.selection import trial_name

TOLD: dict[Status, TrialState] = {
    "completed": TrialState.COMPLETE,
    "stopped early": TrialState.PRUNED,
    "failed": TrialState.FAIL,
}


class SearchedTrials:
    """What the sampler suggests, and what it is told."""

    def __init__(
        self,
        study: Study,
        space: SearchSpace,
        sampler: Sampler,
        objective: ObjectiveMetric,
        scope: str,
    ) -> None:
        """`study` has its lag, `search.parallel`. `scope`: names the run, for its fused groups."""
        assert study.search.parallel is not None
        self._study, self._space, self._sampler = study, space, sampler
        self._objective, self._scope = objective, scope
        self.lag = study.search.parallel  # trials that run at once, where they wait
        self._ladder = Ladder(rule_of(study))
        self._runs: list[Run] = []
        self._asked: list[Config] = []  # not started
        self._started = self._told = 0
        self._settled = 0  # trials of which it is known what counts, from the first on
        self._exhausted = False  # the sampler suggests no more

    @property
    def waits(self) -> bool:
        """Whether trials wait for what is to be learnt from those before."""
        return self._sampler.learns

    @property
    def count(self) -> int:
        """How many there are, as far as it is known."""
        most = self._study.search.trials
        return min(most, self._started + len(self._asked)) if self._exhausted else most

    @property
    def settled(self) -> bool:
        """Whether all are settled."""
        return self._started >= self.count and self._settled == len(self._runs)

    def next(self, running: int) -> Config | None:
        """Return the next trial, if it may be started just now. `running`: how many of these run.

        Raises what the space raises.
        """
        if self._started >= self._study.search.trials:
            return None
        if self.waits and (self._started >= self._settled + self.lag or running >= self.lag):
            return None
        if not self._asked and not self._exhausted:
            self._ask()
        if not self._asked:
            return None
        self._started += 1
        return self._asked.pop(0)

    def start(self, config: Config) -> Run:
        """Give a suggested trial its place among them. To be called in their order."""
        trial = TrialConfig.from_flat(config["trial"])
        epochs = self._study.train.epochs
        judged_after = int(RECIPES[trial.recipe].judged_after(trial) * epochs)
        run = Run(config, self._ladder, self._ladder.add(judged_after), epochs)
        self._runs.append(run)
        return run

    def settle(self) -> list[Run]:
        """Return those that have been settled since the last call, in their order."""
        first = self._settled
        while self._settled < len(self._runs) and self._runs[self._settled].settled:
            self._settled += 1
        return self._runs[first : self._settled]

    def _ask(self) -> None:
        """Ask the sampler for the next trials, once it knows what it should."""
        while self.waits and self._told <= self._started - self.lag:
            self._tell(self._runs[self._told])
        asked: list[Config] = []
        while len(asked) < self._block() and not self._exhausted:
            params = self._sampler.ask()
            if params is None:
                self._exhausted = True
                break
            name = trial_name(self._started + len(asked))
            trial, searched = self._space.resolve(params), sorted(params)
            asked.append(suggestion(self._study, f"trial-{name}", name, trial, searched=searched))
        self._asked = grouped(asked, self._study, self._scope)

    def _block(self) -> int:
        """Return how many trials are asked for at once: what is drawn without learning may be
        fused. That may be more than the study wants: with which others a trial goes together must
        not hang on how many there are."""
        if not self.waits:
            return group_size(self._study)
        if self._started == 0:
            return STARTUP
        return self._study.train.fuse if isinstance(self._study.train.fuse, int) else 1

    def _tell(self, run: Run) -> None:
        record = run.record()
        values = {m["epoch"]: float(m[self._objective.name]) for m in record.curve}
        self._sampler.tell(self._told, values, TOLD[record.status])
        self._told += 1
