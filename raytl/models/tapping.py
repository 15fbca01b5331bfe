"""What a branch's blocks give on the way, for heads that read it: kept, packed into one row of
numbers where it is stored, and unpacked.

Legend: B batch, C channels, H height, W width, F numbers of a packed row.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from raytl.modalities.backbone import Backbone


@dataclass(frozen=True)
class Tapped:
    """What the first `done` blocks give, as the next one takes it, and the maps (B, C, H, W) of the
    taps among them, by number."""

    h: Tensor
    done: int
    taps: dict[int, Tensor]


def run_tapped(backbone: Backbone, tapped: Tapped, stop: int | None = None) -> Tapped:
    """Run the blocks that are not done yet, up to `stop`."""
    h, taps = tapped.h, dict(tapped.taps)
    stop = len(backbone.blocks) if stop is None else stop
    for number in range(tapped.done, stop):
        h = backbone.run(h, number, number + 1)  # type: ignore[assignment]
        if number in backbone.taps:
            taps[number] = backbone.maps_of(number, h)
    return Tapped(h, stop, taps)


def packed(backbone: Backbone, tapped: Tapped) -> Tensor:
    """Return all maps of each row as numbers, (B, F): those of the taps, and of the last block
    where it is none."""
    last = tapped.done - 1
    maps = dict(tapped.taps) | {last: backbone.maps_of(last, tapped.h)}
    return torch.cat([maps[number].flatten(1) for number in sorted(maps)], dim=1)


def unpacked(backbone: Backbone, rows_BF: Tensor, done: int) -> Tapped:
    """Return what was packed after the first `done` blocks."""
    numbers = sorted({number for number in backbone.taps if number < done} | {done - 1})
    shapes = [backbone.shapes[number] for number in numbers]
    parts = rows_BF.split([math.prod(shape) for shape in shapes], dim=1)
    maps = {
        number: part.view(-1, *shape)
        for number, part, shape in zip(numbers, parts, shapes, strict=True)
    }
    h = backbone.given_by(done - 1, maps[done - 1])
    return Tapped(h, done, {n: m for n, m in maps.items() if n in backbone.taps})
