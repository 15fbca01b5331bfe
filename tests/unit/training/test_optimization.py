"""Learning rates and parameter groups: closed forms."""

import math
from collections.abc import Collection

import pytest
import torch
from image_models import IMAGE, image_model
from torch import nn

from raytl.config import HeadConfig, MapperConfig, OptimizerConfig, TrialConfig
from raytl.modalities.image.catalogue import build_backbone
from raytl.models.mappers import build_mapper
from raytl.models.transfer_model import TransferModel
from raytl.recipes import RECIPES, Context, Recipe
from raytl.tasks.classification import Classification
from raytl.tasks.columns import LabelColumn
from raytl.tasks.heads import build_head
from raytl.training.optimization import (
    build_optimizer,
    clip_gradients,
    learning_rate_factor,
    set_learning_rate,
)
from raytl.training.stacked_optimizer import clip_stacked


def make_model(frozen: Collection[int] = ()) -> TransferModel:
    backbone = build_backbone("small_cnn", (1, 8, 8), width=4)
    mapper = build_mapper(MapperConfig(), backbone.feature_dim)
    head = build_head(HeadConfig(), mapper.out_dim, 2)
    return image_model(backbone, (1, 8, 8), mapper, head, frozen)


def make_recipe(trial: TrialConfig, model: TransferModel) -> Recipe:
    task = Classification(LabelColumn(classes=("a", "b")))
    return RECIPES[trial.recipe](Context(trial, model, task))


@pytest.mark.parametrize(
    ("schedule", "warmup", "progress", "factor"),
    [
        ("constant", 0.0, 0.0, 1.0),
        ("constant", 0.2, 0.0, 0.1),
        ("constant", 0.2, 0.1, 0.55),
        ("constant", 0.2, 0.9, 1.0),
        ("cosine", 0.0, 0.0, 1.0),
        ("cosine", 0.0, 0.5, 0.5),
        ("cosine", 0.0, 0.25, 0.5 * (1 + math.cos(math.pi / 4))),
        ("cosine", 0.5, 0.25, 0.55),
        ("cosine", 0.5, 0.75, 0.5),
    ],
)
def test_learning_rate(schedule: str, warmup: float, progress: float, factor: float) -> None:
    config = OptimizerConfig.model_validate({"schedule": schedule, "warmup": warmup})
    assert learning_rate_factor(config, progress) == pytest.approx(factor)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)],
)
def test_transferred_blocks_learn_more_slowly(name: str, kind: type) -> None:
    model = make_model({0})
    backbone, head = model.branch(IMAGE).backbone, model.head
    flat = {"optimizer": name, "optimizer.transferred_lr_scale": 0.1, "optimizer.layer_decay": 0.5}
    extra = nn.Linear(2, 2)
    trial = TrialConfig.from_flat({"source_model": "m", **flat})
    recipe = make_recipe(trial, model)
    recipe.extra = extra
    optimizer = build_optimizer(trial, model, recipe)
    assert type(optimizer) is kind
    set_learning_rate(optimizer, 0.5)
    rates = {p: g["lr"] for g in optimizer.param_groups for p in g["params"]}
    for index, rate in [(3, 0.05), (2, 0.025), (1, 0.0125)]:
        assert all(rates[p] == pytest.approx(rate) for p in backbone.blocks[index].parameters())
    assert all(rates[p] == 0.5 for p in (*head.parameters(), *extra.parameters()))
    assert not any(p in rates for p in backbone.blocks[0].parameters())
    assert all(g["weight_decay"] == 5e-4 for g in optimizer.param_groups)


@pytest.mark.parametrize(
    ("name", "optimizer", "transferred", "scale"),
    [
        ("small_cnn", "sgd", True, 3.0),  # with batch norm
        ("lenet", "sgd", True, 0.1),
        ("small_cnn", "adam", True, 1.0),
        ("lenet", "adamw", True, 0.03),
        ("small_cnn", "sgd", False, 1.0),  # fresh: nothing to keep
    ],
)
def test_a_rate_that_suits_what_is_transferred(
    name: str, optimizer: str, transferred: bool, scale: float
) -> None:
    backbone = build_backbone(name, (1, 28, 28))
    mapper = build_mapper(MapperConfig(), backbone.feature_dim)
    head = nn.Linear(mapper.out_dim, 2)
    model = image_model(backbone, (1, 28, 28), mapper, head, transferred=transferred)
    trial = TrialConfig.from_flat({"source_model": "m", "optimizer": optimizer})
    groups = build_optimizer(trial, model, make_recipe(trial, model)).param_groups
    assert [group["lr_scale"] for group in groups] == [scale] * len(backbone.blocks) + [1.0]


@pytest.mark.parametrize(
    ("recipe", "decays"),
    [
        ("finetune", [0, 0, 0, 0, 5e-4]),
        ("lp_ft", [0, 0, 0, 0, 5e-4]),
        ("gradual_unfreezing", [0, 0, 0, 0, 5e-4]),
        ("target_only", [5e-4] * 5),
        ("dann", [5e-4] * 5),
    ],
)
def test_l2_sp_takes_the_place_of_weight_decay_where_it_is_added(
    recipe: str, decays: list[float]
) -> None:
    model = make_model()
    trial = TrialConfig.from_flat({"source_model": "m", "recipe": recipe, "l2_sp": 0.1})
    groups = build_optimizer(trial, model, make_recipe(trial, model)).param_groups
    assert [group["weight_decay"] for group in groups] == decays


@pytest.mark.parametrize(
    ("gradient", "most", "length", "left"),
    [
        ([3.0, 4.0], 1.0, 5.0, [0.6, 0.8]),
        ([3.0, 4.0], 10.0, 5.0, [3.0, 4.0]),
        ([3.0, 4.0], 0.0, 5.0, [3.0, 4.0]),
        ([0.0, 0.0], 1.0, 0.0, [0.0, 0.0]),
    ],
)
def test_the_gradient_is_clipped_over_all_groups(
    gradient: list[float], most: float, length: float, left: list[float]
) -> None:
    one, two, idle = (nn.Parameter(torch.zeros(1)) for _ in range(3))
    optimizer = torch.optim.SGD([{"params": [one, idle]}, {"params": [two]}], lr=0.1)
    one.grad, two.grad = torch.tensor(gradient[:1]), torch.tensor(gradient[1:])
    assert float(clip_gradients(optimizer, most)) == pytest.approx(length)
    assert [float(one.grad), float(two.grad)] == pytest.approx(left, rel=1e-5)
    assert idle.grad is None


def test_stacked_gradients_are_clipped_trial_by_trial() -> None:
    gradients = {"w": torch.tensor([[3.0, 0.0], [0.3, 0.0]]), "b": torch.tensor([4.0, 0.4])}
    assert clip_stacked(gradients, 1.0).tolist() == pytest.approx([5.0, 0.5])
    assert gradients["w"].tolist() == [pytest.approx([0.6, 0]), pytest.approx([0.3, 0])]
    assert gradients["b"].tolist() == pytest.approx([0.8, 0.4], rel=1e-5)
