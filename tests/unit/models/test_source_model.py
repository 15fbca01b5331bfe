"""Source models: saved whole, read back equal, refused when broken."""

import pickle
from email.message import Message
from io import BytesIO
from pathlib import Path

import pytest
import torch
import torchvision
from source_support import (
    COLOUR,
    GREY,
    fresh,
    images_of,
    load_of,
    save_whole,
    unread,
    whole_model,
)
from torch import nn

from raytl.config import SourceModelConfig
from raytl.errors import CorruptError, ModelError, RaytlError, UserError
from raytl.modalities.column import Column
from raytl.modalities.image.catalogue import build_backbone
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.text.column import TextColumn
from raytl.models.opened_models import SourceModels
from raytl.models.source_folder import inspect_source_model, load_complete_model
from raytl.models.source_model import load_source_model, save_source_model
from raytl.models.source_spec import SourceSpec, read_spec, verify_source_model
from raytl.rows import Given
from raytl.seeds import seed_for
from raytl.tasks.classification import Classification


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_whole(tmp_path / "m")


def test_round_trip(saved: Path) -> None:
    spec = verify_source_model(saved)
    assert isinstance(spec, SourceSpec)
    complete = load_complete_model(saved)
    again = load_of(SourceModelConfig(path=saved), seed=9)
    assert again.transferred
    rows = torch.randint(0, 256, (2, 16, 16, 1), dtype=torch.uint8)
    part = again.parts["image"]
    with torch.no_grad():
        features = part.backbone.eval()(part.transform(rows))
        out = complete.model.eval()({"image": Given(rows)})
    assert torch.equal(features, out.features)
    assert part.transform.facts() == complete.transforms["image"].facts()
    assert isinstance(complete.task, Classification) and complete.task.classes == ("a", "b", "c")
    with pytest.raises(UserError, match="exists already"):
        save_source_model(saved, complete.model, spec)


def test_saving_what_was_loaded_writes_the_same(saved: Path, tmp_path: Path) -> None:
    complete = load_complete_model(saved)
    save_source_model(tmp_path / "again", complete.model, complete.spec)
    for name in ("model.safetensors", "source.json"):
        assert (tmp_path / "again" / name).read_bytes() == (saved / name).read_bytes()


def test_what_is_written_predicts_as_it_did(tmp_path: Path) -> None:
    model, spec = whole_model(fresh())
    inputs = {"image": Given(torch.randint(0, 256, (4, 16, 16, 1), dtype=torch.uint8))}
    with torch.no_grad():
        before = model.eval()(inputs).out
        save_source_model(tmp_path / "m", model, spec)
        assert torch.equal(load_complete_model(tmp_path / "m").model.eval()(inputs).out, before)


def test_a_source_model_reads_the_only_column_of_its_kind_or_that_of_its_name(saved: Path) -> None:
    config = SourceModelConfig(path=saved)
    grey = images_of(GREY)["image"]
    other = load_source_model("m", config, {"scan": grey}, unread, 0)
    assert list(other.parts) == list(other.spec.parts) == ["scan"]
    cases: list[tuple[dict[str, Column], str]] = [
        ({"front": grey, "back": grey}, "front (image), back (image)"),
        ({"words": TextColumn()}, "words (text)"),
    ]
    for columns, given in cases:
        with pytest.raises(ModelError, match="reads image") as caught:
            load_source_model("m", config, columns, unread, 0)
        assert f"but the domains have {given}; name other inputs" in str(caught.value)


def test_a_source_model_without_a_folder_reads_one_column() -> None:
    columns = images_of(GREY) | {"words": TextColumn()}
    with pytest.raises(ModelError, match=r"reads one column, but .* 2 \(image, words\);"):
        load_source_model("m", SourceModelConfig(backbone="lenet"), columns, unread, 0)


def test_a_stored_source_model_reads_images_of_another_size_and_grey_for_colour(
    saved: Path,
) -> None:
    config = SourceModelConfig(path=saved)
    for shape in (GREY, (1, 40, 30), COLOUR):
        assert load_of(config, shape).spec == read_spec(saved)
    column = {"image": ImageColumn(shape=(16, 16, 5), dtype="uint8")}
    with pytest.raises(ModelError, match="takes 1 channels, but the images have 5; only grey"):
        load_source_model("m", config, column, unread, 0)


def test_a_folder_without_a_head_is_a_source_model_and_cannot_predict(tmp_path: Path) -> None:
    model, spec = whole_model(fresh())
    bare = spec.model_copy(update={"head": None, "mapper": None, "task": None})
    save_source_model(tmp_path / "m", model, bare)
    assert load_of(SourceModelConfig(path=tmp_path / "m")).transferred
    assert inspect_source_model(tmp_path / "m")["verified"]
    with pytest.raises(ModelError, match="has no head, so it cannot predict; use a run's best/"):
        load_complete_model(tmp_path / "m")


def test_broken_folders_are_noticed(saved: Path, tmp_path: Path) -> None:
    weights = saved / "model.safetensors"
    whole = weights.read_bytes()
    changed = bytearray(whole)
    changed[-1] ^= 1
    weights.write_bytes(changed)
    with pytest.raises(CorruptError, match="SHA-256"):
        verify_source_model(saved)
    weights.write_bytes(whole[:50])
    with pytest.raises(CorruptError, match="cannot be read"):
        load_of(SourceModelConfig(path=saved))
    weights.unlink()
    with pytest.raises(CorruptError, match="the weights are missing"):
        verify_source_model(saved)
    (saved / "source.json").write_text("{")
    with pytest.raises(CorruptError, match=r"source\.json: Invalid JSON"):
        verify_source_model(saved)
    with pytest.raises(ModelError, match="no source model here.*raytl pretrain"):
        load_of(SourceModelConfig(path=tmp_path / "none"))


def test_fresh_weights_follow_the_seed_and_leave_the_global_state_alone() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one, same, other = (fresh(seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    first = [next(m.parts["image"].backbone.parameters()) for m in (one, same, other)]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])
    assert not one.transferred


def test_fresh_weights_are_those_that_the_seed_gave_before() -> None:
    torch.manual_seed(1)
    plain = build_backbone("small_cnn", GREY, width=4).state_dict()
    found = fresh(1).parts["image"].backbone.state_dict()
    assert all(torch.equal(value, found[key]) for key, value in plain.items())


def first_weight(models: SourceModels, seed: int, name: str = "m") -> torch.Tensor:
    return next(models.open(name, seed).parts["image"].backbone.parameters())


def models_of(config: SourceModelConfig) -> SourceModels:
    return SourceModels({"m": config}, images_of(GREY), unread)


def test_a_clone_of_an_opened_one_has_its_own_weights() -> None:
    models = models_of(SourceModelConfig(backbone="small_cnn", args={"width": 4}))
    opened = models.open("m", 1)
    clone = opened.clone()
    nn.init.zeros_(next(clone.parts["image"].backbone.parameters()))
    assert models.open("m", 1) is opened
    assert first_weight(models, 1).abs().sum() > 0


def test_pretrained_weights_are_opened_once_and_fresh_ones_once_a_seed(saved: Path) -> None:
    stored = models_of(SourceModelConfig(path=saved))
    assert stored.open("m", 1) is stored.open("m", 2)
    plain = models_of(SourceModelConfig(backbone="small_cnn", args={"width": 4}))
    assert plain.open("m", 1) is not plain.open("m", 2)
    assert not torch.equal(first_weight(plain, 1), first_weight(plain, 2))


def test_the_same_network_with_fresh_weights(saved: Path) -> None:
    stored = models_of(SourceModelConfig(path=saved))
    pretrained, seed = stored.open("m", 0), seed_for(7, "backbone")
    scratch = stored.open_fresh("m", seed)
    assert scratch is stored.open_fresh("m", seed) is not stored.open_fresh("m", seed + 1)
    assert pretrained.transferred and not scratch.transferred
    assert scratch.spec.weights_sha256 is None and scratch.spec.trained_on is None
    ours, theirs = scratch.parts["image"], pretrained.parts["image"]
    assert ours.transform is theirs.transform and ours.args == theirs.args == {"width": 4}
    torch.manual_seed(seed)
    expected = build_backbone("small_cnn", GREY, width=4).state_dict()
    found = ours.backbone.state_dict()
    assert all(torch.equal(value, found[key]) for key, value in expected.items())
    plain = models_of(SourceModelConfig(backbone="small_cnn", args={"width": 4}))
    assert plain.open_fresh("m", 3) is plain.open("m", 3)


@pytest.mark.parametrize("wrap", ["plain", "module", "nested"])
def test_local_torchvision_weights(tmp_path: Path, wrap: str) -> None:
    torch.manual_seed(0)
    network = torchvision.models.get_model("resnet18", weights=None, num_classes=7)
    state = dict(network.state_dict())
    if wrap != "plain":
        state = {f"module.{key}": value for key, value in state.items()}
    torch.save({"state_dict": state} if wrap == "nested" else state, tmp_path / "w.pth")
    config = SourceModelConfig(torchvision="resnet18", weights=str(tmp_path / "w.pth"))
    model = load_of(config, COLOUR, seed=5)
    part = model.parts["image"]
    assert torch.equal(part.backbone.blocks[0][0].weight, network.conv1.weight)  # type: ignore[index]
    assert model.transferred
    assert model.spec.parts["image"].transform["mean"] == [0.485, 0.456, 0.406]


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_weights_that_cannot_be_used(tmp_path: Path) -> None:
    def load(name: str, backbone: str = "small_cnn") -> None:
        config = SourceModelConfig(backbone=backbone, weights=str(tmp_path / name))
        load_of(config)

    (tmp_path / "junk.pth").write_bytes(b"junk")
    with pytest.raises(CorruptError, match=r"junk\.pth"):
        load("junk.pth")
    with pytest.raises(ModelError, match="no such weights file"):
        load("none.pth")

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("run from a pickle",)

    (tmp_path / "evil.pth").write_bytes(pickle.dumps({"a": Evil()}))
    with pytest.raises(ModelError, match=r"evil\.pth"):
        load("evil.pth")
    torch.save({"blocks.0.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match="the weights do not fit: .* and .* more"):
        load("other.pth")


def test_downloads_that_fail_or_are_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = SourceModelConfig(torchvision="resnet18", weights="IMAGENET")
    with pytest.raises(ModelError, match="known: DEFAULT, IMAGENET1K_V1"):
        load_of(unknown, COLOUR)
    ours = SourceModelConfig(torchvision="lenet", weights="DEFAULT")
    with pytest.raises(ModelError, match="'lenet' is not torchvision's; write backbone: lenet"):
        load_of(ours)

    def refused(*_: object, **__: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr("torch.hub.download_url_to_file", refused)
    config = SourceModelConfig(torchvision="squeezenet1_1", weights="DEFAULT")
    with pytest.raises(RaytlError, match="cannot download weights DEFAULT") as caught:
        load_of(config, COLOUR)
    assert caught.value.exit_code == 1


class CutOff(BytesIO):
    """An answer of which not all has come."""

    def info(self) -> Message:
        return Message()


def test_a_download_that_was_cut_off_is_no_mistake_of_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", lambda *_, **__: CutOff(b"half of it"))
    config = SourceModelConfig(torchvision="squeezenet1_1", weights="DEFAULT")
    with pytest.raises(CorruptError, match=r"weights DEFAULT are broken: invalid hash value .*try"):
        load_of(config, COLOUR)


def test_cifar_resnet20_reads_its_usual_keys(tmp_path: Path) -> None:
    torch.manual_seed(0)
    backbone = build_backbone("cifar_resnet20", (3, 32, 32))
    usual = {}
    for key, value in backbone.state_dict().items():
        _, block, part, *rest = key.split(".")
        tail = ".".join(rest)
        if block == "0":
            usual[f"{['conv1', 'bn1'][int(part)]}.{tail}"] = value
        else:
            layer, index = divmod(int(block) - 1, 3)
            usual[f"layer{layer + 1}.{index}.{part}.{tail}"] = value
    usual |= {"linear.weight": torch.zeros(10, 64), "linear.bias": torch.zeros(10)}
    state = {f"module.{key}": value for key, value in usual.items()}
    torch.save({"state_dict": state, "best_prec1": 91.7}, tmp_path / "r.th")
    config = SourceModelConfig(backbone="cifar_resnet20", weights=str(tmp_path / "r.th"))
    loaded = load_of(config, COLOUR, seed=8).parts["image"].backbone
    for key, value in backbone.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
