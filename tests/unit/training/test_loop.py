"""What a step does when memory runs out."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from raytl.config import Study, TrialConfig
from raytl.errors import TrainingError
from raytl.training.trial import TrialRun

MakeStudy = Callable[..., Study]


def make_run(tiny_study: MakeStudy, recipe: str) -> TrialRun:
    study = tiny_study(
        source_models={"net": {"backbone": "lenet"}},  # without batch statistics
        train={"epochs": 1, "batch_size": 8, "steps_per_epoch": 4},
    )
    trial = TrialConfig.from_flat({"source_model": "net", "recipe": recipe, "optimizer.lr": 0.05})
    return TrialRun(study, trial, seed=3)


def limit_rows(run: TrialRun, rows: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let memory run out where a stream has more than `rows`; return what was asked for."""
    plain, asked = run.trainer.recipe.losses, list[int]()

    def losses(model: Any, batch: Any, progress: float) -> Any:
        largest = max(len(part.x) for part in vars(batch).values() if part is not None)
        asked.append(largest)
        if largest > rows:
            raise torch.OutOfMemoryError("no more")
        return plain(model, batch, progress)

    monkeypatch.setattr(run.trainer.recipe, "losses", losses)
    return asked


@pytest.mark.parametrize("recipe", ["finetune", "dann"])
@pytest.mark.parametrize(("rows", "parts"), [(4, 2), (3, 4)])
def test_halved_batches_train_the_same(
    tiny_study: MakeStudy, monkeypatch: pytest.MonkeyPatch, recipe: str, rows: int, parts: int
) -> None:
    whole, halved = make_run(tiny_study, recipe), make_run(tiny_study, recipe)
    asked = limit_rows(halved, rows, monkeypatch)
    one, two = whole.train(), halved.train()
    assert two.pop("train/micro_batches") == parts
    assert "train/micro_batches" not in one
    failed = [8, 4] if parts == 4 else [8]
    assert asked == failed + [8 // parts] * parts * 4  # halved once, for all four steps
    for name in one.keys() - {"train/seconds"}:
        assert two[name] == pytest.approx(one[name], rel=1e-5), name
    theirs = halved.trainer.model.state_dict()
    for name, value in whole.trainer.model.state_dict().items():
        torch.testing.assert_close(theirs[name], value, rtol=1e-4, atol=1e-6)


def test_where_not_even_a_row_fits_the_trial_fails(
    tiny_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tiny_study, "finetune")
    limit_rows(run, 0, monkeypatch)
    with pytest.raises(TrainingError, match="out of memory even with 8 parts of a batch; freeze"):
        run.train()
