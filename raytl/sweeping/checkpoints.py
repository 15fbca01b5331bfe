"""Old checkpoints are deleted, but never one that a snapshot of the experiment may still name.

Tune's own `num_to_keep` deletes a checkpoint as soon as a newer one is there. A study killed before
the next snapshot is then restored to a checkpoint that is gone, and the trial fails.
"""

import contextlib
import time
from typing import Any

from pyarrow.fs import FileSelector, FileSystem
from ray.tune import Callback
from ray.tune.experiment import Trial

FILE_NAME = "checkpoint.pt"

# Seconds after which every snapshot names a newer checkpoint: many times the snapshots' period.
SAFE_AGE_S = 60.0


class PruneCheckpoints(Callback):
    """Keeps each trial's latest checkpoint and those younger than SAFE_AGE_S."""

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **_: Any
    ) -> None:
        _prune(trial)

    def on_experiment_end(self, trials: list[Trial], **_: Any) -> None:
        for trial in trials:
            if trial.is_finished() and trial.path is not None:
                _prune(trial)


def _prune(trial: Trial) -> None:
    assert trial.storage is not None
    with contextlib.suppress(OSError):  # storage that fails just now is pruned the next time
        prune(trial.storage.storage_filesystem, str(trial.path), time.time())


def prune(filesystem: FileSystem, folder: str, now: float) -> None:
    """Delete the old checkpoints of one trial."""
    found = filesystem.get_file_info(FileSelector(folder, allow_not_found=True))
    kept = sorted(info.path for info in found if info.base_name.startswith("checkpoint_"))
    files = filesystem.get_file_info([f"{checkpoint}/{FILE_NAME}" for checkpoint in kept[:-1]])
    for checkpoint, file in zip(kept[:-1], files, strict=True):
        if file.mtime is None or now - file.mtime.timestamp() > SAFE_AGE_S:
            filesystem.delete_dir(checkpoint)
