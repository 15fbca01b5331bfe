"""Recipes: one step against the same step written by hand, and which labels they may read."""

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from raytl.config import HeadConfig, MapperConfig, TrialConfig
from raytl.data.domains import TrainBatch
from raytl.data.feed import Batch
from raytl.errors import ConfigError
from raytl.models.backbones import build_backbone
from raytl.models.heads import build_head
from raytl.models.mappers import build_mapper
from raytl.models.transfer_model import TransferModel
from raytl.recipes import RECIPES
from raytl.recipes.dann import Dann, ganin_factor

SHAPE, CLASSES = (1, 8, 8), 3


def build(depth: int = 0) -> TransferModel:
    torch.manual_seed(0)
    backbone = build_backbone("small_cnn", SHAPE, width=4)
    mapper = build_mapper(MapperConfig(name="linear", out=5), backbone.feature_dim)
    return TransferModel(backbone, mapper, build_head(HeadConfig(), 5, CLASSES), depth, True)


def batch(rows: int, seed: int, labelled: bool = True) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(CLASSES, (rows,), generator=generator) if labelled else None
    return Batch(torch.rand(rows, *SHAPE, generator=generator), y, torch.arange(rows))


def trial(**more: Any) -> TrialConfig:
    return TrialConfig(source_model="m", **more)


def step(model: TransferModel, recipe: Any, data: TrainBatch, progress: float) -> dict[str, Tensor]:
    parameters = [p for p in (*model.parameters(), *recipe.parameters()) if p.requires_grad]
    optimizer = torch.optim.SGD(parameters, lr=0.1)
    losses = recipe.losses(model, data, progress)
    recipe.total(losses).backward()
    optimizer.step()
    return losses


@pytest.mark.parametrize("labelled", [False, True])
def test_dann_replays_a_step_written_by_hand(labelled: bool) -> None:
    config = trial(recipe="dann", adversarial_lambda=0.7, label_smoothing=0.1)
    model, recipe = build(depth=1), Dann(config, 5)
    plain, discriminator = copy.deepcopy(model), copy.deepcopy(recipe.discriminator)
    source, target = batch(6, 1), batch(4, 2, labelled=False)
    more = batch(2, 3) if labelled else None
    losses = step(model, recipe, TrainBatch(source, target, more), progress=0.3)

    # min over θ of L_task - λ·L_domain, min over φ of L_domain, both by plain gradients.
    x = torch.cat([b.x for b in (source, target, more) if b is not None])
    mapped = plain.mapper(plain.backbone(x))
    logits = plain.head(mapped)
    assert source.y is not None
    if more is not None:
        assert more.y is not None
        picked, y = torch.cat([logits[:6], logits[10:]]), torch.cat([source.y, more.y])
    else:
        picked, y = logits[:6], source.y
    task = F.cross_entropy(picked, y, label_smoothing=0.1)
    truth = torch.cat([torch.zeros(6), torch.ones(4)])
    domain = F.binary_cross_entropy_with_logits(discriminator(mapped[:10]), truth)
    lambda_ = 0.7 * (2 / (1 + math.exp(-3)) - 1)
    theta = [p for p in plain.parameters() if p.requires_grad]
    phi = list(discriminator.parameters())
    of_model = torch.autograd.grad(task - lambda_ * domain, theta, retain_graph=True)
    of_discriminator = torch.autograd.grad(domain, phi)
    with torch.no_grad():
        for p, g in zip([*theta, *phi], [*of_model, *of_discriminator], strict=True):
            p -= 0.1 * g

    assert losses["task"].item() == pytest.approx(task.item(), rel=1e-6)
    assert losses["domain"].item() == pytest.approx(domain.item(), rel=1e-6)
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)
    for ours, theirs in zip(recipe.parameters(), discriminator.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


def test_the_discriminators_gradient_arrives_reversed() -> None:
    recipe = Dann(trial(recipe="dann", lambda_schedule="constant", adversarial_lambda=0.5), 5)
    mapped = torch.randn(4, 5, requires_grad=True)
    loss = recipe._domain_loss(mapped[:2], mapped[2:], recipe.adversarial_lambda(0.9))
    (reversed_,) = torch.autograd.grad(loss, mapped)
    truth = torch.tensor([0.0, 0.0, 1.0, 1.0])
    plain = F.binary_cross_entropy_with_logits(recipe.discriminator(mapped), truth)
    (straight,) = torch.autograd.grad(plain, mapped)
    assert straight.abs().sum() > 0
    assert torch.allclose(reversed_, -0.5 * straight)


def test_lambda_schedules() -> None:
    assert ganin_factor(0.0) == 0.0
    assert ganin_factor(1.0) == pytest.approx(math.tanh(5.0))
    constant = Dann(trial(recipe="dann", lambda_schedule="constant", adversarial_lambda=0.3), 5)
    assert constant.scalars(0.0) == {"adversarial_lambda": 0.3}


@pytest.mark.parametrize("name", ["linear_probe", "finetune", "scratch", "source_only"])
def test_supervised_recipes_replay_plain_cross_entropy(name: str) -> None:
    recipe = RECIPES[name](trial(recipe=name), 5)
    streams = recipe.streams(True, True)
    data = TrainBatch(**{stream: batch(6, 1) for stream in streams})
    model = build()
    plain = copy.deepcopy(model)
    losses = step(model, recipe, data, 0.0)
    only = data.labelled or data.source
    assert only is not None and only.y is not None
    expected = F.cross_entropy(plain.head(plain.mapper(plain.backbone(only.x))), only.y)
    assert losses["task"].item() == pytest.approx(expected.item(), rel=1e-6)
    expected.backward()
    with torch.no_grad():
        for p in plain.parameters():
            assert p.grad is not None
            p -= 0.1 * p.grad
    for ours, theirs in zip(model.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "labelled", "has_source", "streams"),
    [
        ("finetune", True, True, ("labelled",)),
        ("finetune", False, True, ("source",)),
        ("linear_probe", True, False, ("labelled",)),
        ("dann", False, True, ("source", "target")),
        ("dann", True, True, ("source", "target", "labelled")),
        ("scratch", True, False, ("labelled",)),
        ("source_only", True, True, ("source",)),
        ("finetune", False, False, "needs target labels or a source_domain"),
        ("dann", True, False, "needs a source_domain"),
        ("scratch", False, True, "labels is none"),
        ("source_only", True, False, "needs a source_domain"),
    ],
)
def test_label_regimes(name: str, labelled: bool, has_source: bool, streams: Any) -> None:
    if isinstance(streams, str):
        with pytest.raises(ConfigError, match=streams):
            RECIPES[name].streams(labelled, has_source)
    else:
        assert RECIPES[name].streams(labelled, has_source) == streams
