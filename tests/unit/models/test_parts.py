"""Mappers, the adversary, freezing: known answers."""

from typing import get_args

import pytest
import torch

from raytl.config import HeadConfig, HeadName, MapperConfig, MapperName, RecipeName
from raytl.models.adversary import grad_reverse
from raytl.models.backbones import build_backbone, input_shape_for
from raytl.models.heads import HEADS, build_head
from raytl.models.mappers import MAPPERS, build_mapper
from raytl.models.transfer_model import TransferModel
from raytl.recipes import RECIPES


def test_registries_hold_what_the_configuration_names() -> None:
    assert set(MAPPERS) == set(get_args(MapperName))
    assert set(HEADS) == set(get_args(HeadName))
    assert set(RECIPES) == set(get_args(RecipeName))


def test_grad_reverse_is_identity_forward_and_minus_lambda_backward() -> None:
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    y = grad_reverse(x, 0.25)
    assert torch.equal(y, x)
    (y * torch.tensor([3.0, 5.0])).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [-0.75, -1.25]


def test_residual_mapper_starts_as_identity() -> None:
    f = torch.randn(3, 7)
    assert torch.equal(build_mapper(MapperConfig(name="residual"), 7)(f), f)


@pytest.mark.parametrize("name", ["lenet", "small_cnn", "cifar_resnet20", "squeezenet1_1"])
def test_prefix_then_suffix_is_the_whole(name: str) -> None:
    shape = input_shape_for(name, (1, 28, 28))
    backbone = build_backbone(name, shape).eval()
    x = torch.rand(2, *shape)
    with torch.no_grad():
        whole = backbone(x)
        for depth in range(len(backbone.blocks) + 1):
            prefix = backbone.run(x, 0, depth)
            kept = prefix.clone()
            assert torch.equal(backbone.pool(backbone.run(prefix, depth)), whole)
            assert torch.equal(prefix, kept), "a suffix must not change a stored prefix"


@pytest.mark.parametrize("depth", [0, 2, 4])
def test_frozen_blocks_stay_bit_identical(depth: int) -> None:
    torch.manual_seed(0)
    backbone = build_backbone("small_cnn", (1, 16, 16))
    mapper = build_mapper(MapperConfig(name="linear"), backbone.feature_dim)
    head = build_head(HeadConfig(), mapper.out_dim, 3)
    model = TransferModel(backbone, mapper, head, depth, transferred=True)
    before = [{k: v.clone() for k, v in b.state_dict().items()} for b in backbone.blocks]
    groups = model.parameter_groups()
    optimizer = torch.optim.SGD([*groups["transferred"], *groups["new"]], lr=0.1)
    model.train()
    for _ in range(3):
        loss = model(torch.rand(8, 1, 16, 16)).logits.logsumexp(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for index, block in enumerate(backbone.blocks):
        same = all(torch.equal(v, before[index][k]) for k, v in block.state_dict().items())
        assert same == (index < depth)
