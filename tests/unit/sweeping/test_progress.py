"""What a person sees while trials run."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from raytl.sweeping.objective import OBJECTIVES
from raytl.sweeping.progress import ProgressCallback


def ended(number: int, value: float | None, control: str | None = None) -> Any:
    result = {"training_iteration": 2, "frozen_blocks": 3}
    if value is not None:
        result["target/validation_accuracy"] = value  # type: ignore[assignment]
    trial = {"recipe": "dann", "source_model": "net", "mapper": "mlp"}
    config = {"phase": "search", "count": 2, "number": number, "control": control, "trial": trial}
    return SimpleNamespace(last_result=result, config=config)


def test_each_trial_and_the_prefix_are_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path))
    progress = ProgressCallback(OBJECTIVES["target_accuracy"], "2 trials at once", tmp_path)
    progress.setup()
    progress.on_step_begin(0, [])
    draft = tmp_path / "prefix" / "key.draft"
    draft.mkdir(parents=True)
    (draft / "ready").write_text("4")
    (draft / "done-0").touch()
    for _ in range(2):
        progress.on_step_begin(0, [])
    progress.on_trial_complete(0, [], ended(0, 0.5))
    progress.on_trial_complete(0, [], ended(1, 0.25))
    progress.on_experiment_end([])
    text = capsys.readouterr().err
    assert "2 trials at once" in text
    assert "trials are selected by target validation accuracy, max is best" in text
    assert text.count("computing prefix features") == 1
    assert "search 1/2  trial-00000: dann from net, 3 blocks frozen, mapper mlp" in text
    assert "accuracy 0.2500 after epoch 2" in text
    assert progress.best == 0.5


def test_a_failed_trial_has_a_line_for_its_cause(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    error = tmp_path / "error.txt"
    error.write_text(
        "Failure # 1\nTraceback (most recent call last):\n  File ...\n"
        "raytl.errors.TrainingError: loss must be finite,\nbut got [task]=nan\n"
    )
    progress = ProgressCallback(OBJECTIVES["target_accuracy"], "plan", Path("run"))
    progress.setup()
    trial = ended(1, None)
    trial.error_file = str(error)
    progress.on_trial_error(0, [], trial)
    progress.on_trial_recover(0, [], trial)
    progress.on_experiment_end([])
    lines = capsys.readouterr().err.strip().splitlines()[2:]
    assert lines[0].endswith("accuracy failed after epoch 2")
    assert lines[1].strip() == (
        "trial-00001 failed: loss must be finite, but got [task]=nan "
        "(log: run/trial-00001/error.txt)"
    )
    assert lines[2].strip() == "trial-00001 lost its process; goes on after epoch 2"
