"""A trial that has ended has its results where the run is kept, before any snapshot."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pyarrow.fs import LocalFileSystem, SubTreeFileSystem

from raytl.sweeping.results import FILE_NAME, KeepResults


@pytest.mark.parametrize("end", ["on_trial_complete", "on_trial_error"])
def test_results_are_kept_at_a_trials_end(tmp_path: Path, end: str) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (tmp_path / "bucket").mkdir()
    kept: Any = SubTreeFileSystem(str(tmp_path / "bucket"), LocalFileSystem())
    trial: Any = SimpleNamespace(
        storage=SimpleNamespace(storage_filesystem=kept), local_path=str(here), path="run/trial"
    )
    getattr(KeepResults(), end)(0, [trial], trial)  # a trial that reported nothing has none
    assert not list((tmp_path / "bucket").rglob("*"))
    (here / FILE_NAME).write_text("{}")
    getattr(KeepResults(), end)(0, [trial], trial)
    assert (tmp_path / "bucket" / "run" / "trial" / FILE_NAME).read_text() == "{}"
