"""Folders of raytl 0.1 load, and predict as they did."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from source_support import COLOUR, GREY, load_of, save_whole
from torch.nn import functional as F

import raytl
from raytl.config import SourceModelConfig
from raytl.errors import CorruptError
from raytl.modalities.image.catalogue import build_backbone
from raytl.models.source_folder import load_complete_model
from raytl.models.source_model import save_source_model
from raytl.models.source_spec import read_spec, verify_source_model
from raytl.rows import Given

SPEC: dict[str, Any] = {
    "format_version": 1,
    "backbone": "small_cnn",
    "args": {"width": 4},
    "blocks": 4,
    "feature_dim": 16,
    "input_shape": [1, 16, 16],
    "normalization": {"mean": [0.25], "std": [0.5]},
    "classes": ["a", "b", "c"],
    "trained_on": {"dataset": "d", "fingerprint": "f", "epochs": 1, "seed": 0},
    "score": {"validation_accuracy": 0.75},
    "mapper": {"name": "linear", "out": 6, "hidden": 128, "fit": "coral", "batch_norm": False},
    "head": {"name": "linear", "hidden": 128, "dropout": 0.0},
}


def tensors() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    backbone = build_backbone("small_cnn", GREY, width=4).state_dict()
    backbone["blocks.0.1.running_mean"] += 0.25
    parts = {f"backbone.{key}": value for key, value in backbone.items()}
    shapes = {
        "mapper.linear.weight": (6, 16),
        "mapper.linear.bias": (6,),
        "head.1.weight": (3, 6),
        "head.1.bias": (3,),
    }
    return parts | {key: torch.randn(shape) for key, shape in shapes.items()}


def write(folder: Path, spec: dict[str, Any], held: dict[str, torch.Tensor]) -> Path:
    folder.mkdir()
    save_file(
        {key: value.contiguous() for key, value in held.items()}, folder / "model.safetensors"
    )
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    (folder / "source.json").write_text(json.dumps(spec | {"weights_sha256": digest}))
    return folder


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return write(tmp_path / "old", SPEC, tensors())


def by_hand(held: dict[str, torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
    """Return the logits of images_BHWC as the parts' formulas give them."""
    backbone = build_backbone("small_cnn", GREY, width=4).eval()
    prefix = "backbone."
    backbone.load_state_dict({k.removeprefix(prefix): v for k, v in held.items() if prefix in k})
    x = (rows.permute(0, 3, 1, 2).float() / 255 - 0.25) / 0.5
    f = backbone(x)
    z = F.linear(f, held["mapper.linear.weight"], held["mapper.linear.bias"])
    return F.linear(z, held["head.1.weight"], held["head.1.bias"])


def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (5, 16, 16, 1), dtype=torch.uint8, generator=generator)


def test_it_predicts_as_before(old: Path) -> None:
    complete, rows = load_complete_model(old), images()
    with torch.no_grad():
        found = complete.model.eval()({"image": Given(rows)}).out
        expected = by_hand(tensors(), rows)
    assert torch.allclose(found, expected, atol=1e-5)
    assert complete.task.predict(found).answer.tolist() == expected.argmax(1).tolist()
    assert dict(complete.task.facts()) == {"kind": "classification", "classes": ["a", "b", "c"]}


def test_it_is_told_as_todays_are(old: Path) -> None:
    spec = verify_source_model(old)
    assert spec.format_version == 2 and spec.complete and spec.classes == ("a", "b", "c")
    part = spec.parts["image"]
    assert (part.modality, part.backbone, part.blocks, part.feature_dim) == (
        "image", "small_cnn", 4, 16,
    )  # fmt: skip
    assert part.args == {"width": 4}
    assert part.transform == {"input_shape": (1, 16, 16), "mean": (0.25,), "std": (0.5,)}
    assert spec.score == {"validation_accuracy": 0.75} and spec.trained_on == SPEC["trained_on"]
    told = raytl.inspect(old)
    assert told["kind"] == "source model" and told["verified"] and told["backbone_parameters"]


def test_it_is_transferred_from(old: Path) -> None:
    model = load_of(SourceModelConfig(path=old), COLOUR)
    part = model.parts["image"]
    assert model.transferred
    held, loaded = tensors(), part.backbone.state_dict()
    assert all(torch.equal(value, held[f"backbone.{key}"]) for key, value in loaded.items())
    assert part.transform.facts() == {"input_shape": [1, 16, 16], "mean": [0.25], "std": [0.5]}


def test_one_without_a_head_is_transferred_from_alone(tmp_path: Path) -> None:
    dropped = {"classes": None, "mapper": None, "head": None}
    held = {key: value for key, value in tensors().items() if key.startswith("backbone.")}
    folder = write(tmp_path / "old", SPEC | dropped, held)
    assert not read_spec(folder).complete
    assert load_of(SourceModelConfig(path=folder)).transferred


def test_written_again_it_is_of_todays_version_and_the_same(old: Path, tmp_path: Path) -> None:
    complete = load_complete_model(old)
    save_source_model(tmp_path / "new", complete.model, complete.spec)
    again = load_complete_model(tmp_path / "new")
    assert json.loads((tmp_path / "new" / "source.json").read_text())["format_version"] == 2
    held = load_file(tmp_path / "new" / "model.safetensors")
    assert {key.split(".")[0] for key in held} == {"branches", "mapper", "head"}
    with torch.no_grad():
        one, other = (m.model.eval()({"image": Given(images())}).out for m in (complete, again))
    assert torch.equal(one, other)


def test_todays_folder_put_into_the_words_of_version_1_predicts_the_same(tmp_path: Path) -> None:
    new = save_whole(tmp_path / "new")
    spec = json.loads((new / "source.json").read_text())
    part, transform = spec["parts"]["image"], spec["parts"]["image"]["transform"]
    words = {name: part[name] for name in ("backbone", "args", "blocks", "feature_dim")}
    words |= {
        "format_version": 1,
        "input_shape": transform["input_shape"],
        "normalization": {"mean": transform["mean"], "std": transform["std"]},
        "classes": spec["task"]["classes"],
        "mapper": spec["mapper"],
        "head": spec["head"],
    }
    held = load_file(new / "model.safetensors")
    named = {key.removeprefix("branches.of_image."): value for key, value in held.items()}
    assert any(key.startswith("backbone.") for key in named)
    old = write(tmp_path / "old", words, named)
    given = {"image": Given(images())}
    with torch.no_grad():
        one, other = (load_complete_model(path).model.eval()(given).out for path in (new, old))
    assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backbone": "lenet", "args": {}}, "blocks is 4, but lenet with args {} has 3"),
        ({"backbone": "small"}, "unknown backbone 'small'; did you mean 'small_cnn'?"),
        ({"args": {"width": 8}}, "feature_dim is 16, but small_cnn with args {'width': 8} has 32"),
        ({"blocks": 5}, "blocks is 5, but small_cnn with args {'width': 4} has 4"),
        ({"blocks": "four"}, "blocks"),
        ({"input_shape": [3, 16, 16]}, "'blocks.0.0.weight' is (4, 1, 3, 3), not (4, 3, 3, 3)"),
        ({"input_shape": [1, 2, 2]}, "small_cnn cannot be built for inputs of (1, 2, 2)"),
        ({"input_shape": [1, 16]}, "input_shape"),
        ({"input_shape": [1, 0, 16]}, "input_shape"),
        ({"normalization": {"mean": [0.5, 0.5], "std": [1, 1]}}, "one number or 1"),
        ({"normalization": {"mean": [0.5], "std": [0]}}, "normalization: std: 0: "),
        ({"classes": ["a", "b"]}, "head: the weights do not fit: '1.weight' is (3, 6), not (2, 6)"),
        ({"classes": []}, "classes"),
        ({"mapper": {"name": "identity"}}, "mapper: the weights do not fit"),
        ({"head": {"name": "perceptron"}}, "head: name: "),
        ({"format_version": 2}, "parts"),
        ({"format_version": 0}, "format_version"),
        ({"more": 1}, "more"),
    ],
)
def test_one_that_is_not_what_it_says(old: Path, change: dict[str, Any], message: str) -> None:
    file = old / "source.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    for call in (raytl.inspect, load_complete_model):
        with pytest.raises(CorruptError) as caught:
            call(old)
        text = str(caught.value)
        assert message in text and str(old) in text
        assert len(text.splitlines()) == 1 and len(text) < 600


def test_one_whose_channels_its_normalization_does_not_fit_is_told_in_a_line(old: Path) -> None:
    file = old / "source.json"
    spec = json.loads(file.read_text()) | {"input_shape": [3, 16, 16]}
    spec["normalization"] = {"mean": [0.5, 0.5], "std": [1, 1]}
    file.write_text(json.dumps(spec))
    with pytest.raises(CorruptError, match="one number or 3, as many as the input has channels"):
        read_spec(old)
