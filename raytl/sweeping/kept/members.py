"""What is kept of the trials of a group, each in its own folder: see `training.fused_group`."""

from collections.abc import Collection
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from raytl.files import digest_of
from raytl.sweeping.kept.epochs import Epochs, SaveFiles
from raytl.sweeping.kept.records import IDENTITY
from raytl.sweeping.kept.trial_folder import Metrics, TrialFolder
from raytl.training.fused_group import Failure


class KeptTrial:
    """A trial that another of its group may train. `config`: of the trial. `workers`: see
    `records.workers_of`. `share`: of the group's time, its own. `node`: where this process runs, by
    Ray's id."""

    def __init__(
        self,
        folder: TrialFolder,
        config: dict[str, Any],
        budget: int,
        workers: str,
        *,
        share: float,
        node: str | None,
    ) -> None:
        self._folder, self._config, self._budget = folder, config, budget
        self._workers, self._share, self._node = workers, share, node
        self._of = _digest(config)  # what was kept of another trial of this name is not its own
        whole = (saved for saved in folder.whole() if _digest(saved.config) == self._of)
        self._saved = {len(saved.curve): saved for saved in whole}
        kept = folder.failure()
        if kept is not None and kept["of"] != self._of:
            kept = None
        self.failed_on: str | None = kept["node"] if kept else None  # the node, by Ray's id
        self.told = bool(kept and kept["told"])  # the trial itself has said how it ended
        self.failure = Failure(kept["epoch"], kept["text"]) if kept else None
        self._epochs = Epochs(folder, config, budget, None, workers, share=share)

    @property
    def epochs(self) -> Collection[int]:
        """The epochs after which it can go on."""
        return self._saved.keys()

    def fetched(self, epoch: int) -> AbstractContextManager[Path]:
        """Yield a folder of this machine with the checkpoint after one of `epochs`."""
        return self._folder.fetched(self._saved[epoch])

    def drop(self, epoch: int) -> None:
        """Delete a checkpoint that cannot be read after all."""
        self._folder.drop(self._saved.pop(epoch))

    def take_up(self, epoch: int) -> None:
        """Go on after one of `epochs`, or from the start: what is kept of later ones counts no
        more."""
        self._saved = {number: saved for number, saved in self._saved.items() if number <= epoch}
        if self.failure is not None and self.failure.epoch > epoch:
            self.failure = None
        self._epochs = Epochs(
            self._folder, self._config, self._budget, self._saved.get(epoch), self._workers,
            share=self._share,
        )  # fmt: skip

    def keep(self, metrics: Metrics, save: SaveFiles) -> Metrics:
        """Keep the next epoch and return its metrics; `save` writes its checkpoint into a
        folder."""
        return self._epochs.keep(metrics, save)

    def fail(self, failure: Failure) -> None:
        """Keep how it ended."""
        self.failure, self.failed_on, self.told = failure, self._node, False
        self._write_failure(failure)

    def tell(self) -> None:
        """Note that the trial itself has said how it ended."""
        assert self.failure is not None
        self.told = True
        self._write_failure(self.failure)

    def doubt(self) -> None:
        """Take how it ended as not there: it is tried again."""
        self.failure = None

    def _write_failure(self, failure: Failure) -> None:
        where = {"node": self.failed_on, "told": self.told, "of": self._of}
        self._folder.write_failure({"epoch": failure.epoch, "text": failure.text} | where)


def _digest(config: dict[str, Any]) -> str:
    """Return that of all that a trial's numbers hang on within a run: its group, too."""
    group = config.get("fused", {})
    own = [config.get(key) for key in IDENTITY]
    return digest_of([*own, group.get("index"), group.get("members")])
