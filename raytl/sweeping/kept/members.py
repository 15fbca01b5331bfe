"""What is kept of the trials of a group, each in its own folder: see `training.fused_group`."""

from collections.abc import Collection
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from raytl.sweeping.kept.epochs import Epochs, SaveFiles
from raytl.sweeping.kept.trial_folder import Metrics, TrialFolder
from raytl.training.fused_group import Failure


class KeptTrial:
    """A trial that another of its group may train. `config`: of the trial. `share`: of the group's
    time, its own."""

    def __init__(
        self, folder: TrialFolder, config: dict[str, Any], budget: int, share: float
    ) -> None:
        self._folder, self._config, self._budget, self._share = folder, config, budget, share
        self._saved = {len(saved.curve): saved for saved in folder.whole()}
        failure = folder.failure()
        self.failure = None if failure is None else Failure(**failure)
        self._epochs = Epochs(folder, config, budget, None, share=share)

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
            self._folder, self._config, self._budget, self._saved.get(epoch), share=self._share
        )

    def keep(self, metrics: Metrics, save: SaveFiles) -> Metrics:
        """Keep the next epoch and return its metrics; `save` writes its checkpoint into a
        folder."""
        return self._epochs.keep(metrics, save)

    def fail(self, failure: Failure) -> None:
        """Keep how it ended."""
        self.failure = failure
        self._folder.write_failure({"epoch": failure.epoch, "text": failure.text})
