"""A fused epoch is the same epochs alone. Compared in float64: float32's rounding, which the order
of the operations decides, grows from step to step."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch

from raytl.config import Study, TrialConfig
from raytl.data.batch import Batch
from raytl.data.feed import Feed
from raytl.data.mixing import joint_batches
from raytl.errors import TrainingError
from raytl.ranks import WHOLE, Share
from raytl.recipes import RECIPES
from raytl.training.fused import Member, fusable, train_fused_epoch
from raytl.training.material import Material
from raytl.training.trial import TrialRun

MakeStudy = Callable[..., Study]
VECTORISED = sorted(name for name, recipe in RECIPES.items() if recipe.vectorises)
DIFFERENCES = [
    {"optimizer.lr": 0.05, "head.dropout": 0.5, "adversarial_lambda": 0.3, "alignment_lambda": 2.0},
    {"optimizer.lr": 0.01, "optimizer.weight_decay": 0.1, "adversarial_lambda": 1.5},
    {"optimizer.lr": 0.002, "head.dropout": 0.2, "optimizer.weight_decay": 0.0},
]


class Doubled:
    """A feed whose features are float64."""

    def __init__(self, feed: Feed) -> None:
        self.rows, self.batch_size, self.share = feed.rows, feed.batch_size, feed.share
        self._feed = feed

    def train_batches(self, start_step: int = 0) -> Iterator[Batch]:
        for batch in self._feed.train_batches(start_step):
            (given,) = batch.inputs.values()
            assert isinstance(given.rows, torch.Tensor)
            doubled = replace(given, rows=given.rows.double())
            yield replace(batch, inputs=dict.fromkeys(batch.inputs, doubled))

    def eval_batches(self, batch_size: int = 512, share: Share = WHOLE) -> Iterator[Batch]:
        return self._feed.eval_batches(batch_size, share)


def make_runs(study: Study, seeds: list[int], **flat: Any) -> list[TrialRun]:
    base = {"source_model": "net", "frozen_depth": "100%", "head": "mlp", "mapper": "linear"}
    material = Material.of(study)
    runs = [
        TrialRun(material, TrialConfig.from_flat(base | flat | difference), seed)
        for difference, seed in zip(DIFFERENCES, seeds, strict=True)
    ]
    for run in runs:
        run.trainer.model.double()
        run.trainer.recipe.double()
        run.feeds = {name: Doubled(feed) for name, feed in run.feeds.items()}
    return runs


def fused_epoch(runs: list[TrialRun], same_rows: bool) -> list[Any]:
    results = train_fused_epoch(
        [Member(run.trainer, run.epoch_seed) for run in runs],
        lambda i: joint_batches(runs[i].feeds, runs[i].trainer.step),
        runs[0].steps,
        same_rows=same_rows,
    )
    for run in runs:
        run.epoch += 1
    return results


def states(run: TrialRun) -> dict[str, torch.Tensor]:
    trainer = run.trainer
    moments = {
        f"{number}.{key}": torch.as_tensor(value)
        for number, state in trainer.optimizer.state_dict()["state"].items()
        for key, value in state.items()
        if value is not None
    }
    return trainer.model.trainable_state() | dict(trainer.recipe.state_dict()) | moments


CASES = [(recipe, [3, 4, 5]) for recipe in VECTORISED] + [("dann", [3, 3, 3])]


@pytest.mark.parametrize(("recipe", "seeds"), CASES)
def test_two_fused_epochs_are_those_alone(
    tiny_study: MakeStudy, recipe: str, seeds: list[int]
) -> None:
    optimizer = {"dann": "adam", "cdan": "adamw"}.get(recipe, "sgd")
    study = tiny_study(train={"epochs": 3, "batch_size": 8, "steps_per_epoch": 6})
    flat = {"recipe": recipe, "optimizer": optimizer, "optimizer.clip_norm": 0.02}
    alone, fused = make_runs(study, seeds, **flat), make_runs(study, seeds, **flat)
    assert all(run.reads_features and fusable(run.trainer) for run in fused)
    for _ in range(2):
        means = fused_epoch(fused, same_rows=len(set(seeds)) == 1)
        for index, run in enumerate(alone):
            own = run.train()
            run.epoch += 1
            assert own["train/gradient_norm"] > 0.02, "nothing is clipped"
            assert means[index].keys() == own.keys() - {"train/seconds"}
            assert means[index] == pytest.approx({k: own[k] for k in means[index]}, rel=1e-6)
    for one, other in zip(alone, fused, strict=True):
        assert other.trainer.step == one.trainer.step
        theirs = states(other)
        for name, value in states(one).items():
            torch.testing.assert_close(theirs[name], value, rtol=1e-5, atol=1e-7)


def test_a_member_that_diverges_leaves_the_others_alone(tiny_study: MakeStudy) -> None:
    study = tiny_study(train={"epochs": 3, "batch_size": 8, "steps_per_epoch": 6})
    runs, others = (make_runs(study, [3, 3, 3], recipe="finetune") for _ in range(2))
    with torch.no_grad():
        runs[1].trainer.model.head[0].weight.fill_(float("nan"))  # type: ignore[index]
    results = fused_epoch(runs, same_rows=True)
    assert isinstance(results[1], TrainingError)
    assert "at step 0 of 18" in str(results[1])
    for index in (0, 2):
        own = others[index].train()
        assert results[index]["train/loss/task"] == pytest.approx(own["train/loss/task"], rel=1e-6)


@pytest.mark.parametrize(
    "flat",
    [
        {"frozen_depth": "50%"},
        {"recipe": "mdd"},
        {"mapper": "attention"},
    ],
)
def test_what_does_not_vectorise_is_not_fused(tiny_study: MakeStudy, flat: dict[str, Any]) -> None:
    runs = make_runs(tiny_study(), [0, 0, 0], **flat)
    assert not any(run.reads_features and fusable(run.trainer) for run in runs)


def test_who_trains_alone_after_its_group_goes_on_with_the_rows_of_its_step(
    tiny_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ids_of_second_epoch(*, fused: bool) -> list[list[int]]:
        run = make_runs(tiny_study(), [3, 4, 5], recipe="finetune")[0]
        fused_epoch([run], same_rows=True) if fused else run.train()
        plain, seen = run.trainer.recipe.losses, list[list[int]]()

        def losses(model: Any, batch: Any, progress: float) -> Any:
            seen.append(batch.labelled.id.tolist())
            return plain(model, batch, progress)

        monkeypatch.setattr(run.trainer.recipe, "losses", losses)
        run.epoch = 1
        run.train()
        run.close()
        return seen

    expected = ids_of_second_epoch(fused=False)
    assert len(expected) == 3
    assert ids_of_second_epoch(fused=True) == expected
