"""Every family of timm cut into blocks computes what timm's whole network computes."""

import copy
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from raytl.errors import ModelError
from raytl.modalities.image.catalogue import backbone_spec, build_backbone, input_shape_for
from raytl.modalities.image.recording import Recording
from raytl.modalities.image.timm_cut import cut
from raytl.modalities.image.timm_models import create_timm, cut_timm, timm_names

SMALL_VIT = {"depth": 2, "embed_dim": 48, "num_heads": 3}
# Name, arguments, blocks, what they give
FAMILIES: list[tuple[str, dict[str, Any], int, str]] = [
    ("tf_efficientnet_lite0", {}, 17, "maps"),
    ("mobilenetv3_small_050", {}, 14, "vector"),  # its last convolution comes after the pool
    ("mobilenetv4_conv_small_050", {}, 19, "vector"),
    ("resnet10t", {}, 5, "maps"),
    ("resnetv2_18", {}, 9, "maps"),
    ("regnetx_002", {}, 14, "maps"),
    ("convnext_atto", {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}, 6, "vector"),
    ("densenet121", {"block_config": (2, 2, 2, 2), "growth_rate": 8}, 5, "maps"),
    ("vit_tiny_patch16_224", {**SMALL_VIT, "img_size": 64}, 3, "tokens"),
    ("vit_tiny_patch16_224", {**SMALL_VIT, "img_size": 64, "global_pool": "avg"}, 4, "vector"),
    ("deit_tiny_distilled_patch16_224", {**SMALL_VIT, "img_size": 64}, 3, "tokens"),
    ("vit_small_patch16_dinov3", {**SMALL_VIT, "img_size": 64}, 3, "tokens"),  # rotates by place
    (
        "swin_tiny_patch4_window7_224",
        {"depths": (1, 1, 1, 1), "embed_dim": 12, "num_heads": (1, 1, 1, 1)},
        5,
        "maps",
    ),
    # Takes sizes along; what comes before its class token joins is the stem
    ("xcit_nano_12_p16_224", {"img_size": 64}, 3, "tokens"),
]


def shaken(network: nn.Module) -> nn.Module:
    """Give every number of a network a part in what it computes: many start as 0 or 1."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in [*network.named_parameters(), *network.named_buffers()]:
            if value.is_floating_point() and "rope" not in name:
                noise = torch.rand(value.shape, generator=generator)
                value.add_(noise * 0.2 if value.dim() == 1 else (noise - 0.5) * 0.02)
    return network


@pytest.mark.parametrize(("name", "args", "blocks", "state"), FAMILIES)
def test_blocks_compute_timms_features(
    name: str, args: dict[str, Any], blocks: int, state: str
) -> None:
    torch.manual_seed(0)
    side = 224 if name.startswith("swin") else 64
    shape = (3, side, side)
    network = shaken(create_timm(f"timm/{name}", shape, **args)).eval()
    backbone = cut_timm(f"timm/{name}", copy.deepcopy(network), shape)
    assert (len(backbone.blocks), backbone.state) == (blocks, state)
    assert not list(backbone.pool.parameters())
    x = torch.rand(3, *shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted: Tensor = network.forward_head(network.forward_features(x), pre_logits=True)  # type: ignore[operator]
        features = backbone.eval()(x)
        assert 0.01 < wanted.abs().max() < 1000
        assert torch.allclose(features, wanted, atol=1e-4, rtol=1e-4)
        half = len(backbone.blocks) // 2
        prefix = backbone.run(x, 0, half)
        kept = prefix.clone()
        assert torch.equal(backbone.pool(backbone.run(prefix, half)), features)
        assert torch.equal(prefix, kept), "a suffix must not change a stored prefix"


@pytest.mark.parametrize("name", ["resnet10t", "vit_tiny_patch16_224", "convnext_atto"])
def test_every_parameter_learns_and_none_is_held_twice(name: str) -> None:
    args = SMALL_VIT | {"img_size": 64} if name.startswith("vit") else {}
    network = create_timm(f"timm/{name}", (3, 64, 64), **args, num_classes=0)
    count = sum(parameter.numel() for parameter in network.parameters())
    backbone = cut_timm(f"timm/{name}", shaken(network), (3, 64, 64))
    assert all(module.training for module in backbone.modules())
    assert sum(parameter.numel() for parameter in backbone.parameters()) == count
    backbone(torch.rand(2, 3, 64, 64)).square().sum().backward()
    without = [key for key, value in backbone.named_parameters() if value.grad is None]
    assert without == []


def test_maps_have_channels_first_whatever_a_network_does_inside() -> None:
    swin = FAMILIES[-2]
    backbone = build_backbone(f"timm/{swin[0]}", (3, 224, 224), **swin[1])
    assert backbone.eval().run(torch.zeros(1, 3, 224, 224)).shape == (1, 96, 7, 7)
    assert backbone.feature_dim == 96


def test_fresh_weights_follow_the_global_generator_alone() -> None:
    def drawn(seed: int) -> Tensor:
        torch.manual_seed(seed)
        return next(build_backbone("timm/test_resnet", (3, 32, 32)).parameters())

    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))


class Odd(nn.Module):
    """A network whose features no chain of modules gives."""

    def __init__(self, changes_input: bool = False) -> None:
        super().__init__()
        self.one, self.other = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)
        self.classifier = nn.Linear(4, 2)
        self.changes_input = changes_input

    def forward_features(self, x: Tensor) -> Tensor:
        return self.one(x) + self.other(x)

    def forward_head(self, h: Tensor, pre_logits: bool = False) -> Tensor:
        h = h.mean((2, 3))
        return h if pre_logits else self.classifier(h)

    def get_classifier(self) -> nn.Module:
        return self.classifier


def test_a_network_that_cannot_be_cut_is_one_block_and_says_so() -> None:
    torch.manual_seed(0)
    network = Odd()
    x = torch.rand(2, 3, 8, 8)
    wanted = network.forward_head(network.forward_features(x), pre_logits=True)
    with pytest.warns(UserWarning, match="timm/odd: cannot be cut, so it is frozen whole or not"):
        backbone = cut_timm("timm/odd", network, (3, 8, 8))
    assert len(backbone.blocks) == 1
    assert torch.equal(backbone(x), wanted)
    assert len(list(backbone.parameters())) == 4


class TwoWays(Odd):
    """A chain with something added between its links, which belong to groups of their own."""

    def forward_features(self, x: Tensor) -> Tensor:
        h = self.one(x)
        h += 1.0  # in place: the same tensor goes on, but not the same numbers
        return self.last(h.relu_())

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Conv2d(4, 4, 1)
        del self.other

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        return {"stem": r"^one", "blocks": r"^last"}


def test_what_is_written_to_between_two_modules_is_no_chain() -> None:
    torch.manual_seed(0)
    network = TwoWays().eval()
    x = torch.rand(2, 3, 8, 8)
    wanted = network.forward_head(network.forward_features(x), pre_logits=True)
    blocks, pool = cut(copy.deepcopy(network), x)
    assert len(blocks) == 2
    assert torch.equal(pool(blocks[1](blocks[0](x))), wanted)


def test_a_recording_knows_what_hangs_on_the_rows() -> None:
    class Scaled(nn.Module):
        def forward(self, x: Tensor, by: Tensor, more: None = None) -> Tensor:
            return x * by

    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fixed, self.own = Scaled(), Scaled()

        def forward(self, x: Tensor) -> Tensor:
            h = self.fixed(x, torch.ones(2), more=None)
            return self.own(h, x.mean())

    network = Outer()
    run = Recording(network, network, torch.rand(3, 2))
    fixed, own = run.top.children[0].children
    assert fixed.start == run.top.start and fixed.kwargs == {}
    assert own.start is None, "what else it is given is another for other rows"
    assert own.end == run.top.end


def test_timms_names_are_known_without_building_any() -> None:
    assert len(timm_names()) == len(timm.list_models()) > 1000
    assert "timm/resnet18" in timm_names()
    assert backbone_spec("timm/resnet18.a1_in1k").of == "timm"
    assert input_shape_for("timm/resnet18", (1, 28, 28)) == (3, 32, 32)
    assert input_shape_for("timm/vit_tiny_patch16_224", (3, 32, 32)) == (3, 224, 224)
    assert input_shape_for("timm/vit_tiny_patch16_224", (3, 32, 32), side=96) == (3, 96, 96)


def test_what_timm_does_not_take_is_told() -> None:
    with pytest.raises(
        ModelError, match="unknown timm network 'resnet81'; did you mean 'resnet18'"
    ):
        backbone_spec("timm/resnet81")
    with pytest.raises(
        ModelError, match=r"unknown timm network 'zzzz'; timm.list_models\(\) names"
    ):
        backbone_spec("timm/zzzz")
    with pytest.raises(ModelError, match="unknown timm network 'hf-hub:a/b'"):
        backbone_spec("timm/hf-hub:a/b")
    with pytest.raises(ModelError, match="unknown timm weights 'vgg11.x'; known: vgg11.tv_in1k"):
        backbone_spec("timm/vgg11.x")
    with pytest.raises(
        ModelError, match="timm/resnet18 cannot be built .*unexpected keyword.*widht"
    ):
        build_backbone("timm/resnet18", (3, 32, 32), widht=3)
    with pytest.raises(ModelError, match=r"one vector a row, but are \(96, 1, 1\); leave global_"):
        build_backbone("timm/test_resnet", (3, 32, 32), global_pool="")
    with pytest.raises(ModelError, match="takes 3 channels, but the images have 5"):
        input_shape_for("timm/resnet18", (5, 32, 32))
    with pytest.raises(ModelError, match="32 pixels a side at least, but got input_size=16"):
        input_shape_for("timm/resnet18", (3, 32, 32), side=16)
