"""Complete models of every modality and task, made on the spot: random weights, in folders."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from raytl.config import FusionConfig, HeadConfig, MapperConfig, SourceModelConfig
from raytl.data.schema import column_facts
from raytl.modalities.audio.column import AudioColumn
from raytl.modalities.column import Column, Values
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.ragged import as_rows
from raytl.modalities.series.column import SeriesColumn
from raytl.modalities.table.column import Field, TableColumn
from raytl.models.branch import Branch
from raytl.models.fusion import build_fusion
from raytl.models.mappers import build_mapper
from raytl.models.source_model import load_source_model, save_source_model
from raytl.models.source_spec import RowsSpec
from raytl.models.task_heads import head_of
from raytl.models.transfer_model import TransferModel
from raytl.tasks.base import Task
from raytl.tasks.classification import Classification
from raytl.tasks.columns import LabelColumn

CLASSES = ("ants", "bees", "wasps")
IMAGE = ImageColumn(shape=(12, 12, 3), dtype="uint8")
GREY = ImageColumn(shape=(12, 12, 1), dtype="uint8")
TABLE = TableColumn(
    fields=(
        Field(name="age", kind="number"),
        Field(name="mass", kind="number"),
        Field(name="town", kind="category", categories=("north", "south", "west")),
    )
)
SERIES = SeriesColumn(channels=("dim_0", "dim_1"))
AUDIO = AudioColumn(rate=800)
CNN = {"backbone": "small_cnn", "args": {"width": 4}}
SOUND = CNN | {"transform": {"n_mels": 8}}
BAG = {"backbone": "bag_of_embeddings", "args": {"dim": 6, "hidden": 8}}
ROWS = 24


def sample_of(column: Column) -> Values:
    """Return rows of a column that are drawn, to fit transforms to."""
    random = np.random.default_rng(0)
    if isinstance(column, ImageColumn):
        return random.integers(0, 256, (ROWS, *column.shape), np.uint8)
    if isinstance(column, TableColumn):
        return np.stack([_of_field(field, random) for field in column.fields], axis=1)
    if isinstance(column, SeriesColumn):
        shapes = [(int(n), len(column.channels)) for n in random.integers(3, 20, ROWS)]
        return as_rows([random.normal(2, 3, shape).astype(np.float32) for shape in shapes])
    if isinstance(column, AudioColumn):
        sounds = [random.normal(0, 3000, int(n)) for n in random.integers(200, 600, ROWS)]
        return as_rows([sound.astype(np.int16) for sound in sounds])
    words = ["good", "bad", "film", "the", "a", "poor"]
    texts = [" ".join(random.choice(words, random.integers(1, 9))) for _ in range(ROWS)]
    return np.array([*texts, None], dtype=object)[:-1]


def _of_field(field: Field, random: np.random.Generator) -> np.ndarray:
    if field.kind == "category":
        return random.integers(0, len(field.categories), ROWS).astype(float)
    numbers = random.normal(3, 5, ROWS)
    numbers[::7] = np.nan
    return numbers


def assert_alike(got: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Compare two answers to one row."""
    assert got.keys() == wanted.keys() and got["predicted"] == wanted["predicted"]
    assert got["probabilities"] == pytest.approx(wanted["probabilities"], abs=1e-6)


def classification() -> Task:
    return Classification(LabelColumn(classes=CLASSES))


def save_model(
    out: Path,
    columns: Mapping[str, Column],
    config: Mapping[str, Any],
    *,
    task: Task | None = None,
    mapper: Mapping[str, Any] | None = None,
    head: Mapping[str, Any] | None = None,
    kind: str = "table",
    options: Mapping[str, Any] | None = None,
    rows: bool = True,
) -> Path:
    """Write a complete source model with drawn weights; `kind` and `options`: how its raw files
    became rows, which it says nothing of without `rows`."""
    task = task or classification()
    source = load_source_model(
        "net", SourceModelConfig.model_validate(config), columns,
        lambda name: sample_of(columns[name]), 0,
    )  # fmt: skip
    torch.manual_seed(1)
    parts, of_mapper = source.parts, MapperConfig.model_validate(mapper or {})
    of_head = HeadConfig.model_validate(head or {})
    dims = {name: part.backbone.feature_dim for name, part in parts.items()}
    fusion = build_fusion(FusionConfig(), dims)
    between = build_mapper(of_mapper, fusion.out_dim)
    last = head_of(task, of_head, between.out_dim, parts)
    branches = {n: Branch(part, (), tapped=task.reads == "taps") for n, part in parts.items()}
    model = TransferModel(branches, fusion, between, last, task.reads)
    shake(model)
    facts = {name: column_facts(column) for name, column in columns.items()}
    of_rows = RowsSpec(columns=facts, kind=kind, options=dict(options or {}))
    spec = source.spec.model_copy(
        update={
            "task": dict(task.facts()), "mapper": of_mapper, "head": of_head,
            "score": {"test_accuracy": 0.9},
            "rows": of_rows if rows else None,
        }
    )  # fmt: skip
    save_source_model(out, model, spec)
    return out


@torch.no_grad()
def shake(model: nn.Module) -> None:
    """Give all weights and statistics values that show in the output."""
    for name, value in model.state_dict().items():
        if "running_var" in name:
            value.copy_(0.5 + torch.rand_like(value))
        elif value.is_floating_point() and ".matrix_DD" not in name:
            # In a deep network more would make numbers that float32 cannot compare
            size = 0.1 if value.dim() < 2 else 0.3 * float(value.std()) + 0.01
            value += size * torch.randn_like(value)
