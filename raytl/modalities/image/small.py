"""Small backbones of our own.

Legend: B batch, C channels, H height, W width.
"""

import re
from typing import Any

import torch
from torch import Tensor, nn

from raytl.modalities.backbone import Backbone, GlobalPool
from raytl.modalities.image.spec import Shape


def lenet(name: str, input_shape: Shape, features: int = 500) -> Backbone:
    """LeNet-5's shape with ReLU and wider layers, as in Caffe's and the domain-adaptation
    literature's digit experiments: conv 20, conv 50, fully connected `features`."""
    channels, height, width = input_shape
    flat = 50 * _after_two(height) * _after_two(width)
    blocks = [
        nn.Sequential(nn.Conv2d(channels, 20, 5), nn.MaxPool2d(2), nn.ReLU()),
        nn.Sequential(nn.Conv2d(20, 50, 5), nn.MaxPool2d(2), nn.ReLU()),
        nn.Sequential(nn.Flatten(), nn.Linear(flat, features), nn.ReLU()),
    ]
    return Backbone(name, blocks, nn.Identity(), torch.zeros(1, *input_shape))


def _after_two(side: int) -> int:
    return ((side - 4) // 2 - 4) // 2


def small_cnn(name: str, input_shape: Shape, width: int = 32) -> Backbone:
    """Four blocks of convolution, batch norm, ReLU; the first three halve the side."""
    sizes = [input_shape[0], width, 2 * width, 4 * width, 4 * width]
    blocks: list[nn.Module] = []
    for index in range(4):
        layers: list[Any] = [
            nn.Conv2d(sizes[index], sizes[index + 1], 3, padding=1, bias=False),
            nn.BatchNorm2d(sizes[index + 1]),
            nn.ReLU(),
        ]
        if index < 3:
            layers.append(nn.MaxPool2d(2))
        blocks.append(nn.Sequential(*layers))
    return Backbone(name, blocks, GlobalPool(), torch.zeros(1, *input_shape))


class _CifarBlock(nn.Module):
    """A residual block with option A: the shortcut subsamples and pads channels with zeros."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.stride, self.added = stride, (outside - inside) // 2

    def forward(self, x_BCHW: Tensor) -> Tensor:
        h = self.bn2(self.conv2(self.bn1(self.conv1(x_BCHW)).relu()))
        shortcut = x_BCHW
        if self.added:
            shortcut = nn.functional.pad(
                x_BCHW[:, :, :: self.stride, :: self.stride],
                (0, 0, 0, 0, self.added, self.added),
            )
        return (h + shortcut).relu()


def cifar_resnet20(name: str, input_shape: Shape) -> Backbone:
    """ResNet-20 for CIFAR (He et al. 2016, section 4.2), option A shortcuts; 10 blocks."""
    stem = nn.Sequential(
        nn.Conv2d(input_shape[0], 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
    )
    blocks: list[nn.Module] = [stem]
    inside = 16
    for outside, stride in [(16, 1), (32, 2), (64, 2)]:
        for index in range(3):
            blocks.append(_CifarBlock(inside, outside, stride if index == 0 else 1))
            inside = outside
    return Backbone(name, blocks, GlobalPool(), torch.zeros(1, *input_shape))


def rename_cifar_resnet20(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Rename the usual keys: conv1, bn1, layer1.0.conv1, …; leave out the classifier, linear."""
    renamed = {}
    for key, value in state.items():
        part, _, rest = key.partition(".")
        block = re.fullmatch(r"layer([123])\.([012])\.(.+)", key)
        if part in ("conv1", "bn1"):
            renamed[f"blocks.0.{['conv1', 'bn1'].index(part)}.{rest}"] = value
        elif block is not None:
            index = 1 + 3 * (int(block[1]) - 1) + int(block[2])
            renamed[f"blocks.{index}.{block[3]}"] = value
        elif part != "linear":
            renamed[key] = value
    return renamed
