"""What a head that finds boxes does besides giving maps. No torchvision here: it takes as long to
load as torch, and is needed where boxes are asked for alone.

Legend: B batch, D detections.
"""

from abc import ABC, abstractmethod

from torch import Tensor, nn

from raytl.rows import Padded

Maps = tuple[Tensor, ...]


class BoxHead(nn.Module, ABC):
    """Maps of the taps → what `row_losses` and `detections` take, rows first."""

    @abstractmethod
    def row_losses(self, out: Maps, target: Padded, smoothing: float) -> Tensor:
        """Return the loss of each row, (B,); `target`: x1, y1, x2, y2, class of each box."""

    @abstractmethod
    def detections(self, out: Maps) -> Tensor:
        """Return x1, y1, x2, y2, score and class, (B, D, 6), the highest score first; where a row
        has fewer, zeros of class and score -1."""
