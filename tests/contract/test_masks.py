"""Every recipe on masks: two epochs of two steps of the real loop, or a refusal."""

from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from contract_run import TAUGHT, able, run, trains_resumes_and_streams, unable
from masks_support import CLASSES, SIDE, TEST, squares, study_of_squares, write_squares
from PIL import Image

from raytl.config import Study, TrialConfig
from raytl.data.domain import Domain
from raytl.data.writer import Chunk, write_dataset
from raytl.errors import ConfigError, ModelError
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.text.column import TextColumn
from raytl.predictions import FILE_NAME, Predictions
from raytl.sweeping.opening import open_study
from raytl.sweeping.preflight import preflight
from raytl.tasks.mask_column import VOID, MaskColumn
from raytl.tasks.mask_pictures import overlays
from raytl.training.building import build_trial
from raytl.training.material import Material
from raytl.training.predict import predict_split
from raytl.training.pretrain import pretrain
from raytl.training.readers import Stored
from raytl.training.trial import TrialRun

SWIN = {"depths": (1, 1, 1, 1), "embed_dim": 12, "num_heads": (1, 1, 1, 1)}  # channels last


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("masks")


def material_of(folder: Path, **train: Any) -> Material:
    plain = study_of_squares(folder)
    plain["source_models"] |= {"other": {"backbone": "lenet", "input_size": 28}}
    return Material.of(Study.model_validate(plain | {"train": plain["train"] | train}))


def trial(recipe: str, **flat: Any) -> TrialConfig:
    plain = {
        "source_model": "net", "recipe": recipe, "frozen_depth": 2, "head.hidden": 16,
        "head": "constant" if recipe == "constant" else "unet", "optimizer": "sgd",
        "optimizer.lr": 0.05,
    }  # fmt: skip
    if recipe in TAUGHT:
        plain |= {"source_model": "other", "student": "net"}
    return TrialConfig.from_flat(plain | flat)


@pytest.mark.parametrize("recipe", able("segmentation"))
def test_a_recipe_trains_resumes_and_reads_the_same_streamed(
    folder: Path, tmp_path: Path, recipe: str
) -> None:
    material = partial(material_of, folder)
    whole, said = trains_resumes_and_streams(material, trial(recipe), tmp_path)
    assert said.predicted_N is None and said.target_N.tolist() == [0] * TEST
    pixels = said.given("pixels").sum(axis=1)
    assert pixels.tolist() == [12 * 11] * TEST  # the last line of each mask is VOID
    hits = said.given("pixels").reshape(TEST, 3, 3).diagonal(axis1=1, axis2=2).sum()
    assert whole[-1]["test/pixel_accuracy"] == pytest.approx(hits / pixels.sum())
    assert said.picture_N is not None and sum(p is not None for p in said.picture_N) == 8


@pytest.mark.parametrize("first", ["text", "other"])
def test_pictures_show_the_column_that_is_read(tmp_path: Path, first: str) -> None:
    image = ImageColumn(shape=(SIDE, SIDE, 1), dtype="uint8")
    columns: dict[str, Any] = {
        first: TextColumn() if first == "text" else image,
        "image": image,
        "mask": MaskColumn(shape=(SIDE, SIDE), classes=CLASSES),
    }
    splits = {}
    for number, (name, count) in enumerate({"train": 24, "test": TEST}.items()):
        images, masks = squares(count, number, 10.0)
        others = np.full(count, "no image", dtype=object) if first == "text" else 0 * images
        values = {first: others, "image": images, "mask": masks}
        splits[name] = [Chunk(values, np.arange(count))]
    write_dataset(tmp_path / "target", columns, splits, {"kind": "test"})
    parts = {"image": {"backbone": "small_cnn", "args": {"width": 4}}}
    study = study_of_squares(tmp_path, source_domain=None, source_models={"net": {"parts": parts}})
    run(Material.of(Study.model_validate(study)), trial("finetune"), keep=tmp_path / "kept")
    said = Predictions.read(tmp_path / "kept" / "2" / FILE_NAME)
    assert said.picture_N is not None and said.picture_N[0] is not None
    shown = np.asarray(Image.open(BytesIO(said.picture_N[0])).convert("L"))
    grey = np.asarray(Image.open(BytesIO(overlays(images[0], masks[0], masks[0], 3))).convert("L"))
    assert shown.shape == grey.shape
    np.testing.assert_array_equal(shown[:, : len(shown)], grey[:, : len(grey)])  # the image itself


@pytest.mark.parametrize("recipe", unable("segmentation"))
def test_other_recipes_are_refused_by_name(folder: Path, recipe: str) -> None:
    study = study_of_squares(folder, space={"recipe": {"choice": [recipe]}})
    with pytest.raises(ConfigError, match=rf"recipe {recipe} needs .* column 'mask' holds masks"):
        preflight(Study.model_validate(study))


@pytest.mark.parametrize("depth", [1, 3, "100%"])
@pytest.mark.parametrize("head", ["unet", "linear"])
def test_kept_maps_of_a_prefix_give_the_same_trial(folder: Path, depth: Any, head: str) -> None:
    config = trial("dann", frozen_depth=depth, head=head)
    reading = material_of(folder, steps_per_epoch=None)
    assert isinstance(TrialRun(reading, config, 5)._readers.by_branch["image"], Stored)
    kept, again = run(reading, config)
    plain, parts = run(material_of(folder, steps_per_epoch=None, reuse_prefix=False), config)
    for ours, theirs in zip(kept, plain, strict=True):
        assert ours.pop("test/confusion", None) == theirs.pop("test/confusion", None)
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-6)
    for name, value in parts.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[name], value, rtol=1e-3, atol=1e-5)


def test_fixed_views_of_rows_have_masks_that_moved_with_them(folder: Path) -> None:
    augment = {"flip": True, "crop": 2, "views": 3}
    reported, _ = run(material_of(folder, augment=augment, reuse_prefix=False), trial("finetune"))
    again, _ = run(
        material_of(folder, augment=augment, reuse_prefix=False, feed="streaming"),
        trial("finetune"),
    )
    assert reported == again
    material = material_of(folder, augment=augment, reuse_prefix=False)
    feed = _labelled_feed(material)
    batch = next(feed.train_batches())
    images = batch.inputs["image"].rows.float()  # type: ignore[union-attr]
    bright = images[..., 0] > 120
    assert (batch.target[bright] != 0).float().mean() > 0.9  # type: ignore[index]


def test_masks_drawn_anew_move_with_their_images(folder: Path) -> None:
    material = material_of(folder, augment={"flip": True, "crop": 3})
    batch = next(_labelled_feed(material).train_batches())
    bright = batch.inputs["image"].rows[..., 0] > 140  # type: ignore[index]
    assert (batch.target[bright] != 0).float().mean() > 0.9  # type: ignore[index]
    assert (batch.target == VOID).sum() > len(batch.id) * 12  # what came in from outside, too


def _labelled_feed(material: Material) -> Any:
    return TrialRun(material, trial("finetune"), 5).feeds["labelled"]


def test_rows_without_a_mask_are_not_learnt_from(tmp_path: Path) -> None:
    write_squares(tmp_path / "target", 1, nulls=True)
    study = study_of_squares(tmp_path, source_domain=None)
    study["target_domain"]["labels"] = "all"
    domain = Domain.open(Study.model_validate(study).target_domain)
    marks = domain.targets("train")
    assert (marks == -1).sum() == 8 and (marks == 0).sum() == 16
    material = Material.of(Study.model_validate(study))
    reported, _ = run(material, trial("finetune"))
    assert np.isfinite(reported[-1]["train/loss/task"])


def test_without_labels_a_trial_is_selected_by_weighted_source_losses(folder: Path) -> None:
    study = study_of_squares(folder)
    study["target_domain"]["labels"] = "none"
    study["space"] = {"recipe": {"choice": ["dann", "entropy_minimisation"]}}
    opened = open_study(Study.model_validate(study)).study
    assert (opened.objective, opened.metric, opened.defaults["head"]) == ("iwv", "miou", "unet")
    reported, _ = run(Material.of(opened), trial("dann"))
    assert np.isfinite(reported[-1]["target/validator/iwv"])
    assert "oracle/target_validation_miou" in reported[-1]


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        (
            "head",
            "mlp",
            "space.head: head mlp is not for it, as the target column 'mask' holds",
        ),
        ("mapper", "linear", "space.mapper: mapper linear maps a row's features, but the target"),
    ],
)
def test_parts_that_masks_cannot_have_are_refused(
    folder: Path, key: str, value: str, text: str
) -> None:
    study = study_of_squares(folder, space={key: {"choice": [value]}})
    with pytest.raises(ConfigError, match=text):
        preflight(Study.model_validate(study))


def test_a_metric_of_classes_is_refused(folder: Path) -> None:
    study = study_of_squares(folder, search={"metric": "accuracy"})
    with pytest.raises(ConfigError, match="accuracy is not of masks, .* use auto, miou, dice or"):
        open_study(Study.model_validate(study))


def test_a_network_without_maps_is_refused(folder: Path) -> None:
    study = study_of_squares(folder)
    study["source_models"] = {"net": {"backbone": "timm/vit_tiny_patch16_224"}}
    text = "source_models.net: a segmentation needs a network whose .* take a convolutional one$"
    with pytest.raises(ModelError, match=text):
        preflight(Study.model_validate(study))


def test_a_pretrained_model_predicts_masks_and_gives_its_backbone(
    folder: Path, tmp_path: Path
) -> None:
    study_of_squares(folder)
    spec = pretrain(folder / "source", "small_cnn", tmp_path / "net", epochs=3, batch_size=8)
    assert spec.score.keys() == {"validation_miou"} and spec.head.name == "unet"  # type: ignore[union-attr]
    found = predict_split(tmp_path / "net", folder / "target", "test")
    assert (
        found.task == "segmentation" and found.columns == ("id", "mask") and len(found.rows) == TEST
    )
    assert found.rows[0][1].startswith(b"\x89PNG") and 0 < found.metrics["miou"] <= 1
    plain = study_of_squares(folder, source_models={"net": {"path": tmp_path / "net"}})
    reported, _ = run(Material.of(Study.model_validate(plain)), trial("linear_probe"))
    assert reported[-1]["frozen_blocks"] == 4


def test_frozen_blocks_stay_as_they_are(folder: Path) -> None:
    material, config = material_of(folder, reuse_prefix=False), trial("finetune")
    before = build_trial(material, config, 5).model.branch("image").backbone
    _, parts = run(material, config)
    after = parts.model.branch("image").backbone
    for index in (0, 1):
        for name, value in before.blocks[index].state_dict().items():
            assert torch.equal(after.blocks[index].state_dict()[name], value)


@pytest.mark.parametrize(
    ("source", "sizes"),
    [
        ({"backbone": "lenet", "input_size": 32}, 2),
        ({"backbone": "cifar_resnet20"}, 3),
        ({"backbone": "squeezenet1_1", "input_size": 64}, 4),
        ({"backbone": "resnet18", "input_size": 64}, 4),
        ({"backbone": "mobilenet_v3_small", "input_size": 64}, 5),
        ({"backbone": "timm/tf_efficientnet_lite0", "input_size": 64}, 5),
        ({"backbone": "timm/swin_tiny_patch4_window7_224", "input_size": 224, "args": SWIN}, 4),
    ],
)
def test_a_unet_stands_on_networks_of_every_family(
    folder: Path, source: dict[str, Any], sizes: int
) -> None:
    study = study_of_squares(folder, source_models={"net": source})
    material = Material.of(Study.model_validate(study))
    parts = build_trial(material, trial("finetune", frozen_depth=1), 5)
    shapes = parts.model.branch("image").backbone.tap_shapes
    areas = [height * width for _, height, width in shapes]
    assert len(shapes) == sizes and areas == sorted(areas, reverse=True)
    reported, _ = run(material, trial("finetune", frozen_depth=1))
    assert np.isfinite(reported[-1]["train/loss/task"])
