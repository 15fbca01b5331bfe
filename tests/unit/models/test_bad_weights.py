"""Weights and arguments that cannot be used: each is told in a line, whatever they provoke."""

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import load_file, save_file
from source_support import COLOUR, GREY, load_of, save_whole

import raytl
from raytl.config import SourceModelConfig
from raytl.errors import CorruptError, ModelError, RaytlError
from raytl.modalities.image.catalogue import build_backbone
from raytl.models.source_folder import load_complete_model
from raytl.models.source_model import SourceModel


def told(error: type[RaytlError], call: Callable[[], object]) -> str:
    with pytest.raises(error) as caught:
        call()
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    assert len(text) < 600
    return text


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The bytes of a good state dict of small_cnn."""
    file = tmp_path_factory.mktemp("weights") / "good.pth"
    torch.save(build_backbone("small_cnn", GREY, width=4).state_dict(), file)
    return file.read_bytes()


def load(file: Path, image: tuple[int, int, int] = GREY, **config: Any) -> SourceModel:
    plain: dict[str, Any] = {"backbone": "small_cnn", "args": {"width": 4}, "weights": str(file)}
    return load_of(SourceModelConfig(**(plain | config)), image)


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch /tmp/raytl-was-run",)


def test_broken_files_are_failures(tmp_path: Path, whole: bytes) -> None:
    file = tmp_path / "w.pth"
    file.write_bytes(whole)
    load(file)
    for content in (b"", whole[:200], whole[: len(whole) // 2], whole[:-30], os.urandom(4096)):
        file.write_bytes(content)
        text = told(CorruptError, lambda: load(file))
        assert "w.pth: is no whole file of weights" in text
        assert "trust" not in text
    tensors = tmp_path / "w.safetensors"
    for content in (b"", b"\xff" * 40, whole):
        tensors.write_bytes(content)
        assert "is no whole file" in told(CorruptError, lambda: load(tensors))


def test_pickles_are_refused_unread(tmp_path: Path) -> None:
    file = tmp_path / "w.pth"
    file.write_bytes(pickle.dumps({"a": Evil()}))
    assert "refused: it holds a pickle, which may run code" in told(ModelError, lambda: load(file))
    torch.save({"a": Evil()}, file)
    assert "refused: it holds posix.system, which is code" in told(ModelError, lambda: load(file))
    torch.save(build_backbone("small_cnn", GREY, width=4), file)
    text = told(ModelError, lambda: load(file))
    assert "refused: it holds raytl.modalities.backbone.Backbone" in text
    assert not Path("/tmp/raytl-was-run").exists()


def test_weights_of_an_old_torch_have_no_counts_of_batches(tmp_path: Path, whole: bytes) -> None:
    state = torch.load(BytesIO(whole), weights_only=True)
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    assert len(old) < len(state)
    torch.save(old, tmp_path / "old.pth")
    (tmp_path / "new.pth").write_bytes(whole)
    of_old, of_new = (
        load(tmp_path / name).parts["image"].backbone for name in ("old.pth", "new.pth")
    )
    loaded = of_old.state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in of_new.state_dict().items())


def test_files_that_hold_something_else(tmp_path: Path, whole: bytes) -> None:
    file = tmp_path / "w.pth"
    state = build_backbone("small_cnn", GREY, width=4).state_dict()
    first = "blocks.0.0.weight"
    cases = [
        ([1, 2], "holds no state dict"),
        ({"epoch": 3}, "holds no state dict"),
        ({}, "is missing"),
        ({1: torch.zeros(1)}, "holds no state dict"),
        (torch.zeros(3), "holds no state dict"),
        (state | {first: torch.zeros(4, 1, 5, 5)}, f"'{first}' is (4, 1, 5, 5), not (4, 1, 3, 3)"),
        (state | {first: torch.full((4, 1, 3, 3), float("nan"))}, "not finite"),
        (state | {first: torch.zeros(4, 1, 3, 3, dtype=torch.complex64)}, "no plain tensor"),
        (state | {first: torch.zeros(4, 1, 3, 3).to_sparse()}, "no plain tensor"),
        (state | {"more": torch.zeros(1)}, "'more' is unknown"),
    ]
    for content, message in cases:
        torch.save(content, file)
        assert message in told(ModelError, lambda: load(file))
    assert "is no file" in told(ModelError, lambda: load(tmp_path, weights=str(_folder(tmp_path))))
    file.write_bytes(whole)
    assert "do not fit" in told(ModelError, lambda: load(file, args={"width": 8}))
    assert "do not fit" in told(ModelError, lambda: load(file, backbone="lenet", args={}))
    cifar = told(ModelError, lambda: load(file, COLOUR, backbone="cifar_resnet20", args={}))
    assert "do not fit: 'blocks.1.conv1.weight' is missing" in cifar
    tv = told(
        ModelError, lambda: load(file, COLOUR, backbone=None, args={}, torchvision="resnet18")
    )
    assert "do not fit: 'conv1.weight' is missing" in tv


def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "folder.pth"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize(
    ("config", "image", "message"),
    [
        ({"backbone": "lenet", "weights": "DEFAULT"}, GREY, "lenet has no weights by name"),
        ({"backbone": "lenet", "weights": "model.onnx"}, GREY, "give a .pth file"),
        ({"backbone": "lenet", "weights": "none.bin"}, GREY, "none.bin: no such weights file"),
        ({"torchvision": "resnet18", "weights": "IMAGENET"}, COLOUR, "known: DEFAULT, IMAGENET1K"),
        ({"torchvision": "resnet18", "weights": ""}, COLOUR, "known: DEFAULT"),
        ({"backbone": "lenet", "weights": "none.pth"}, GREY, "none.pth: no such weights file"),
        ({"backbone": "lenet", "args": {"name": "x"}}, GREY, "multiple values"),
        ({"backbone": "lenet", "args": {"input_shape": 1}}, GREY, "multiple values"),
        ({"backbone": "lenet", "args": {"features": -1}}, GREY, "lenet cannot be built"),
        ({"backbone": "lenet", "args": {"features": "many"}}, GREY, "lenet cannot be built"),
        ({"backbone": "lenet", "args": {"features": 10**15}}, GREY, "lenet cannot be built"),
        ({"backbone": "small_cnn", "args": {"width": 0}}, GREY, "small_cnn cannot be built"),
        ({"backbone": "small_cnn", "args": {"width": 2.5}}, GREY, "small_cnn cannot be built"),
        ({"backbone": "resnet18", "args": {"weights": "DEFAULT"}}, COLOUR, "multiple values"),
        ({"backbone": "resnet18", "args": {"groups": 0}}, COLOUR, "resnet18 cannot be built"),
        ({"backbone": "resnet18", "args": {"norm_layer": "bn"}}, COLOUR, "resnet18 cannot be buil"),
        (
            {"backbone": "resnet50", "args": {"replace_stride_with_dilation": [True]}},
            COLOUR,
            "replace_stride_with_dilation should be None or a 3-element tuple",
        ),
        ({"backbone": "vit_b_16", "args": {"image_size": 48}}, COLOUR, "vit_b_16 cannot be built"),
        ({"backbone": "vit_b_16", "input_size": 50}, COLOUR, "a multiple of 16"),
        (
            {"backbone": "lenet", "normalization": {"mean": [0.5] * 3, "std": [1] * 3}},
            GREY,
            "one number or 1, as many as the input has channels, got 3",
        ),
        (
            {"backbone": "resnet18", "normalization": {"mean": [0.5] * 2, "std": [1] * 2}},
            GREY,
            "one number or 3, as many as the input has channels, got 2",
        ),
    ],
)
def test_what_a_backbone_does_not_take(
    config: dict[str, Any], image: tuple[int, int, int], message: str
) -> None:
    checked = SourceModelConfig.model_validate(config)
    assert message in told(ModelError, lambda: load_of(checked, image))


def test_downloads_that_do_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = torchvision.models.get_model

    def downloaded(name: str, weights: Any = None, **args: Any) -> torch.nn.Module:
        return plain(name, weights=None, **args)

    monkeypatch.setattr(torchvision.models, "get_model", downloaded)
    config = SourceModelConfig(torchvision="vit_b_32", weights="DEFAULT", input_size=64)
    text = told(ModelError, lambda: load_of(config, COLOUR))
    assert "vit_b_32 cannot be built for inputs of (3, 64, 64)" in text
    assert "with weights DEFAULT" in text


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return save_whole(tmp_path / "m")


def of_part(**change: Any) -> Callable[[dict[str, Any]], Any]:
    """Change what is said of the model's one part."""
    return lambda spec: spec["parts"]["image"].update(change)


def of_transform(**change: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda spec: spec["parts"]["image"]["transform"].update(change)


def of_task(**change: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda spec: spec["task"].update(change)


def of_spec(**change: Any) -> Callable[[dict[str, Any]], Any]:
    return lambda spec: spec.update(change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (of_part(backbone="lenet", args={}), "blocks is 4, but lenet with args {} has 3"),
        (of_part(backbone="small"), "unknown backbone 'small'; did you mean 'small_cnn'?"),
        (
            of_part(args={"width": 8}),
            "feature_dim is 16, but small_cnn with args {'width': 8} has 32",
        ),
        (of_part(args={"widht": 8}), "unexpected keyword argument 'widht'"),
        (of_part(blocks=5), "blocks is 5, but small_cnn with args {'width': 4} has 4"),
        (of_part(feature_dim=7), "feature_dim is 7, but"),
        (
            of_transform(input_shape=[3, 16, 16], mean=[0.5], std=[1]),
            "'blocks.0.0.weight' is (4, 1, 3, 3), not (4, 3, 3, 3)",
        ),
        (of_transform(input_shape=[1, 2, 2]), "small_cnn cannot be built for inputs of (1, 2, 2)"),
        (of_transform(input_shape=[1, 16]), "parts: image: transform: input_shape: "),
        (of_transform(input_shape=[1, 0, 16]), "transform: input_shape: 1: "),
        (of_transform(mean=[0.5, 0.5], std=[1, 1]), "one number or 1"),
        (of_transform(mean=[0.5], std=[0]), "std: 0: "),
        (
            of_task(classes=["a", "b"]),
            "head: the weights do not fit: '1.weight' is (3, 6), not (2, 6)",
        ),
        (of_task(classes=[]), "task: classes: Tuple should have at least 1"),
        (of_task(classes="abc"), "task: classes: Input should be a valid tuple"),
        (of_task(classes=["a", "b", "a"]), "classes must differ from each other, but 2 are 'a'"),
        (of_task(kind=["classification"]), "task: unknown kind '['classification']'; known: "),
        (of_spec(mapper={"name": "identity"}), "mapper: the weights do not fit"),
        (of_spec(mapper={"name": "linear", "out": 7}), "is (6, 16), not (7, 16)"),
        (of_spec(head={"name": "mlp"}), "head: the weights do not fit"),
        (of_spec(head={"name": "perceptron"}), "head: name: "),
        (of_spec(format_version=3), "format_version"),
        (of_part(blocks="four"), "parts: image: blocks"),
        (of_part(more=1), "parts: image: more"),
        (of_part(modality="smell"), "unknown modality 'smell'; known: image, text"),
        (of_transform(size=3), "parts: image: transform: size: "),
        (lambda spec: spec["parts"]["image"].pop("transform"), "parts: image: transform: Field"),
        (lambda spec: spec["parts"]["image"].update(transform={}), "input_shape: Field required"),
        (of_spec(parts={}), "parts: "),
        (of_task(kind="divination"), "task: unknown kind 'divination'; known: classification"),
        (lambda spec: spec["task"].pop("kind"), "task: unknown kind 'None'; known: classification"),
        (lambda spec: spec["task"].pop("classes"), "task: classes: "),
        (of_spec(more=1), "more"),
    ],
)
def test_a_source_model_that_is_not_what_it_says(
    saved: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    assert raytl.inspect(saved)["backbone_parameters"] == 3868
    file = saved / "source.json"
    spec = json.loads(file.read_text())
    change(spec)
    file.write_text(json.dumps(spec))
    text = told(CorruptError, lambda: raytl.inspect(saved))
    assert message in text
    assert str(saved) in text
    told(CorruptError, lambda: load_complete_model(saved))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "source.json: "),
        (b"{", "source.json: "),
        (b"[]", "source.json: "),
        (b"null", "source.json: "),
        (b"\xff\xfe{}", "cannot be read"),
        (b"[" * 100000, "source.json: "),
        (b"{}", "source.json: parts: Field required"),
    ],
)
def test_a_spec_that_is_none(saved: Path, content: bytes, message: str) -> None:
    (saved / "source.json").write_bytes(content)
    assert message in told(CorruptError, lambda: raytl.inspect(saved))


def test_tensors_that_are_not_the_models(saved: Path) -> None:
    weights, spec = saved / "model.safetensors", saved / "source.json"
    good = load_file(weights)
    key = "branches.of_image.backbone.blocks.0.0.weight"
    unsigned = json.loads(spec.read_text()) | {"weights_sha256": None}

    def rewrite(tensors: dict[str, torch.Tensor]) -> str:
        save_file(tensors, weights)
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        spec.write_text(json.dumps(unsigned | {"weights_sha256": digest}))
        return told(CorruptError, lambda: raytl.inspect(saved))

    assert "'blocks.0.0.weight' is missing" in rewrite({k: good[k] for k in good if k != key})
    assert "'blocks.9.weight' is unknown" in rewrite(
        good | {"branches.of_image.backbone.blocks.9.weight": torch.zeros(1)}
    )
    assert "'tail.weight' belongs to no part" in rewrite(good | {"tail.weight": torch.zeros(1)})
    other = {"branches.of_text.backbone.blocks.0.weight": torch.zeros(1)}
    assert "of_text.backbone.blocks.0.weight' belongs to no part" in rewrite(good | other)
    assert "not finite" in rewrite(good | {key: good[key] / 0})
    assert "is torch.int64, not torch.float32" in rewrite(good | {key: good[key].long()})
    assert "(1, 4, 3, 3), not (4, 1, 3, 3)" in rewrite(
        good | {key: good[key].permute(1, 0, 2, 3).contiguous()}
    )
