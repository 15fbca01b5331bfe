"""Old checkpoints are deleted, but never one that a snapshot of the experiment may still name.

Tune's own `num_to_keep` deletes a checkpoint as soon as a newer one is there. A study killed before
the next snapshot is then restored to a checkpoint that is gone, and the trial fails.
"""

import shutil
import time
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

# Seconds after which every snapshot names a newer checkpoint: many times the snapshots' period.
SAFE_AGE_S = 60.0


class PruneCheckpoints(Callback):
    """Keeps each trial's latest checkpoint and those younger than SAFE_AGE_S."""

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **_: Any
    ) -> None:
        prune(Path(str(trial.path)), time.time())

    def on_experiment_end(self, trials: list[Trial], **_: Any) -> None:
        for trial in trials:
            if trial.is_finished() and trial.path is not None:
                prune(Path(trial.path), time.time())


def prune(folder: Path, now: float) -> None:
    """Delete the old checkpoints of one trial."""
    for checkpoint in sorted(folder.glob("checkpoint_*"))[:-1]:
        if now - checkpoint.stat().st_mtime > SAFE_AGE_S:
            shutil.rmtree(checkpoint, ignore_errors=True)
