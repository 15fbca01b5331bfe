"""Every recipe on steps to come: two epochs of two steps of the real loop, or a refusal."""

import csv
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from contract_run import able, run, trains_resumes_and_streams, unable
from steps_support import HORIZON, SEASON, TEST, study_of_waves, waves

from raytl import verbs
from raytl.config import Study, TrialConfig
from raytl.errors import ConfigError, ModelError
from raytl.models.source_folder import load_complete_model
from raytl.models.source_model import save_source_model
from raytl.scoring.step_metrics import SQUARED, targets_of
from raytl.sweeping.opening import open_study
from raytl.sweeping.preflight import preflight
from raytl.sweeping.search.controls import control_trials
from raytl.tasks.base import Predicted
from raytl.tasks.forecasting import Forecasting
from raytl.tasks.steps_column import StepsColumn
from raytl.training.material import Material
from raytl.training.predict import predict_split
from raytl.training.pretrain import pretrain

UNTRAINED = {"constant": "constant", "naive": "naive", "seasonal_naive": "naive"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("waves")


def material_of(folder: Path, **train: Any) -> Material:
    plain = study_of_waves(folder)
    plain["source_models"] |= {"other": {"backbone": "lstm", "args": {"width": 5}}}
    return Material.of(Study.model_validate(plain | {"train": plain["train"] | train}))


def trial(recipe: str, **flat: Any) -> TrialConfig:
    plain = {
        "source_model": "net", "recipe": recipe, "frozen_depth": 1, "optimizer": "adam",
        "head": UNTRAINED.get(recipe, "linear"),
    }  # fmt: skip
    if recipe == "relational_distillation":
        plain |= {"source_model": "other", "student": "net"}
    return TrialConfig.from_flat(plain | flat)


@pytest.mark.parametrize("recipe", able("forecasting"))
def test_a_recipe_trains_resumes_and_reads_the_same_streamed(
    folder: Path, tmp_path: Path, recipe: str
) -> None:
    material = partial(material_of, folder)
    whole, said = trains_resumes_and_streams(material, trial(recipe), tmp_path)
    sums = said.given("steps")
    assert said.predicted_N is None and targets_of(sums).shape == (TEST, HORIZON)
    rmse = np.sqrt(sums[:, SQUARED].sum() / (TEST * HORIZON))
    assert whole[-1]["test/steps_rmse"] == pytest.approx(rmse)


@pytest.mark.parametrize("recipe", ["naive", "seasonal_naive"])
@pytest.mark.parametrize("stored", [True, False])
def test_naive_controls_say_the_last_step_or_season_again(
    folder: Path, tmp_path: Path, recipe: str, stored: bool
) -> None:
    reported, parts = run(material_of(folder, reuse_prefix=stored), trial(recipe))
    series, steps = waves(TEST, 11, 0.6)
    season = SEASON if recipe == "seasonal_naive" else 1
    said = [[of[len(of) - season + h % season, 1] for h in range(HORIZON)] for of in series]
    rmse = np.sqrt(np.square(np.array(said) - steps).mean())
    assert reported[-1]["test/steps_rmse"] == pytest.approx(rmse, rel=1e-5)
    assert reported[0]["test/steps_rmse" if len(reported) == 1 else "target/validation_steps_r2"]
    assert reported[0]["train/gradient_norm"] == 0.0
    spec = parts.spec.model_copy(
        update={
            "task": dict(parts.task.facts()), "mapper": trial(recipe).mapper,
            "head": trial(recipe).head,
        }
    )  # fmt: skip
    save_source_model(tmp_path / "best", parts.model, spec)
    assert load_complete_model(tmp_path / "best").task.facts() == parts.task.facts()
    found = predict_split(tmp_path / "best", folder / "target", "test")
    assert found.metrics["steps_rmse"] == pytest.approx(rmse, rel=1e-5)


def test_naive_controls_are_those_of_forecasts_alone(folder: Path) -> None:
    checked = preflight(Study.model_validate(study_of_waves(folder)))
    names = [control for control, _ in control_trials(checked.study, checked.space)]
    assert [name for name in names if "naive" in name] == ["naive", "seasonal_naive"]
    of_classes = checked.study.decided(metric="accuracy")
    names = [control for control, _ in control_trials(of_classes, checked.space)]
    assert not any("naive" in name for name in names)


@pytest.mark.parametrize("recipe", unable("forecasting"))
def test_other_recipes_are_refused_by_name(folder: Path, recipe: str) -> None:
    study = study_of_waves(folder, space={"recipe": {"choice": [recipe]}})
    with pytest.raises(ConfigError, match=rf"recipe {recipe} needs .* 'steps' holds steps to come"):
        preflight(Study.model_validate(study))


def test_without_the_channel_naive_controls_are_refused(folder: Path) -> None:
    material = material_of(folder)
    column = material.domains.target.dataset.columns["steps"]
    object.__setattr__(column, "channel", "gone")
    with pytest.raises(ConfigError, match="naive control reads the channel 'gone', which no input"):
        run(material, trial("naive"))


def test_a_transform_that_leaves_the_last_steps_out_is_refused(folder: Path) -> None:
    def study(**options: Any) -> Study:
        net = {"backbone": "gru", "args": {"width": 6}, "transform": options}
        return Study.model_validate(study_of_waves(folder) | {"source_models": {"net": net}})

    says = r"source_models.net: .*what follows the last step.*max_length: N, keep: last"
    with pytest.raises(ModelError, match=says):
        preflight(study(max_length=5))
    preflight(study(keep="first"))
    preflight(study(max_length=5, keep="last"))


def test_kept_features_give_the_same_trial(folder: Path) -> None:
    config = trial("finetune", frozen_depth="100%")
    kept, _ = run(material_of(folder, steps_per_epoch=None), config)
    plain, _ = run(material_of(folder, steps_per_epoch=None, reuse_prefix=False), config)
    for ours, theirs in zip(kept, plain, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-6)


def test_a_model_forecasts_and_gives_its_backbone(folder: Path, tmp_path: Path) -> None:
    spec = pretrain(folder / "source", "gru", tmp_path / "net", epochs=3, batch_size=8)
    assert spec.score.keys() == {"validation_steps_r2"}  # type: ignore[union-attr]
    verbs.predict(tmp_path / "net", folder / "target", out=tmp_path / "said.csv")
    rows = list(csv.reader((tmp_path / "said.csv").open(encoding="utf-8")))
    assert rows[0] == ["id", "forecast"] and len(rows) == TEST + 1
    assert all(len(row[1].split()) == HORIZON for row in rows[1:])


def test_the_usual_metric_is_the_root_mean_squared_error(folder: Path) -> None:
    opened = open_study(Study.model_validate(study_of_waves(folder))).study
    assert opened.metric == "steps_rmse" and opened.defaults.get("head", "linear") == "linear"


def test_what_is_kept_of_a_row_does_not_hang_on_the_rows_that_a_trial_was_fitted_to() -> None:
    column = StepsColumn(horizon=2, channel="wave", season=1)
    target = torch.tensor([[1.0, 3.0], [2.0, 2.5]], dtype=torch.float64)
    said = Predicted(target + torch.tensor([[0.0, 2.0], [-1.0, 0.0]]))
    one, other = (
        Forecasting(column, mean, 1.0).statistics(said, target).tolist() for mean in (0.0, 7.0)
    )
    assert one == other == [[4.0, 2.0, 1.0, 3.0], [1.0, 1.0, 2.0, 2.5]]
