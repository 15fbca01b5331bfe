"""torchvision's image classification networks as ordered blocks; their classifiers are left out.

Legend: B batch, S tokens, D features.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from raytl.modalities.backbone import Backbone, GlobalPool
from raytl.modalities.image.spec import Shape

Split = Callable[[Any], tuple[list[nn.Module], nn.Module]]


def build_torchvision(name: str, input_shape: Shape, **args: Any) -> Backbone:
    """Build torchvision's `name` with fresh weights and cut it into blocks."""
    import torchvision

    args = image_size(name, input_shape) | args
    network = torchvision.models.get_model(name, weights=None, **args)
    return from_network(name, network, input_shape)


def image_size(name: str, input_shape: Shape) -> dict[str, Any]:
    """Return the argument that fixes a transformer's input size."""
    return {"image_size": input_shape[1]} if name.startswith("vit") else {}


def from_network(name: str, network: nn.Module, input_shape: Shape) -> Backbone:
    """Cut a torchvision network into blocks, keeping its weights."""
    family = family_of(name)
    assert family is not None
    blocks, pool = FAMILIES[family](network)
    return Backbone(name, blocks, pool, torch.zeros(1, *input_shape))


def family_of(name: str) -> str | None:
    """Return the family that a torchvision name belongs to, if raytl can cut it."""
    return next((family for family in FAMILIES if name.startswith(family)), None)


def _resnet(net: Any) -> tuple[list[nn.Module], nn.Module]:
    stem = nn.Sequential(net.conv1, net.bn1, net.relu, net.maxpool)
    return [stem, *net.layer1, *net.layer2, *net.layer3, *net.layer4], GlobalPool()


def _features(net: Any) -> tuple[list[nn.Module], nn.Module]:
    return list(net.features), GlobalPool()


def _vgg(net: Any) -> tuple[list[nn.Module], nn.Module]:
    """One block a convolution, with the batch norm, ReLU and pooling that follow it."""
    units: list[list[nn.Module]] = []
    for layer in net.features:
        if isinstance(layer, nn.Conv2d):
            units.append([])
        units[-1].append(layer)
    return [nn.Sequential(*unit) for unit in units], GlobalPool()


def _densenet(net: Any) -> tuple[list[nn.Module], nn.Module]:
    """Stem, dense blocks and transitions; the last norm and its ReLU end the last dense block."""
    parts = dict(net.features.named_children())
    stem = nn.Sequential(*(parts[name] for name in ("conv0", "norm0", "relu0", "pool0")))
    middle = [parts[name] for name in parts if name.startswith(("denseblock", "transition"))]
    end = nn.Sequential(middle[-1], parts["norm5"], nn.ReLU())
    return [stem, *middle[:-1], end], GlobalPool()


class _Tokens(nn.Module):
    """Patches, class token and positions of a vision transformer."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.patch_size = net.patch_size
        self.conv_proj, self.dropout = net.conv_proj, net.encoder.dropout
        self.class_token, self.pos_embedding = net.class_token, net.encoder.pos_embedding

    def forward(self, x_BCHW: Tensor) -> Tensor:
        patches_BSD = self.conv_proj(x_BCHW).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(x_BCHW.shape[0], -1, -1), patches_BSD], dim=1)
        return self.dropout(tokens + self.pos_embedding)


class _ClassToken(nn.Module):
    """(B, S, D) → (B, D): the class token, which comes first."""

    def forward(self, h_BSD: Tensor) -> Tensor:
        return h_BSD[:, 0]


def _vit(net: Any) -> tuple[list[nn.Module], nn.Module]:
    return [_Tokens(net), *net.encoder.layers, net.encoder.ln], _ClassToken()


FAMILIES: dict[str, Split] = {
    "resnet": _resnet,
    "resnext": _resnet,
    "wide_resnet": _resnet,
    "squeezenet": _features,
    "vgg": _vgg,
    "densenet": _densenet,
    "mobilenet": _features,
    "efficientnet": _features,
    "convnext": _features,
    "vit": _vit,
}
