"""Every family cut into blocks computes what torchvision's whole network computes."""

import pytest
import torch
import torchvision
from torch import Tensor, nn

from raytl.errors import ModelError
from raytl.modalities.image.catalogue import (
    backbone_spec,
    backbones,
    build_backbone,
    input_shape_for,
)
from raytl.modalities.image.tv import FAMILIES, from_network

# One small member of each family, and the module whose input is the features before the classifier.
MEMBERS = {
    "resnet18": ("resnet", "fc"),
    "resnext50_32x4d": ("resnext", "fc"),
    "wide_resnet50_2": ("wide_resnet", "fc"),
    "squeezenet1_1": ("squeezenet", "classifier"),
    "vgg11_bn": ("vgg", "avgpool"),
    "densenet121": ("densenet", "classifier"),
    "mobilenet_v3_small": ("mobilenet", "classifier"),
    "efficientnet_b0": ("efficientnet", "classifier"),
    "convnext_tiny": ("convnext", "avgpool"),
    "vit_b_32": ("vit", "heads"),
}


def test_every_family_has_a_member_here() -> None:
    assert {family for family, _ in MEMBERS.values()} == set(FAMILIES)


@pytest.mark.parametrize("name", MEMBERS)
def test_blocks_compute_torchvisions_features(name: str) -> None:
    torch.manual_seed(0)
    args = {"image_size": 64} if name.startswith("vit") else {}
    network = torchvision.models.get_model(name, weights=None, num_classes=3, **args).eval()
    caught: list[Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        caught.append(inputs[0])

    network.get_submodule(MEMBERS[name][1]).register_forward_pre_hook(keep)
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        network(x)
        backbone = from_network(name, network, (3, 64, 64)).eval()
        features = backbone(x)
        expected = caught[0].mean((2, 3)) if caught[0].dim() == 4 else caught[0]
        assert torch.allclose(features, expected, atol=1e-5)
        half = len(backbone.blocks) // 2
        prefix = backbone.run(x, 0, half)
        kept = prefix.clone()
        assert torch.equal(backbone.pool(backbone.run(prefix, half)), features)
        assert torch.equal(prefix, kept), "a suffix must not change a stored prefix"


def test_input_shapes() -> None:
    assert input_shape_for("lenet", (1, 28, 28)) == (1, 28, 28)
    assert input_shape_for("resnet18", (1, 28, 28)) == (3, 32, 32)
    assert input_shape_for("vit_b_16", (3, 32, 32)) == (3, 224, 224)
    assert input_shape_for("lenet", (1, 8, 8)) == (1, 16, 16)


def test_what_does_not_fit_is_told() -> None:
    with pytest.raises(ModelError, match="did you mean 'resnet18'"):
        backbone_spec("resnet81")
    with pytest.raises(ModelError, match="takes 3 channels, but the images have 5"):
        input_shape_for("resnet18", (5, 32, 32))
    with pytest.raises(ModelError, match="32 pixels a side at least, but got input_size=8"):
        input_shape_for("resnet18", (3, 32, 32), side=8)
    with pytest.raises(ModelError, match="a multiple of 16"):
        input_shape_for("vit_b_16", (3, 32, 32), side=40)
    with pytest.raises(ModelError, match="small_cnn cannot be built .*widht"):
        build_backbone("small_cnn", (1, 8, 8), widht=3)


def test_own_and_torchvisions_backbones_are_known() -> None:
    assert {"lenet", "small_cnn", "cifar_resnet20", "resnet18", "vit_b_16"} <= set(backbones())
