"""Heads that find boxes in the maps of a network's blocks.

Legend: B batch, C channels, H height, W width, L maps of a pyramid, K classes, D detections.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import (
    RegionProposalNetwork,
    RPNHead,
    concat_box_prediction_layers,
)
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign
from torchvision.ops.poolers import initLevelMapper

from raytl.config import HeadConfig, HeadName
from raytl.rows import Padded
from raytl.scoring.box_metrics import DETECTIONS
from raytl.tasks.anchors import Anchors, Sizes
from raytl.tasks.box_head import BoxHead, Maps
from raytl.tasks.map_heads import Taps, scaled
from raytl.tasks.region_losses import proposal_losses, region_losses

MOST_MAPS = 4
FINEST = 2  # exponent of the least stride: 4 pixels
PROPOSED, KEPT = 400, 150  # of a map before, of an image after boxes that overlap are left out
SIDE = 7  # of a region's maps
LEAST_SCORE = 0.01  # of a detection


class FasterRcnn(BoxHead):
    """Ren et al. 2015, "Faster R-CNN", on the feature pyramid of Lin et al. 2017, "Feature Pyramid
    Networks for Object Detection", of torchvision's parts. Deviations: anchors are fitted to the
    training boxes (`anchors`), the smallest on the largest map; maps are normalised (Wu and He
    2018, "Group Normalization", one group), as taps differ in scale; losses are the mean over all
    draws of regions (`region_losses`); KEPT proposals of an image are learnt from and answered by.
    The pyramid has `hidden` channels, the layers behind it four times as many."""

    def __init__(
        self,
        config: HeadConfig,
        taps: Taps,
        classes: int,
        shape: tuple[int, int],
        anchors: Sizes,
        centred: bool = True,
    ) -> None:
        """`shape`: (H, W) of images, in whose pixels boxes are. `centred`: whether maps are read
        where anchors stand and are chosen by the longer of an image's sides; both was otherwise in
        folders of before."""
        super().__init__()
        self.shape, self.centred = shape, centred
        self.levels = levels_of(taps, shape if centred else shape[:1])
        strides = [2**exponent for _, exponent in self.levels]
        hidden = config.hidden
        self.pyramid = FeaturePyramidNetwork(
            [taps[number][0] for number, _ in self.levels], hidden,
            norm_layer=partial(nn.GroupNorm, 1),
        )  # fmt: skip
        at_positions = Anchors(anchors, strides)
        self.proposals = RegionProposalNetwork(
            at_positions, RPNHead(hidden, at_positions.each), 0.7, 0.3, 256, 0.5,
            dict.fromkeys(("training", "testing"), PROPOSED),
            dict.fromkeys(("training", "testing"), KEPT), 0.7,
        )  # fmt: skip
        pool = MultiScaleRoIAlign([str(i) for i in range(len(strides))], SIDE, 2)
        pool.scales = [1 / stride for stride in strides]
        pool.map_levels = initLevelMapper(self.levels[0][1], self.levels[-1][1])
        layers = nn.Sequential(TwoMLPHead(hidden * SIDE**2, 4 * hidden), nn.Dropout(config.dropout))
        self.regions = RoIHeads(
            pool, layers, FastRCNNPredictor(4 * hidden, classes + 1),
            0.5, 0.5, 512, 0.25, None, LEAST_SCORE, 0.5, DETECTIONS,
        )  # fmt: skip

    def forward(self, taps: Sequence[Tensor]) -> Maps:
        """Maps of the taps, the largest first → those of the pyramid, (B, hidden, H', W') each."""
        found: OrderedDict[str, Tensor] = OrderedDict()
        for level, (number, exponent) in enumerate(self.levels):
            found[str(level)] = self._read(taps[number], 2**exponent)
        return tuple(self.pyramid(found).values())

    def _read(self, tap: Tensor, stride: int) -> Tensor:
        if self.centred and any(side % stride for side in self.shape):
            return at_middles(tap, self.shape, stride)
        return scaled(tap, [math.ceil(side / stride) for side in self.shape])

    def row_losses(self, out: Maps, target: Padded, smoothing: float) -> Tensor:
        """The losses of proposals and of regions, those of an image with each other."""
        if not len(target.values):
            return out[0].flatten(1).sum(1)
        true = [
            {"boxes": boxes[:n, :4], "labels": boxes[:n, 4].long() + 1}
            for boxes, n in zip(target.values, target.sizes[:, 0].tolist(), strict=True)
        ]
        boxes, (objectness_P, delta_P4, anchors) = self._proposed(out)
        labels, matched = self.proposals.assign_targets_to_anchors(anchors, true)
        wanted = self.proposals.box_coder.encode(matched, anchors)
        sampler = self.proposals.fg_bg_sampler
        return proposal_losses(
            objectness_P[:, 0], delta_P4, labels, wanted, sampler
        ) + self._region_losses(out, boxes, true, smoothing)

    def _region_losses(
        self, out: Maps, boxes: list[Tensor], true: list[dict[str, Tensor]], smoothing: float
    ) -> Tensor:
        regions = self.regions
        true_boxes, true_labels = ([row[of] for row in true] for of in ("boxes", "labels"))
        boxes = regions.add_gt_proposals(boxes, true_boxes)
        which, labels = regions.assign_targets_to_proposals(boxes, true_boxes, true_labels)
        matched = [
            of[index] if len(of) else torch.zeros_like(some)
            for of, index, some in zip(true_boxes, which, boxes, strict=True)
        ]
        wanted = regions.box_coder.encode(matched, boxes)
        return region_losses(
            *self._classified(out, boxes), labels, wanted, regions.fg_bg_sampler, smoothing
        )

    def detections(self, out: Maps) -> Tensor:
        """Boxes of one class that overlap by half or more are one detection."""
        if not len(out[0]):
            return out[0].new_zeros(0, DETECTIONS, 6)
        boxes, _ = self._proposed(out)
        sizes = [self.shape] * len(boxes)
        found = self.regions.postprocess_detections(*self._classified(out, boxes), boxes, sizes)
        return torch.stack([_as_row(*row) for row in zip(*found, strict=True)])

    def _proposed(self, out: Maps) -> tuple[list[Tensor], tuple[Tensor, Tensor, list[Tensor]]]:
        """Return the proposed boxes of each image and, of all anchors, their objectness, deltas and
        boxes."""
        rpn, count = self.proposals, len(out[0])
        objectness, deltas = rpn.head(list(out))
        anchors = rpn.anchor_generator(ImageList(out[0], [self.shape] * count), out)
        numbers = [math.prod(of.shape[1:]) for of in objectness]
        objectness_P1, delta_P4 = concat_box_prediction_layers(objectness, deltas)
        objectness_P1, delta_P4 = objectness_P1.float(), delta_P4.float()
        with torch.no_grad():
            boxes_BA4 = rpn.box_coder.decode(delta_P4, anchors).view(count, -1, 4)
            sizes = [self.shape] * count
            boxes, _ = rpn.filter_proposals(boxes_BA4, objectness_P1, sizes, numbers)
        return boxes, (objectness_P1, delta_P4, anchors)

    def _classified(self, out: Maps, boxes: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the class logits, (P, K + 1), and deltas, (P, 4·(K + 1)), of regions."""
        maps = {str(level): of.float() for level, of in enumerate(out)}
        regions = self.regions
        pooled = regions.box_roi_pool(maps, boxes, [self.shape] * len(boxes))
        logit_PK, delta_PM = regions.box_predictor(regions.box_head(pooled))
        return logit_PK.float(), delta_PM.float()


def at_middles(h_BCHW: Tensor, shape: tuple[int, int], stride: int) -> Tensor:
    """Return maps that cover images of `shape`, (H, W), at the middle of every cell of `stride`
    pixels, bilinearly, in their own type; beyond the images they are as at their edges."""
    found = h_BCHW.float()
    for dim, side in ((-2, shape[0]), (-1, shape[1])):
        found = _along(found, dim, side, stride)
    return found.to(h_BCHW.dtype)


def _along(h: Tensor, dim: int, side: int, stride: int) -> Tensor:
    # Not grid_sample, whose gradient is not deterministic on a GPU
    cells, last = torch.arange(math.ceil(side / stride), device=h.device), h.shape[dim] - 1
    place = (stride * (cells + 0.5) * (last + 1) / side - 0.5).clamp(0, last)
    low = place.floor().long()
    share = (place - low).unsqueeze(1) if dim == -2 else place - low
    high = (low + 1).clamp(max=last)
    return torch.lerp(h.index_select(dim, low), h.index_select(dim, high), share)


def levels_of(taps: Taps, shape: Sequence[int]) -> list[tuple[int, int]]:
    """Return the maps of a pyramid, the largest first: the number of each one's tap and the
    exponent of its stride, which is twice the one before. They are the last MOST_MAPS of stride 4
    or more, or the deepest alone; where a network has no map of a stride, the next deeper one is
    scaled. A stride is the longer one, of the `shape` of images: (H, W), or (H,) alone."""
    strides = [max(side / n for side, n in zip(shape, sizes, strict=False)) for _, *sizes in taps]
    exponents = [max(0, round(math.log2(stride))) for stride in strides]
    deepest = exponents[-1]
    least = min(deepest, max(FINEST, deepest - MOST_MAPS + 1, min(exponents)))
    return [(_tap_of(exponents, exponent), exponent) for exponent in range(least, deepest + 1)]


def _tap_of(exponents: Sequence[int], wanted: int) -> int:
    next_deeper = min(exponent for exponent in exponents if exponent >= wanted)
    return max(number for number, exponent in enumerate(exponents) if exponent == next_deeper)


def _as_row(boxes_D4: Tensor, scores_D: Tensor, labels_D: Tensor) -> Tensor:
    """Return one row's detections, (DETECTIONS, 6); class 0 of torchvision's is none."""
    found = torch.cat([boxes_D4, scores_D[:, None], labels_D[:, None] - 1.0], dim=1)
    none = found.new_zeros(DETECTIONS, 6)
    none[:, 4:] = -1
    none[: len(found)] = found
    return none


class ConstantBoxes(BoxHead):
    """No box, whatever is in the image."""

    def __init__(
        self,
        config: HeadConfig,
        taps: Taps,
        classes: int,
        shape: tuple[int, int],
        anchors: Sizes,
        centred: bool = True,
    ) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, taps: Sequence[Tensor]) -> Maps:
        """→ (B, 1)."""
        return (self.bias.expand(len(taps[0]), 1),)

    def row_losses(self, out: Maps, target: Padded, smoothing: float) -> Tensor:
        """1 for a row that has a box, 0 for one that has none."""
        return (target.sizes[:, 0].to(out[0].device) > 0).float() + 0.0 * out[0][:, 0]

    def detections(self, out: Maps) -> Tensor:
        """None."""
        none = F.pad(out[0].new_zeros(len(out[0]), DETECTIONS, 4), (0, 2), value=-1.0)
        return none


Making = Callable[[HeadConfig, Taps, int, tuple[int, int], Sizes, bool], BoxHead]
BOX_HEADS: dict[HeadName, Making] = {
    "faster_rcnn": FasterRcnn,
    "constant": ConstantBoxes,
}
