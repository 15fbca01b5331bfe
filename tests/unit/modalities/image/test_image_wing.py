"""The wing of images: transforms by the rules, weights of every origin, what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision

from raytl.config import SourceModelConfig
from raytl.errors import CorruptError, ModelError, RaytlError
from raytl.modalities.backbone import Backbone
from raytl.modalities.image.catalogue import build_backbone
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.image.timm_models import create_timm
from raytl.modalities.image.wing import Image

WING = Image()
HALF, IMAGENET = [0.5, 0.5, 0.5], [0.485, 0.456, 0.406]


def column(height: int = 40, width: int = 32, channels: int = 3) -> ImageColumn:
    return ImageColumn(shape=(height, width, channels), dtype="uint8")


def never() -> Any:
    raise AssertionError("nothing is fitted to images")


def facts(of: ImageColumn | None = None, **config: Any) -> dict[str, Any]:
    return WING.fit(SourceModelConfig(**config), of or column(), never).facts()


def loaded(**config: Any) -> Backbone:
    checked = SourceModelConfig(**config)
    WING.check(checked)
    return WING.load(checked, WING.fit(checked, column(), never)).eval()


@pytest.fixture
def file(tmp_path: Path) -> str:
    torch.save({"a": torch.zeros(1)}, tmp_path / "w.pth")
    return str(tmp_path / "w.pth")


def test_fresh_networks_read_images_of_the_datas_own_size_around_a_half() -> None:
    for name in ("small_cnn", "resnet18", "timm/resnet18"):
        found = facts(backbone=name)
        assert found == {"input_shape": [3, 40, 40], "mean": HALF, "std": HALF}
    grey = facts(column(16, 16, 1), backbone="lenet")
    assert grey == {"input_shape": [1, 16, 16], "mean": [0.5], "std": [0.5]}


def test_weights_are_read_as_they_were_trained(file: str) -> None:
    found = facts(torchvision="resnet18", weights="DEFAULT")
    assert found["mean"] == IMAGENET and found["input_shape"] == [3, 40, 40]
    assert facts(column(16, 16, 1), backbone="lenet", weights=file)["mean"] == [0.5]
    lite = facts(timm="tf_efficientnet_lite0", weights=file)
    size = {"input_shape": [3, 224, 224], "interpolation": "bicubic"}
    assert lite == {"mean": HALF, "std": HALF} | size
    assert facts(backbone="timm/tf_efficientnet_lite0", weights=file) == lite
    vgg = facts(timm="vgg11", weights=True)
    assert vgg["mean"] == pytest.approx(IMAGENET) and "interpolation" not in vgg


def test_what_the_study_says_of_size_and_normalisation_counts(file: str) -> None:
    own = {"normalization": {"mean": [0.1], "std": [0.2]}, "input_size": 64}
    for origin in ({"backbone": "resnet18"}, {"timm": "resnet18", "weights": file}):
        found = facts(**origin, **own)
        assert (found["input_shape"], found["mean"], found["std"]) == ([3, 64, 64], [0.1], [0.2])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"huggingface": "a/b"}, "huggingface: a/b is no network for images"),
        (
            {"torchvision": "lenet", "weights": "DEFAULT"},
            "'lenet' is not torchvision's; write back",
        ),
        ({"torchvision": "resnet18", "weights": "IMAGENET"}, "known: DEFAULT, IMAGENET1K_V1"),
        ({"backbone": "resnet81"}, "did you mean 'resnet18'"),
        ({"timm": "resnet81", "weights": True}, "did you mean 'resnet18'"),
        ({"timm": "resnet18", "weights": "DEFAULT"}, "give a .pth file, true for the hub's, or"),
        ({"timm": "mixer_s32_224", "weights": True}, "timm has no weights of mixer_s32_224; give"),
        ({"timm": "resnet18", "weights": "none.pth"}, "none.pth: no such weights file"),
        ({"backbone": "lenet", "weights": "DEFAULT"}, "lenet has no weights by name, but got"),
        ({"backbone": "lenet", "transform": {"size": 3}}, "no `transform` options, but got size"),
    ],
)
def test_what_no_image_network_is_is_refused_before_data_is_there(
    config: dict[str, Any], message: str
) -> None:
    with pytest.raises(ModelError) as caught:
        WING.check(SourceModelConfig(**config))
    assert message in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_what_does_not_fit_the_images_is_refused() -> None:
    three = {"mean": [0.5] * 3, "std": [1.0] * 3}
    with pytest.raises(ModelError, match="one number or 1, as many as the input has channels"):
        facts(column(16, 16, 1), backbone="lenet", normalization=three)
    with pytest.raises(ModelError, match="takes 3 channels, but the images have 5"):
        facts(column(32, 32, 5), backbone="resnet18")
    with pytest.raises(ModelError, match="a multiple of 16"):
        facts(backbone="vit_b_16", input_size=40)
    with pytest.raises(ModelError, match="unknown backbone 'small'; did you mean 'small_cnn'"):
        WING.build("small", WING.fit(SourceModelConfig(backbone="lenet"), column(), never), {})


def test_networks_are_built_by_name_for_what_the_transform_gives() -> None:
    transform = WING.fit(SourceModelConfig(backbone="small_cnn"), column(), never)
    torch.manual_seed(3)
    one = WING.build("small_cnn", transform, {"width": 4})
    torch.manual_seed(3)
    same = build_backbone("small_cnn", (3, 40, 40), width=4)
    assert torch.equal(one.blocks[0][0].weight, same.blocks[0][0].weight)  # type: ignore[index]
    assert (one.name, one.feature_dim, one.state) == ("small_cnn", 16, "maps")
    assert one(transform(transform.example(2))).shape == (2, 16)


def test_own_and_torchvisions_state_dicts_are_loaded(tmp_path: Path) -> None:
    own = build_backbone("small_cnn", (3, 40, 40), width=4).eval()
    torch.save(own.state_dict(), tmp_path / "own.pth")
    x = torch.rand(2, 3, 40, 40)
    again = loaded(backbone="small_cnn", args={"width": 4}, weights=str(tmp_path / "own.pth"))
    assert torch.equal(again(x), own(x))
    network = torchvision.models.get_model("squeezenet1_1", weights=None, num_classes=7)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "tv.pth")
    cut = loaded(torchvision="squeezenet1_1", weights=str(tmp_path / "tv.pth"))
    assert torch.equal(cut(x), network.features.eval()(x).mean((2, 3)))


@pytest.mark.parametrize("classes", [5, 0])
def test_timms_state_dicts_are_loaded_with_their_classifier_or_without(
    tmp_path: Path, classes: int
) -> None:
    network = timm.create_model("test_resnet", num_classes=5).eval()
    state = network.state_dict()
    kept = {key: value for key, value in state.items() if classes or not key.startswith("fc.")}
    assert (len(kept) == len(state)) == bool(classes)
    torch.save(kept, tmp_path / "w.pth")
    backbone = loaded(timm="test_resnet", weights=str(tmp_path / "w.pth"))
    assert backbone.name == "timm/test_resnet"
    x = torch.rand(2, 3, 64, 64)
    wanted = network.forward_head(network.forward_features(x), pre_logits=True)
    assert torch.allclose(backbone(x), wanted, atol=1e-5)


def test_weights_that_do_not_fit_are_told(tmp_path: Path) -> None:
    state = timm.create_model("test_resnet").state_dict()
    file = tmp_path / "w.pth"
    torch.save(state | {"more": torch.zeros(1)}, file)
    with pytest.raises(ModelError, match="the weights do not fit: 'more' is unknown"):
        loaded(timm="test_resnet", weights=str(file))
    del state["conv1.0.weight"]
    torch.save(state, file)
    with pytest.raises(ModelError, match=r"do not fit: 'conv1.0.weight' is missing"):
        loaded(timm="test_resnet", weights=str(file))
    file.write_bytes(b"junk")
    with pytest.raises(CorruptError, match="is no whole file of weights"):
        loaded(timm="test_resnet", weights=str(file))


@pytest.mark.parametrize("classes", [5, 0])
def test_positions_learnt_for_one_size_are_scaled_for_another(tmp_path: Path, classes: int) -> None:
    name = "vit_tiny_patch16_224"
    args = {"depth": 1, "embed_dim": 24, "num_heads": 2}
    network = create_timm(f"timm/{name}", (3, 224, 224), num_classes=classes, **args).eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    given: dict[str, Any] = {"timm": name, "args": args, "weights": str(tmp_path / "w.pth")}
    x = torch.rand(2, 3, 224, 224)
    wanted = network.forward_head(network.forward_features(x), pre_logits=True)
    assert torch.allclose(loaded(**given)(x), wanted, atol=1e-5)
    small = loaded(**given, input_size=96)
    network.set_input_size(96)  # type: ignore[operator]
    x = torch.rand(2, 3, 96, 96)
    wanted = network.forward_head(network.forward_features(x), pre_logits=True)
    assert torch.allclose(small(x), wanted, atol=1e-5)
    torch.save(network.state_dict(), tmp_path / "w.pth")  # trained at 96: nothing to scale
    assert torch.allclose(loaded(**given, input_size=96)(x), wanted, atol=1e-5)


def test_loading_leaves_the_global_random_state_alone(tmp_path: Path) -> None:
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "w.pth")
    before = torch.get_rng_state()
    loaded(timm="test_resnet", weights=str(tmp_path / "w.pth"))
    assert torch.equal(torch.get_rng_state(), before)


def test_downloads_that_fail_say_what_to_give_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr("torch.hub.download_url_to_file", refused)
    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", refused)
    for config in ({"torchvision": "squeezenet1_1", "weights": "DEFAULT"}, {"timm": "resnet10t",
                   "weights": True}):  # fmt: skip
        with pytest.raises(RaytlError, match="cannot download weights .*a local .pth") as caught:
            loaded(**config)
        assert caught.value.exit_code == 1


def test_two_images_are_mixed_pixel_by_pixel() -> None:
    own = np.full((1, 2, 2, 1), 255, np.uint8)
    partner = np.zeros((1, 2, 2, 1), np.uint8)
    mixed = WING.mix(own, partner, 0.75)
    assert mixed.dtype == np.float32 and mixed.tolist() == np.full((1, 2, 2, 1), 0.75).tolist()
    assert WING.mixes and WING.augments == {"flip", "crop"}


def test_a_transform_is_had_again_from_its_facts() -> None:
    found = facts(backbone="small_cnn")
    assert WING.transform(found).facts() == found
    with pytest.raises(ValueError, match="input_shape: Field required"):
        WING.transform({})


def test_own_and_torchvisions_networks_are_listed() -> None:
    assert {"lenet", "small_cnn", "cifar_resnet20", "resnet18", "vit_b_16"} <= set(WING.backbones())
