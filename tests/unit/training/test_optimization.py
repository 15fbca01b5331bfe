"""Learning rates and parameter groups: closed forms."""

import math

import pytest
import torch
from torch import nn

from raytl.config import HeadConfig, MapperConfig, OptimizerConfig, TrialConfig
from raytl.models.backbones import build_backbone
from raytl.models.heads import build_head
from raytl.models.mappers import build_mapper
from raytl.models.transfer_model import TransferModel
from raytl.training.optimization import (
    build_optimizer,
    learning_rate_factor,
    set_learning_rate,
)


@pytest.mark.parametrize(
    ("schedule", "warmup", "progress", "factor"),
    [
        ("constant", 0.0, 0.0, 1.0),
        ("constant", 0.2, 0.1, 0.5),
        ("constant", 0.2, 0.9, 1.0),
        ("cosine", 0.0, 0.0, 1.0),
        ("cosine", 0.0, 0.5, 0.5),
        ("cosine", 0.0, 0.25, 0.5 * (1 + math.cos(math.pi / 4))),
        ("cosine", 0.5, 0.25, 0.5),
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
    backbone = build_backbone("small_cnn", (1, 8, 8), width=4)
    mapper = build_mapper(MapperConfig(), backbone.feature_dim)
    head = build_head(HeadConfig(), mapper.out_dim, 2)
    model = TransferModel(backbone, mapper, head, {0}, transferred=True)
    flat = {"optimizer": name, "optimizer.transferred_lr_scale": 0.1, "optimizer.layer_decay": 0.5}
    extra = nn.Linear(2, 2)
    trial = TrialConfig.from_flat({"source_model": "m", **flat})
    optimizer = build_optimizer(trial, model, extra)
    assert type(optimizer) is kind
    set_learning_rate(optimizer, 0.5)
    rates = {p: g["lr"] for g in optimizer.param_groups for p in g["params"]}
    for index, rate in [(3, 0.05), (2, 0.025), (1, 0.0125)]:
        assert all(rates[p] == pytest.approx(rate) for p in backbone.blocks[index].parameters())
    assert all(rates[p] == 0.5 for p in (*head.parameters(), *extra.parameters()))
    assert not any(p in rates for p in backbone.blocks[0].parameters())
    assert all(g["weight_decay"] == 5e-4 for g in optimizer.param_groups)


def test_l2_sp_takes_the_place_of_weight_decay() -> None:
    backbone = build_backbone("small_cnn", (1, 8, 8), width=4)
    head = build_head(HeadConfig(), backbone.feature_dim, 2)
    model = TransferModel(
        backbone, build_mapper(MapperConfig(), backbone.feature_dim), head, (), transferred=True
    )
    trial = TrialConfig(source_model="m", l2_sp=0.1)
    groups = build_optimizer(trial, model, nn.Module()).param_groups
    assert [group["weight_decay"] for group in groups] == [0, 0, 0, 0, 5e-4]
