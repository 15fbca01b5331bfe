"""What a step does with a batch in parts, and when memory runs out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from masks_support import study_of_squares

from raytl.config import Study, TrialConfig
from raytl.errors import TrainingError
from raytl.training.loop import more_micro_batches, most_parts
from raytl.training.material import Material
from raytl.training.trial import TrialRun

MakeStudy = Callable[..., Study]


def make_run(
    tiny_study: MakeStudy, recipe: str, flat: dict[str, Any] | None = None, **train: Any
) -> TrialRun:
    study = tiny_study(
        source_models={"net": {"backbone": "lenet"}},  # without batch statistics
        train={"epochs": 1, "batch_size": 8, "steps_per_epoch": 4} | train,
    )
    trial = TrialConfig.from_flat(
        {"source_model": "net", "recipe": recipe, "optimizer": "sgd", "optimizer.lr": 0.05}
        | (flat or {})
    )
    return TrialRun(Material.of(study), trial, seed=3)


def limit_rows(run: TrialRun, rows: int, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let memory run out where a stream has more than `rows`; return what was asked for."""
    plain, asked = run.trainer.recipe.losses, list[int]()

    def losses(model: Any, batch: Any, progress: float) -> Any:
        largest = max(part.own_rows for part in batch.streams.values())
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


def test_accumulated_gradients_are_those_of_the_whole_batch(tiny_study: MakeStudy) -> None:
    whole = make_run(tiny_study, "dann")
    parts = make_run(tiny_study, "dann", accumulation_steps=3)
    one, three = whole.train(), parts.train()
    assert three.pop("train/micro_batches") == 3
    for name in one.keys() - {"train/seconds"}:
        assert three[name] == pytest.approx(one[name], rel=1e-5), name
    theirs = parts.trainer.model.state_dict()
    for name, value in whole.trainer.model.state_dict().items():
        torch.testing.assert_close(theirs[name], value, rtol=1e-4, atol=1e-6)


def test_bfloat16_computes_in_it_and_keeps_float32_weights(
    tiny_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = make_run(tiny_study, "dann")
    coarse = make_run(tiny_study, "dann", precision="bfloat16")
    types = set()
    head = coarse.trainer.model.head
    head.register_forward_hook(lambda module, given, out: types.add(out.dtype))
    one, two = plain.train(), coarse.train()
    assert types == {torch.bfloat16}
    assert two["train/loss/total"] == pytest.approx(one["train/loss/total"], rel=0.02)
    assert two["train/loss/total"] != one["train/loss/total"]
    assert {p.dtype for p in coarse.trainer.model.parameters()} == {torch.float32}
    coarse.judge(two)
    assert types == {torch.bfloat16, torch.float32}, "evaluation is in float32"


def test_where_not_even_a_row_fits_the_trial_fails(
    tiny_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tiny_study, "finetune")
    limit_rows(run, 0, monkeypatch)
    with pytest.raises(TrainingError, match="out of memory even with 8 parts of a batch; freeze"):
        run.train()


@pytest.mark.parametrize(
    ("recipe", "flat"), [("dan", {}), ("finetune", {"mapper": "mlp", "mapper.batch_norm": True})]
)
def test_no_part_has_fewer_rows_than_there_is_a_loss_of(
    tiny_study: MakeStudy, monkeypatch: pytest.MonkeyPatch, recipe: str, flat: dict[str, Any]
) -> None:
    run = make_run(tiny_study, recipe, flat)
    asked = limit_rows(run, 1, monkeypatch)
    with pytest.raises(TrainingError, match="out of memory even with 4 parts of a batch; freeze"):
        run.train()
    assert asked == [8, 4, 2]


@pytest.mark.parametrize(
    ("head", "size", "least"), [("unet", 16, 2), ("linear", 16, 2), ("unet", 28, 1)]
)
def test_a_head_that_normalises_maps_of_a_pixel_is_given_two_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head: str, size: int, least: int
) -> None:
    net = {"backbone": "lenet", "input_size": size}
    train = {"epochs": 1, "batch_size": 8, "steps_per_epoch": 2}
    plain = study_of_squares(tmp_path, source_models={"net": net}, train=train)
    trial = TrialConfig.from_flat({"source_model": "net", "recipe": "finetune", "head": head})
    run = TrialRun(Material.of(Study.model_validate(plain)), trial, seed=3)
    asked = limit_rows(run, 0, monkeypatch)
    with pytest.raises(TrainingError, match="out of memory even with"):
        run.train()
    assert asked[-1] == least


@pytest.mark.parametrize(
    ("least", "ranks", "most"), [(1, 1, 9), (2, 1, 4), (1, 2, 4), (2, 2, 4), (3, 2, 2)]
)
def test_each_part_has_rows_of_every_worker(least: int, ranks: int, most: int) -> None:
    rows = 9
    assert most_parts(rows, least, ranks) == most
    assert more_micro_batches(most // 2, most) == 2 * (most // 2)
    with pytest.raises(TrainingError, match=f"even with {most} parts"):
        more_micro_batches(most, most)


def test_whatever_ends_training_says_at_which_step(
    tiny_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tiny_study, "finetune")
    plain, calls = run.trainer.recipe.losses, list[int]()

    def losses(model: Any, batch: Any, progress: float) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise ValueError("a bug")
        return plain(model, batch, progress)

    monkeypatch.setattr(run.trainer.recipe, "losses", losses)
    with pytest.raises(ValueError, match="a bug") as caught:
        run.train()
    assert caught.value.__notes__ == ["at step 2 of 4"]
