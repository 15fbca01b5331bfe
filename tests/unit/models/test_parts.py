"""Mappers, the adversary, freezing: known answers."""

from typing import get_args

import pytest
import torch

from raytl.config import HeadConfig, HeadName, MapperConfig, MapperName, RecipeName
from raytl.errors import ModelError
from raytl.models.adapters import add_adapters, merge_adapters
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
    model = TransferModel(backbone, mapper, head, range(depth), transferred=True)
    before = [{k: v.clone() for k, v in b.state_dict().items()} for b in backbone.blocks]
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model.train()
    for _ in range(3):
        loss = model(torch.rand(8, 1, 16, 16)).logits.logsumexp(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for index, block in enumerate(backbone.blocks):
        same = all(torch.equal(v, before[index][k]) for k, v in block.state_dict().items())
        assert same == (index < depth)


def test_adapters_start_as_nothing_and_merge_into_plain_weights() -> None:
    torch.manual_seed(0)
    backbone = build_backbone("cifar_resnet20", (3, 32, 32)).eval()
    x = torch.rand(2, 3, 32, 32)
    before = backbone(x)
    names = set(backbone.state_dict())
    assert add_adapters(backbone, rank=2, alpha=4.0)
    assert torch.allclose(backbone(x), before, atol=1e-6)
    with torch.no_grad():
        for name, parameter in backbone.named_parameters():
            if name.endswith(".up"):
                parameter.normal_(0, 0.5)
    adapted = backbone(x)
    assert not torch.allclose(adapted, before, atol=1e-3)
    merge_adapters(backbone)
    assert set(backbone.state_dict()) == names
    assert torch.allclose(backbone(x), adapted, atol=1e-5)


def test_low_rank_update_is_its_formula() -> None:
    layer = torch.nn.Linear(3, 2, bias=False)
    plain = layer.weight.detach().clone()
    add_adapters(torch.nn.Sequential(layer), rank=1, alpha=2.0)
    adapter = layer.parametrizations["weight"][0]  # type: ignore[index]
    with torch.no_grad():
        adapter.up.fill_(1.0)
        adapter.down.copy_(torch.tensor([[1.0, 2.0, 3.0]]))
    expected = plain + 2.0 * torch.tensor([[1.0, 2.0, 3.0]] * 2)
    assert torch.allclose(layer.weight, expected)


def test_cosine_head_is_scaled_cosine() -> None:
    head = build_head(HeadConfig(name="cosine"), 4, 3)
    z = torch.randn(2, 4)
    expected = 10 * torch.cosine_similarity(z.unsqueeze(1), head.weight.unsqueeze(0), dim=2)  # type: ignore[union-attr,operator]
    assert torch.allclose(head(z), expected, atol=1e-5)


@pytest.mark.parametrize("dim", [3, 64, 500])
def test_cnn_fc_takes_any_width(dim: int) -> None:
    assert build_head(HeadConfig(name="cnn_fc"), dim, 7)(torch.randn(2, dim)).shape == (2, 7)


def test_attention_with_equal_scores_is_the_mean() -> None:
    mapper = build_mapper(MapperConfig(name="attention", hidden=4), 5)
    torch.nn.init.zeros_(mapper.score[2].weight)  # type: ignore[index,union-attr,arg-type]
    maps = torch.randn(2, 5, 3, 3)
    assert torch.allclose(mapper(maps), maps.mean((2, 3)), atol=1e-6)
    with pytest.raises(ModelError, match="needs spatial maps"):
        mapper(torch.randn(2, 5))
