"""Every recipe on boxes: two epochs of two steps of the real loop, or a refusal."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from boxes_support import SIDE, TEST, study_of_scenes, write_scenes
from contract_run import TAUGHT, able, run, trains_resumes_and_streams, unable

from raytl.config import Study, TrialConfig
from raytl.data.domain import Domain
from raytl.errors import ConfigError, DataError, ModelError
from raytl.scoring.box_metrics import parted
from raytl.sweeping.opening import open_study
from raytl.sweeping.preflight import preflight
from raytl.training.material import Material
from raytl.training.predict import predict_split
from raytl.training.pretrain import pretrain
from raytl.training.readers import Stored
from raytl.training.trial import TrialRun


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("boxes")


def material_of(folder: Path, **train: Any) -> Material:
    plain = study_of_scenes(folder)
    plain["source_models"] |= {"other": {"backbone": "lenet", "input_size": 28}}
    return Material.of(Study.model_validate(plain | {"train": plain["train"] | train}))


def trial(recipe: str, **flat: Any) -> TrialConfig:
    plain = {
        "source_model": "net", "recipe": recipe, "frozen_depth": 2, "head.hidden": 8,
        "head": "constant" if recipe == "constant" else "faster_rcnn", "optimizer.lr": 0.01,
    }  # fmt: skip
    if recipe in TAUGHT:
        plain |= {"source_model": "other", "student": "net"}
    return TrialConfig.from_flat(plain | flat)


@pytest.mark.parametrize("recipe", able("detection"))
def test_a_recipe_trains_resumes_and_reads_the_same_streamed(
    folder: Path, tmp_path: Path, recipe: str
) -> None:
    material = partial(material_of, folder)
    whole, said = trains_resumes_and_streams(material, trial(recipe), tmp_path)
    assert said.predicted_N is None and said.target_N.tolist() == [0] * TEST
    boxes_NK = parted(said.given("boxes"))[3]
    assert boxes_NK.sum(axis=1)[np.argsort(said.id_N)].tolist() == [1, 2, 1, 2, 1, 0, 1, 2, 1, 2, 1]
    assert 0 <= whole[-1]["test/map"] <= whole[-1]["test/map50"] <= 1
    assert (recipe != "constant") or whole[-1]["test/map50"] == 0
    assert said.picture_N is not None and sum(p is not None for p in said.picture_N) == 8


@pytest.mark.parametrize("recipe", unable("detection"))
def test_other_recipes_are_refused_by_name(folder: Path, recipe: str) -> None:
    study = study_of_scenes(folder, space={"recipe": {"choice": [recipe]}})
    with pytest.raises(ConfigError, match=rf"recipe {recipe} needs .* column 'boxes' holds boxes"):
        preflight(Study.model_validate(study))


def test_objects_are_learnt_to_be_found(tmp_path: Path) -> None:
    write_scenes(tmp_path / "target", 0, rows=60)
    study = study_of_scenes(tmp_path, source_domain=None)
    study["target_domain"]["labels"] = "all"
    study["train"] = {"epochs": 4, "batch_size": 8, "steps_per_epoch": 25}
    flat = {"head.hidden": 16, "optimizer": "adamw", "optimizer.lr": 0.005}
    config = trial("finetune", frozen_depth=0, **flat)
    reported, _ = run(Material.of(Study.model_validate(study)), config)
    assert reported[-1]["test/map50"] > 0.4
    assert reported[-1]["train/loss/task"] < 0.6 * reported[0]["train/loss/task"]


@pytest.mark.parametrize("depth", [1, 3, "100%"])
def test_kept_maps_of_a_prefix_give_the_same_trial(folder: Path, depth: Any) -> None:
    config = trial("dann", frozen_depth=depth)
    reading = material_of(folder, steps_per_epoch=None)
    assert isinstance(TrialRun(reading, config, 5)._readers.by_branch["image"], Stored)
    kept, again = run(reading, config)
    plain, parts = run(material_of(folder, steps_per_epoch=None, reuse_prefix=False), config)
    for ours, theirs in zip(kept, plain, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-5)
    for name, value in parts.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("views", [None, 3])
def test_boxes_move_with_their_augmented_images(folder: Path, views: int | None) -> None:
    augment = {"flip": True, "crop": 3} | ({"views": views} if views else {})
    material = material_of(folder, augment=augment, reuse_prefix=False)
    batch = next(TrialRun(material, trial("dann"), 5).feeds["source"].train_batches())
    images = batch.inputs["image"].rows[..., 0].float()  # type: ignore[union-attr]
    checked = 0
    for image, boxes, n in zip(
        images, batch.target.values, batch.target.sizes[:, 0].tolist(), strict=True  # type: ignore[union-attr]
    ):  # fmt: skip
        for x1, y1, x2, y2 in boxes[:n, :4].int().tolist():
            assert 0 <= x1 < x2 <= SIDE and 0 <= y1 < y2 <= SIDE
            assert image[y1:y2, x1:x2].min() > 90  # noise is of 10 around 60
            checked += 1
    assert checked > 3


def test_fixed_views_are_read_the_same_streamed(folder: Path) -> None:
    train = {"augment": {"flip": True, "crop": 2, "views": 3}, "reuse_prefix": False}
    reported, _ = run(material_of(folder, **train), trial("finetune"))
    assert run(material_of(folder, feed="streaming", **train), trial("finetune"))[0] == reported


def test_rows_that_are_not_labelled_are_not_learnt_from(tmp_path: Path) -> None:
    write_scenes(tmp_path / "target", 1, nulls=True)
    study = study_of_scenes(tmp_path, source_domain=None)
    study["target_domain"]["labels"] = "all"
    domain = Domain.open(Study.model_validate(study).target_domain)
    marks = domain.targets("train")
    assert (marks == -1).sum() == 8 and (marks == 0).sum() == 16
    reported, _ = run(Material.of(Study.model_validate(study)), trial("finetune"))
    assert np.isfinite(reported[-1]["train/loss/task"])


def test_without_labels_a_trial_is_selected_by_weighted_source_losses(folder: Path) -> None:
    study = study_of_scenes(folder)
    study["target_domain"]["labels"] = "none"
    study["space"] = {"recipe": {"choice": ["source_only", "dann"]}}
    opened = open_study(Study.model_validate(study)).study
    chosen = (opened.objective, opened.metric, opened.defaults["head"])
    assert chosen == ("iwv", "map50", "faster_rcnn")
    reported, _ = run(Material.of(opened), trial("dann"))
    assert np.isfinite(reported[-1]["target/validator/iwv"])
    assert "oracle/target_validation_map50" in reported[-1]


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("head", "unet", "head unet is not for it, as .* holds boxes; take faster_rcnn$"),
        ("mapper", "linear", "space.mapper: mapper linear maps a row's features, but the target"),
        ("class_weights", "balanced", "space.class_weights: balanced weighs classes, but the"),
    ],
)
def test_parts_that_boxes_cannot_have_are_refused(
    folder: Path, key: str, value: str, text: str
) -> None:
    study = study_of_scenes(folder, space={key: {"choice": [value]}})
    with pytest.raises(ConfigError, match=text):
        preflight(Study.model_validate(study))


def test_a_metric_of_masks_is_refused(folder: Path) -> None:
    study = study_of_scenes(folder, search={"metric": "miou"})
    with pytest.raises(ConfigError, match="miou is not of boxes, .* use auto, map50 or map"):
        open_study(Study.model_validate(study))


def test_a_network_without_maps_is_refused(folder: Path) -> None:
    study = study_of_scenes(folder)
    study["source_models"] = {"net": {"backbone": "timm/vit_tiny_patch16_224"}}
    with pytest.raises(ModelError, match="source_models.net: a detection needs a network whose"):
        preflight(Study.model_validate(study))


def test_training_rows_without_any_box_are_refused(tmp_path: Path) -> None:
    write_scenes(tmp_path / "target", 1, empty=True)
    study = Study.model_validate(study_of_scenes(tmp_path, source_domain=None))
    with pytest.raises(DataError, match="^target_domain: the 10 labelled .* rows have no box, so"):
        preflight(study)


def test_a_pretrained_model_predicts_boxes_and_gives_its_backbone(
    folder: Path, tmp_path: Path
) -> None:
    study_of_scenes(folder)
    spec = pretrain(folder / "source", "small_cnn", tmp_path / "net", epochs=2, batch_size=8)
    assert spec.score.keys() == {"validation_map50"} and spec.head.name == "faster_rcnn"  # type: ignore[union-attr]
    assert len(spec.task["anchors"]) == 12  # type: ignore[index]
    found = predict_split(tmp_path / "net", folder / "target", "test")
    assert (
        found.task == "detection" and found.columns == ("id", "boxes") and len(found.rows) == TEST
    )
    for box in (box for row in found.rows for box in json.loads(row[1])):
        assert box["class"] in ("square", "bar") and 0 < box["score"] <= 1
        x1, y1, x2, y2 = box["box"]
        assert 0 <= x1 < x2 <= SIDE and 0 <= y1 < y2 <= SIDE
    assert 0 <= found.metrics["map50"] <= 1
    plain = study_of_scenes(folder, source_models={"net": {"path": tmp_path / "net"}})
    reported, _ = run(Material.of(Study.model_validate(plain)), trial("linear_probe"))
    assert reported[-1]["frozen_blocks"] == 4


def test_boxes_are_learnt_in_bfloat16(folder: Path) -> None:
    reported, _ = run(material_of(folder, precision="bfloat16"), trial("dann", frozen_depth=0))
    assert np.isfinite(reported[-1]["train/loss/task"])


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"classes": ("square", "circle")}, "are of square, bar, and the other's of square, circ"),
        (
            {"shape": (24, SIDE)},
            "its boxes are of images of 16x16 pixels, and the other",
        ),
    ],
)
def test_a_source_domain_of_other_boxes_is_refused(
    tmp_path: Path, columns: dict[str, Any], text: str
) -> None:
    write_scenes(tmp_path / "source", 0, **columns)
    study = study_of_scenes(tmp_path, space={"recipe": {"choice": ["dann"]}})
    with pytest.raises(ConfigError, match=text):
        preflight(Study.model_validate(study))
