"""Networks that this machine downloaded before, and files that may be models."""

from pathlib import Path

import numpy as np
import pytest

from raytl.errors import ModelError
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.text.column import TextColumn
from raytl.models.source_spec import SPEC_FILE, PartSpec, SourceSpec
from raytl.starting.candidates import Candidate, in_parts
from raytl.starting.hub_caches import cached_models, downloads_for
from raytl.starting.local_models import models_in

IMAGE = ImageColumn(shape=(224, 224, 3), dtype="uint8")


def snapshot(home: Path, name: str, *files: str) -> Path:
    folder = home / "hub" / name / "snapshots" / "abc"
    folder.mkdir(parents=True)
    for file in files:
        (folder / file).write_text('{"model_type": "bert"}')
    return folder


def test_what_was_downloaded_before_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    assert not list(cached_models(IMAGE, None))
    (tmp_path / "torch" / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "torch" / "hub" / "checkpoints" / "squeezenet1_0-b66bff10.pth").touch()
    snapshot(tmp_path / "hf", "models--timm--resnet18.a1_in1k", "model.safetensors")
    snapshot(tmp_path / "hf", "models--org--tiny", "config.json", "vocab.txt", "a.safetensors")
    snapshot(tmp_path / "hf", "models--org--broken", "config.json")
    found = [one.config for (one,) in cached_models(IMAGE, None)]
    assert found == [
        {"torchvision": "squeezenet1_0", "weights": "DEFAULT"},
        {"timm": "resnet18.a1_in1k", "weights": True},
    ]
    texts = [one.config for (one,) in cached_models(TextColumn(), 32)]
    assert texts == [{"huggingface": "org/tiny", "transform": {"max_length": 32}}]


def test_downloads_are_of_the_columns_kind() -> None:
    assert downloads_for(IMAGE, None)[0].config["torchvision"] == "resnet18"
    assert "huggingface" in downloads_for(TextColumn(), 32)[0].config


def test_weights_are_what_their_names_say_longer_names_first(tmp_path: Path) -> None:
    (tmp_path / "my_wide_resnet50_2.pth").touch()
    (found,) = models_in(tmp_path, IMAGE, None)
    assert found[0].config["torchvision"] == "wide_resnet50_2"
    assert found[-1].config["input_size"] == 64  # raytl's own, which know small images


def test_word_vectors_are_of_texts_alone(tmp_path: Path) -> None:
    np.savez(tmp_path / "glove.npz", words=np.array(["a"]), vectors=np.zeros((1, 4)))
    (found,) = models_in(tmp_path / "glove.npz", TextColumn(), 48)
    assert found[0].config["transform"]["max_length"] == 48
    assert not list(models_in(tmp_path / "glove.npz", IMAGE, None))


def test_a_source_model_is_of_columns_of_its_own_kind_alone(tmp_path: Path) -> None:
    part = PartSpec(modality="image", backbone="tiny", blocks=1, feature_dim=4, transform={})
    spec = SourceSpec(parts={"photo": part})
    (tmp_path / SPEC_FILE).write_text(spec.model_dump_json(), encoding="utf-8")
    assert [one.config for (one,) in models_in(tmp_path, IMAGE, None)] == [{"path": str(tmp_path)}]
    assert not list(models_in(tmp_path, TextColumn(), 32))
    (tmp_path / SPEC_FILE).write_text("{")
    assert list(models_in(tmp_path, TextColumn(), 32))  # so that it is told what is wrong with it


def test_a_folder_without_models_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no weights .*is in it"):
        list(models_in(tmp_path, IMAGE, None))


def test_a_fresh_part_of_a_pretrained_model_is_known_to_be_one() -> None:
    by_column = {
        "image": [Candidate("small_cnn", {"backbone": "small_cnn"}, pretrained=False),
                  Candidate("lite0", {"timm": "lite0"}, pretrained=True)],
        "name": [Candidate("bilstm", {"backbone": "bilstm"}, pretrained=False)],
    }  # fmt: skip
    pretrained, fresh = in_parts(by_column)
    assert (pretrained.name, pretrained.fresh_parts) == ("pretrained", ("name",))
    assert (fresh.name, fresh.fresh_parts) == ("fresh", ())
