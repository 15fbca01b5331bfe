"""Heads that read the maps of a network's blocks and give a map.

Legend: B batch, C channels, H height, W width, K classes.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raytl.config import HeadConfig, HeadName
from raytl.tasks.heads import OneAnswer

Taps = Sequence[tuple[int, int, int]]  # (C, H, W) of each, the largest first
NORMALISING: tuple[HeadName, ...] = ("unet", "linear")
NARROWEST = 16  # channels of a decoder's last blocks, at least


def least_rows(head: HeadName, taps: Taps) -> int:
    """Return how many rows a training step needs: of maps of one pixel batch norm has one number a
    row."""
    small = any(height * width == 1 for _, height, width in taps)
    return 2 if small and head in NORMALISING else 1


def scaled(h_BCHW: Tensor, size: Sequence[int]) -> Tensor:
    """Return maps scaled to a height and width, bilinearly."""
    if list(h_BCHW.shape[2:]) == list(size):
        return h_BCHW
    return F.interpolate(h_BCHW, list(size), mode="bilinear", align_corners=False)


class DoubleConvolution(nn.Sequential):
    """Twice a 3×3 convolution, batch norm and ReLU: (B, C, H, W) → (B, C', H, W)."""

    def __init__(self, channels: int, out: int) -> None:
        def once(channels: int) -> list[nn.Module]:
            convolution = nn.Conv2d(channels, out, 3, padding=1, bias=False)
            return [convolution, nn.BatchNorm2d(out), nn.ReLU(inplace=True)]

        super().__init__(*once(channels), *once(out))


class Unet(nn.Module):
    """The expanding path of Ronneberger et al. 2015, "U-Net", section 2: from the deepest tap on,
    maps are scaled to the next larger tap's size, joined with it, and convolved twice; a 1×1
    convolution gives the classes. Deviations: any network is the contracting path, whose taps may
    be of any number and sizes; convolutions are padded and normalised, scaling is bilinear, the
    number of channels is `hidden` after the deepest taps and half as many, down to NARROWEST, after
    each next one."""

    def __init__(self, config: HeadConfig, taps: Taps, out_dim: int) -> None:
        super().__init__()
        (channels, _, _), *larger = reversed(taps)
        self.deepest = DoubleConvolution(channels, config.hidden)
        widths = [max(NARROWEST, config.hidden >> i) for i in range(1, len(taps))]
        inputs = [config.hidden, *widths]
        self.steps = nn.ModuleList(
            DoubleConvolution(inputs[i] + skip, width)
            for i, ((skip, _, _), width) in enumerate(zip(larger, widths, strict=True))
        )
        self.dropout = nn.Dropout2d(config.dropout)
        self.classes = nn.Conv2d(inputs[-1], out_dim, 1)

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        """Maps of the taps, the largest first → logits (B, K, H, W) at the size of the largest."""
        deepest, *larger = reversed(taps)
        h_BCHW = self.deepest(deepest)
        for step, skip in zip(self.steps, larger, strict=True):
            h_BCHW = step(torch.cat([scaled(h_BCHW, skip.shape[2:]), skip], dim=1))
        return self.classes(self.dropout(h_BCHW))


class LinearMaps(nn.Module):
    """A linear classifier of each pixel on the normalised maps of all taps, scaled to the largest
    one's size (Hariharan et al. 2015, "Hypercolumns for Object Segmentation and Fine-grained
    Localization", section 3): a 1×1 convolution of each tap, scaled and added up, which is the
    same. Deviation: batch norm in front, as taps differ in scale."""

    def __init__(self, config: HeadConfig, taps: Taps, out_dim: int) -> None:
        super().__init__()
        self.parts = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(channels), nn.Dropout2d(config.dropout),
                nn.Conv2d(channels, out_dim, 1, bias=number == 0),
            )
            for number, (channels, _, _) in enumerate(taps)
        )  # fmt: skip

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        """Maps of the taps, the largest first → logits (B, K, H, W) at the size of the largest."""
        size = taps[0].shape[2:]
        parts = [scaled(part(tap), size) for part, tap in zip(self.parts, taps, strict=True)]
        return torch.stack(parts).sum(0)


class ConstantMaps(OneAnswer):
    """The same numbers for every pixel of every row."""

    def __init__(self, config: HeadConfig, taps: Taps, out_dim: int) -> None:
        super().__init__(out_dim)

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        """→ (B, K, 1, 1)."""
        return self.bias.view(1, -1, 1, 1).expand(taps[0].shape[0], -1, 1, 1)


MAP_HEADS: dict[HeadName, Callable[[HeadConfig, Taps, int], nn.Module]] = {
    "unet": Unet,
    "linear": LinearMaps,
    "constant": ConstantMaps,
}
