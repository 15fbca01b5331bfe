"""Source models: saved whole, read back equal, refused when broken."""

import pickle
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from raytl.config import HeadConfig, MapperConfig, SourceModelConfig
from raytl.errors import CorruptError, ModelError, RaytlError, UserError
from raytl.models.backbones import build_backbone
from raytl.models.heads import build_head
from raytl.models.mappers import build_mapper
from raytl.models.source_model import (
    SourceSpec,
    cached_source_model,
    describe_source_model,
    load_complete_model,
    load_source_model,
    save_source_model,
    verify_source_model,
)

GREY = (1, 16, 16)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    config = SourceModelConfig(backbone="small_cnn", args={"width": 4})
    model = load_source_model("m", config, GREY, seed=1)
    mapper = build_mapper(MapperConfig(name="linear", out=6), model.backbone.feature_dim)
    head = build_head(HeadConfig(), mapper.out_dim, 3)
    spec = model.spec.model_copy(
        update={
            "classes": ("a", "b", "c"),
            "mapper": MapperConfig(name="linear", out=6),
            "head": HeadConfig(),
        }
    )
    save_source_model(tmp_path / "m", backbone=model.backbone, spec=spec, mapper=mapper, head=head)
    return tmp_path / "m"


def test_round_trip(saved: Path, tmp_path: Path) -> None:
    spec = verify_source_model(saved)
    assert isinstance(spec, SourceSpec)
    model, _ = load_complete_model(saved)
    again = load_source_model("m", SourceModelConfig(path=saved), GREY, seed=9)
    assert again.transferred
    x = torch.rand(2, *GREY)
    assert torch.equal(again.backbone.eval()(x), model.eval()(x).features)
    with pytest.raises(UserError, match="exists already"):
        save_source_model(
            saved, backbone=model.backbone, spec=spec, mapper=model.mapper, head=model.head
        )


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
        load_source_model("m", SourceModelConfig(path=saved), GREY, seed=0)
    weights.unlink()
    with pytest.raises(CorruptError, match="the weights are missing"):
        verify_source_model(saved)
    (saved / "source.json").write_text("{")
    with pytest.raises(CorruptError, match=r"source\.json: Invalid JSON"):
        verify_source_model(saved)
    with pytest.raises(ModelError, match="no source model here.*raytl pretrain"):
        describe_source_model("m", SourceModelConfig(path=tmp_path / "none"), GREY)


def test_fresh_weights_follow_the_seed_and_leave_the_global_state_alone() -> None:
    config = SourceModelConfig(backbone="small_cnn", args={"width": 4})
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one, same, other = (load_source_model("m", config, GREY, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    first = [next(m.backbone.parameters()) for m in (one, same, other)]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])
    assert not one.transferred


def test_a_clone_of_the_cache_has_its_own_weights() -> None:
    config = SourceModelConfig(backbone="small_cnn", args={"width": 4})
    cached = cached_source_model("m", config, GREY, 1)
    clone = cached.clone()
    nn.init.zeros_(next(clone.backbone.parameters()))
    assert next(cached_source_model("m", config, GREY, 1).backbone.parameters()).abs().sum() > 0


@pytest.mark.parametrize("wrap", ["plain", "module", "nested"])
def test_local_torchvision_weights(tmp_path: Path, wrap: str) -> None:
    torch.manual_seed(0)
    network = torchvision.models.get_model("resnet18", weights=None, num_classes=7)
    state = dict(network.state_dict())
    if wrap != "plain":
        state = {f"module.{key}": value for key, value in state.items()}
    torch.save({"state_dict": state} if wrap == "nested" else state, tmp_path / "w.pth")
    config = SourceModelConfig(torchvision="resnet18", weights=str(tmp_path / "w.pth"))
    model = load_source_model("r", config, (3, 32, 32), seed=5)
    assert torch.equal(model.backbone.blocks[0][0].weight, network.conv1.weight)  # type: ignore[index]
    assert model.transferred
    assert model.spec.normalization.mean == (0.485, 0.456, 0.406)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_weights_that_cannot_be_used(tmp_path: Path) -> None:
    def load(name: str, backbone: str = "small_cnn") -> None:
        config = SourceModelConfig(backbone=backbone, weights=str(tmp_path / name))
        load_source_model("m", config, GREY, seed=0)

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
        load_source_model("r", unknown, (3, 32, 32), seed=0)
    ours = SourceModelConfig(torchvision="lenet", weights="DEFAULT")
    with pytest.raises(ModelError, match="'lenet' is not torchvision's; write backbone: lenet"):
        describe_source_model("r", ours, GREY)

    def refused(*_: object, **__: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr("torch.hub.download_url_to_file", refused)
    config = SourceModelConfig(torchvision="squeezenet1_1", weights="DEFAULT")
    with pytest.raises(RaytlError, match="cannot download weights DEFAULT") as caught:
        load_source_model("r", config, (3, 32, 32), seed=0)
    assert caught.value.exit_code == 1


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
    loaded = load_source_model("c", config, (3, 32, 32), seed=8).backbone
    for key, value in backbone.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
