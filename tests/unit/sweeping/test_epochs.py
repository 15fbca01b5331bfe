"""The epochs of a trial, as its process keeps them."""

from pathlib import Path
from typing import Any

import pytest

from raytl.sweeping.kept.epochs import Epochs
from raytl.sweeping.kept.records import TRAINED_ON
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.kept.trial_folder import TrialFolder


@pytest.fixture
def folder(tmp_path: Path) -> TrialFolder:
    return RunStorage(tmp_path).trial("trial-00000")


def config(phase: str) -> dict[str, Any]:
    return {"name": "trial-00000", "phase": phase}


def save(at: Path) -> None:
    (at / "checkpoint.pt").write_text("weights")


def files(folder: TrialFolder) -> dict[str, list[str]]:
    return {
        at.name: sorted(file.name for file in at.iterdir())
        for at in sorted(Path(folder.path).iterdir())
    }


@pytest.mark.parametrize(
    ("phase", "kept"), [("search", ["commit.json"]), ("confirm", ["checkpoint.pt", "commit.json"])]
)
def test_weights_stay_where_somebody_wants_them(
    folder: TrialFolder, phase: str, kept: list[str]
) -> None:
    epochs = Epochs(folder, config(phase), 2, None, "1 × 1")
    epochs.keep({"epoch": 1}, save)
    assert not epochs.done
    assert files(folder) == {"checkpoint-00001": ["checkpoint.pt", "commit.json"]}
    epochs.keep({"epoch": 2}, save)
    assert epochs.done
    assert files(folder) == {"checkpoint-00002": kept}


def test_who_comes_after_a_lost_process_goes_on_and_counts_its_seconds(folder: TrialFolder) -> None:
    first = Epochs(folder, config("search"), 3, None, "1 × 1")
    assert first.curve == []
    kept = first.keep({"epoch": 1}, save)
    first.curve[0]["seconds"] = kept["seconds"] = 100.0
    folder.save(config("search") | {TRAINED_ON: ["1 × 1"]}, first.curve, save, last=False)
    then = Epochs(folder, config("search"), 3, folder.newest(), "2 × 1")
    assert then.curve == [kept]
    assert then.keep({"epoch": 2}, save)["seconds"] > 100.0
    assert [metrics["epoch"] for metrics in then.curve] == [1, 2]
    saved = folder.newest()
    assert saved is not None and saved.config[TRAINED_ON] == ["1 × 1", "2 × 1"]
