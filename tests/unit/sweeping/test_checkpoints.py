"""Pruning keeps what a snapshot may still name."""

import os
from pathlib import Path

from pyarrow.fs import LocalFileSystem

from raytl.sweeping.checkpoints import FILE_NAME, SAFE_AGE_S, prune


def test_only_old_checkpoints_but_the_latest_go(tmp_path: Path) -> None:
    ages = {"checkpoint_000000": 300, "checkpoint_000001": 10, "checkpoint_000002": 200}
    for name, age in ages.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / FILE_NAME).touch()
        os.utime(tmp_path / name / FILE_NAME, (1000 - age, 1000 - age))
    assert 10 < SAFE_AGE_S < 200
    prune(LocalFileSystem(), str(tmp_path), now=1000)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["checkpoint_000001", "checkpoint_000002"]
