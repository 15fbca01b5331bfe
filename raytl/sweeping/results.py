"""The results of a trial that has ended are kept before a snapshot says that it has.

Tune copies a run to its storage a file after the other: a driver's machine that is lost meanwhile
may leave a snapshot in which a trial has ended, without the trial's results.
"""

import contextlib
from pathlib import Path
from typing import Any

from pyarrow.fs import LocalFileSystem, copy_files
from ray.tune import Callback
from ray.tune.experiment import Trial

FILE_NAME = "result.json"


class KeepResults(Callback):
    """Copies the results of each epoch to where the run is kept as soon as a trial has ended.
    Comes after the logger that writes them."""

    def on_trial_complete(
        self, iteration: int, trials: list[Trial], trial: Trial, **_: Any
    ) -> None:
        _keep(trial)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        _keep(trial)


def _keep(trial: Trial) -> None:
    assert trial.storage is not None
    here, filesystem = Path(str(trial.local_path)) / FILE_NAME, trial.storage.storage_filesystem
    if not here.exists() or isinstance(filesystem, LocalFileSystem):
        return
    with contextlib.suppress(OSError):  # storage that fails just now gets it with a snapshot
        filesystem.create_dir(str(trial.path), recursive=True)
        copy_files(
            str(here), f"{trial.path}/{FILE_NAME}",
            source_filesystem=LocalFileSystem(), destination_filesystem=filesystem,
        )  # fmt: skip
