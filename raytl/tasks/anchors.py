"""Anchors: boxes of a few sizes at each position of a map, from which a network's boxes are
measured; their sizes are fitted to the training boxes.

Legend: N boxes, K anchors, L maps, A anchors at each position of one map.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from torchvision.models.detection.image_list import ImageList

ANCHORS = 12  # which 1, 2, 3 and 4 maps can share alike
LEAST_SIDE = 0.01  # pixels of an anchor's side
ROUNDS = 50  # of k-means, at most
USUAL = (1 / 16, 1 / 8, 1 / 4, 1 / 2)  # of an image's sides, where there is nothing to fit to
RATIOS = (0.5, 1.0, 2.0)  # height by width, likewise

Sizes = tuple[tuple[float, float], ...]  # (width, height) in pixels, by area


def fitted_anchors(sizes_N2: np.ndarray) -> Sizes:
    """Return ANCHORS sizes, (width, height) in pixels, the smallest first, by k-means of the boxes'
    sizes with 1 - IoU as their distance (Redmon and Farhadi 2017, "YOLO9000", section 2); the first
    centres are spread evenly over the boxes by area, so nothing is drawn. Boxes of fewer sizes give
    some anchors twice."""
    order = np.lexsort((sizes_N2[:, 1], sizes_N2.prod(axis=1)))
    boxes_N2 = sizes_N2[order].astype(np.float64)
    spread = np.linspace(0, len(boxes_N2) - 1, ANCHORS).round().astype(np.int64)
    centre_K2 = boxes_N2[spread]
    nearest_N = None
    for _ in range(ROUNDS):
        found_N = size_iou(boxes_N2, centre_K2).argmax(axis=1)
        if nearest_N is not None and (found_N == nearest_N).all():
            break
        nearest_N = found_N
        for k in np.unique(nearest_N):
            centre_K2[k] = np.median(boxes_N2[nearest_N == k], axis=0)
    by_area = centre_K2[np.argsort(centre_K2.prod(axis=1), kind="stable")]
    return tuple(
        (max(LEAST_SIDE, round(float(width), 2)), max(LEAST_SIDE, round(float(height), 2)))
        for width, height in by_area
    )


def usual_anchors(shape: tuple[int, int]) -> Sizes:
    """Return ANCHORS sizes for images of a height and width whose boxes nobody has seen."""
    side = float(np.sqrt(shape[0] * shape[1]))
    return tuple(
        (side * share / ratio**0.5, side * share * ratio**0.5)
        for share in USUAL
        for ratio in RATIOS
    )


def size_iou(boxes_N2: np.ndarray, centre_K2: np.ndarray) -> np.ndarray:
    """Return the IoU of boxes that have one corner in common, (N, K)."""
    both_NK = np.minimum(boxes_N2[:, None], centre_K2[None]).prod(axis=2)
    return np.asarray(
        both_NK / (boxes_N2.prod(axis=1)[:, None] + centre_K2.prod(axis=1)[None] - both_NK)
    )


class Anchors(nn.Module):
    """The anchors of L maps of known strides: of the sizes, by area, the first A stand at every
    position of the first and largest map, and so on. In the place of torchvision's AnchorGenerator,
    whose sizes and ratios are multiplied with each other and whose anchors are rounded to whole
    pixels and stand at the corners of cells."""

    def __init__(self, sizes: Sizes, strides: Sequence[int]) -> None:
        """`strides`: pixels between two positions of each map; their number divides ANCHORS."""
        super().__init__()
        assert len(sizes) == ANCHORS and ANCHORS % len(strides) == 0
        self.strides, self.each = tuple(strides), ANCHORS // len(strides)
        half = torch.tensor(sizes, dtype=torch.float32) / 2
        self.register_buffer("cell_K4", torch.cat([-half, half], dim=1), persistent=False)

    def num_anchors_per_location(self) -> list[int]:
        """Return A for each map."""
        return [self.each] * len(self.strides)

    def forward(self, images: "ImageList", maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the anchors of all maps, (anchors, 4), for each image: those of a map row by row,
        of a position one after the other, as `RPNHead` gives its numbers."""
        cells = self.get_buffer("cell_K4").split(self.each)
        parts = [
            (_centres(of.shape[-2:], stride, cell.device)[:, None] + cell).view(-1, 4)
            for of, stride, cell in zip(maps, self.strides, cells, strict=True)
        ]
        return [torch.cat(parts)] * len(images.image_sizes)


def _centres(size: Sequence[int], stride: int, device: torch.device) -> Tensor:
    """Return the middle of every cell twice over, (h·w, 4): x, y, x, y."""
    y, x = (stride * (torch.arange(n, device=device, dtype=torch.float32) + 0.5) for n in size)
    down, right = torch.meshgrid(y, x, indexing="ij")
    return torch.stack([right, down, right, down], dim=2).view(-1, 4)
