"""Mappers, the adversary, freezing: known answers."""

from typing import get_args

import pytest
import torch
from image_models import IMAGE, image_model

from raytl.config import HeadConfig, MapperConfig, MapperName, RecipeName
from raytl.errors import ModelError
from raytl.modalities.image.catalogue import build_backbone, input_shape_for
from raytl.modalities.image.transform import ImageTransform
from raytl.modalities.image.wing import Image
from raytl.models.adapters import LowRank, add_adapters, merge_adapters
from raytl.models.adversary import grad_reverse
from raytl.models.branch import Branch, Part
from raytl.models.fusion import Single
from raytl.models.mappers import MAPPERS, build_mapper
from raytl.models.transfer_model import TransferModel
from raytl.recipes import RECIPES
from raytl.rows import Given, padded
from raytl.tasks.heads import build_head
from raytl.training.block_change import block_changes


def test_registries_hold_what_the_configuration_names() -> None:
    assert set(MAPPERS) == set(get_args(MapperName))
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
            assert isinstance(prefix, torch.Tensor)
            kept = prefix.clone()
            assert torch.equal(backbone.pool(backbone.run(prefix, depth)), whole)
            assert torch.equal(prefix, kept), "a suffix must not change a stored prefix"


def model_of(frozen: range, mapper: str = "linear", **branch: float) -> TransferModel:
    """A model for grey images of 16 pixels a side, 3 classes."""
    shape = (1, 16, 16)
    backbone = build_backbone("small_cnn", shape)
    transform = ImageTransform(shape, (0.0,), (1.0,))
    part = Part(Image(), transform, backbone, {}, frozenset(), draws=False)
    built = build_mapper(MapperConfig.model_validate({"name": mapper}), backbone.feature_dim)
    return TransferModel(
        {"image": Branch(part, frozen, **branch)},  # type: ignore[arg-type]
        Single({"image": backbone.feature_dim}),
        built,
        build_head(HeadConfig(), built.out_dim, 3),
    )


def given(rows: int = 8) -> dict[str, Given]:
    return {"image": Given(torch.rand(rows, 16, 16, 1))}


@pytest.mark.parametrize("depth", [0, 2, 4])
def test_frozen_blocks_stay_bit_identical(depth: int) -> None:
    torch.manual_seed(0)
    model = model_of(range(depth))
    blocks = model.branch("image").backbone.blocks
    before = [{k: v.clone() for k, v in b.state_dict().items()} for b in blocks]
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model.train()
    for _ in range(3):
        loss = model(given()).out.logsumexp(1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for index, block in enumerate(blocks):
        same = all(torch.equal(v, before[index][k]) for k, v in block.state_dict().items())
        assert same == (index < depth)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_what_was_done_before_is_not_done_again(depth: int) -> None:
    torch.manual_seed(0)
    model = model_of(range(depth)).eval()
    branch, inputs = model.branch("image"), given()
    rows = inputs["image"].rows
    assert isinstance(rows, torch.Tensor)
    with torch.no_grad():
        whole = model(inputs)
        h = branch.backbone.run(branch.transform(rows), 0, depth)
        of_prefix = model({"image": Given(h, depth)})
        features = branch.backbone.pool(branch.backbone.run(h, depth))
        of_features = model({"image": Given(features, branch.backbone.steps)})
    for other in (of_prefix, of_features):
        assert torch.equal(whole.features, other.features) and torch.equal(whole.out, other.out)


def test_the_transform_runs_in_the_branch() -> None:
    model = model_of(range(0)).eval()
    bright = torch.randint(0, 256, (4, 16, 16, 1), dtype=torch.uint8)
    with torch.no_grad():
        stored = model({"image": Given(bright)})
        scaled = model({"image": Given(bright / 255)})
    assert torch.allclose(stored.out, scaled.out, atol=1e-6)


def test_held_blocks_are_frozen_for_now_and_frozen_ones_for_good() -> None:
    model = model_of(range(1))
    blocks = model.branch("image").backbone.blocks
    assert model.trainable_blocks() == [("image", 1), ("image", 2), ("image", 3)]
    assert [model.distance(block) for block in model.trainable_blocks()] == [2, 1, 0]
    assert model.hold(frozenset({("image", 1), ("image", 2)}))
    assert not model.hold(frozenset({("image", 1), ("image", 2)}))
    model.train()
    assert [block.training for block in blocks] == [False, False, False, True]
    learns = [any(p.requires_grad for p in block.parameters()) for block in blocks]
    assert learns == [False, False, False, True]
    assert model.hold(frozenset())
    assert [block.training for block in blocks] == [False, True, True, True]


def test_what_a_network_keeps_fixed_stays_so_once_its_block_is_let_go() -> None:
    backbone = build_backbone("small_cnn", (1, 8, 8), width=4)
    fixed = next(backbone.blocks[1].parameters()).requires_grad_(False)
    head = build_head(HeadConfig(), backbone.feature_dim, 2)
    model = image_model(
        backbone, (1, 8, 8), build_mapper(MapperConfig(), backbone.feature_dim), head
    )
    learns = [p.requires_grad for p in backbone.parameters()]
    assert model.hold(frozenset({(IMAGE, 0), (IMAGE, 1)})) and model.hold(frozenset())
    assert [p.requires_grad for p in backbone.parameters()] == learns
    assert not any(p is fixed for p in model.block_parameters((IMAGE, 1)))
    own = sum(p.numel() for p in model.parameters())
    assert model.num_trainable() == own - fixed.numel()


def test_adapters_end_the_prefix_and_are_all_that_their_block_trains() -> None:
    plain, adapted = model_of(range(2)), model_of(range(2), lora_rank=2, lora_alpha=4.0)
    assert (plain.branch("image").frozen_depth, adapted.branch("image").frozen_depth) == (2, 0)
    assert plain.adapter_parameters() == [] and len(adapted.adapter_parameters()) == 4
    assert adapted.num_frozen_blocks() == plain.num_frozen_blocks() == 2
    extra = sum(parameter.numel() for parameter in adapted.adapter_parameters())
    assert adapted.num_trainable() == plain.num_trainable() + extra


def test_a_checkpoint_holds_all_but_frozen_weights() -> None:
    model, other = model_of(range(3)), model_of(range(3))
    state = model.trainable_state()
    frozen = tuple(f"branches.of_image.backbone.blocks.{i}." for i in range(3))
    assert set(model.state_dict()) - set(state) == {
        name for name in model.state_dict() if name.startswith(frozen)
    }
    other.load_trainable_state(state)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in state.items())
    with pytest.raises(RuntimeError, match="the state does not fit"):
        other.load_trainable_state({"more": torch.zeros(1)})


def test_the_matrix_maps_the_source_domains_rows_alone() -> None:
    model = model_of(range(4), mapper="matrix").eval()
    model.mapper.matrix_DD.mul_(2)  # type: ignore[operator]
    out = model(given(), num_source=3)
    assert torch.equal(out.mapped[:3], 2 * out.features[:3])
    assert torch.equal(out.mapped[3:], out.features[3:])


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
    assert isinstance(adapter, LowRank)
    with torch.no_grad():
        adapter.up.fill_(1.0)
        adapter.down.copy_(torch.tensor([[1.0, 2.0, 3.0]]))
    expected = plain + 2.0 * torch.tensor([[1.0, 2.0, 3.0]] * 2)
    assert torch.allclose(layer.weight, expected)


def test_attention_with_equal_scores_is_the_mean() -> None:
    mapper = build_mapper(MapperConfig(name="attention", hidden=4), 5)
    torch.nn.init.zeros_(mapper.score[2].weight)  # type: ignore[index,union-attr]
    maps = torch.randn(2, 5, 3, 3)
    assert torch.allclose(mapper(maps), maps.mean((2, 3)), atol=1e-6)
    with pytest.raises(ModelError, match="needs spatial maps"):
        mapper(torch.randn(2, 5))


@pytest.mark.parametrize("name", ["attention", "conv1x1"])
def test_a_spatial_mapper_sees_a_rows_own_tokens_alone(name: str) -> None:
    torch.manual_seed(0)
    mapper = build_mapper(MapperConfig.model_validate({"name": name, "hidden": 4}), 5)
    parts = [torch.randn(count, 5) for count in (3, 1, 6)]
    together = mapper(padded(parts))
    for row, part in enumerate(parts):
        assert torch.allclose(together[row], mapper(part[None])[0], atol=1e-6)


def test_a_row_without_tokens_maps_to_a_finite_vector() -> None:
    mapper = build_mapper(MapperConfig(name="attention", hidden=4), 5)
    assert mapper(padded([torch.zeros(0, 5), torch.randn(2, 5)])).isfinite().all()


def test_blocks_with_adapters_are_not_said_to_be_frozen() -> None:
    plain, adapted = model_of(range(2)), model_of(range(2), lora_rank=2, lora_alpha=4.0)
    rows = torch.randint(0, 256, (6, 16, 16, 1), dtype=torch.uint8)
    for model, frozen in ((plain, [True, True, False, False]), (adapted, [False] * 4)):
        before = {"image": plain.eval().branch("image")}
        after = {"image": model.eval().branch("image")}
        inputs = {"image": Given(rows)}
        found, count = block_changes(before, after, [inputs], lambda: False)
        assert [change.frozen for change in found] == frozen
        assert count == 6
    merge_adapters(adapted)  # as before features are compared
    found, _ = block_changes(before, after, [inputs], lambda: False)
    assert not any(change.frozen for change in found)
