"""What was learnt before, block by block, and what was drawn by seed."""

from pathlib import Path

import numpy as np
import pytest
import torch

from raytl.config import HeadConfig, MapperConfig, SourceModelConfig
from raytl.modalities.backbone import Backbone
from raytl.modalities.column import Values
from raytl.modalities.text.column import TextColumn
from raytl.models.branch import Branch
from raytl.models.fusion import Single
from raytl.models.mappers import build_mapper
from raytl.models.opened_models import SourceModels
from raytl.models.source_model import SourceModel
from raytl.models.transfer_model import TransferModel
from raytl.state_dicts import digest_of_state
from raytl.tasks.heads import build_head

WORDS = ["good", "bad", "film", "phone"]


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    values = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    np.savez(tmp_path / "vectors.npz", words=np.array(WORDS[:3]), vectors=values)
    return tmp_path / "vectors.npz"


def models(vectors: Path) -> SourceModels:
    """A BiLSTM over word vectors, one of whose words has none."""

    def samples(column: str) -> Values:
        return np.array([" ".join(WORDS)] * 3, dtype=object)

    config = SourceModelConfig(
        backbone="bilstm", args={"hidden": 4}, transform={"vectors": str(vectors), "min_count": 1}
    )
    return SourceModels({"lstm": config}, {"text": TextColumn()}, samples)


def digest(model: SourceModel) -> str:
    return digest_of_state(model.parts["text"].backbone)


def test_what_is_drawn_behind_word_vectors_hangs_on_the_seed_alone(vectors: Path) -> None:
    first, second = models(vectors), models(vectors)
    found = {seed: digest(first.open("lstm", seed)) for seed in (1, 2)}
    assert {seed: digest(second.open("lstm", seed)) for seed in (2, 1)} == found
    assert found[1] != found[2]
    assert first.open("lstm", 1) is first.open("lstm", 1)


def test_only_the_stem_of_word_vectors_was_learnt_before(vectors: Path) -> None:
    part = models(vectors).open("lstm", 1).parts["text"]
    assert part.transferred and part.fresh == frozenset(range(1, len(part.backbone.blocks)))
    assert Branch(part, ()).fresh == part.fresh


def test_a_transform_is_fitted_once_whatever_the_seed(vectors: Path) -> None:
    opened = models(vectors)
    transforms = [opened.open("lstm", seed).parts["text"].transform for seed in (1, 2, 3)]
    assert transforms[0] is transforms[1] is transforms[2]


def test_norms_of_transformers_count_as_norms() -> None:
    class T5LayerNorm(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    example = torch.zeros(1, 2)
    norms = {T5LayerNorm(): True, torch.nn.RMSNorm(2): True, torch.nn.ReLU(): False}
    for norm, found in norms.items():
        block = torch.nn.Sequential(torch.nn.Linear(2, 2), norm)
        assert Backbone("net", [block], torch.nn.Identity(), example).normalises is found


def test_a_column_may_be_called_as_torch_calls_something(vectors: Path) -> None:
    config = models(vectors).configs
    opened = SourceModels(
        config, {"type": TextColumn()}, lambda column: np.array(WORDS * 2, dtype=object)
    )
    part = opened.open("lstm", 0).parts["type"]
    dim = part.backbone.feature_dim
    head = build_head(HeadConfig(), dim, 2)
    model = TransferModel(
        {"type": Branch(part, ())}, Single({"type": dim}), build_mapper(MapperConfig(), dim), head
    )
    assert list(model.named_branches) == ["type"]
