"""Segmentation: a class for each pixel.

Legend: B batch, H height, W width, K classes, P pixels of a row, M = K·K.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raytl.config import AugmentConfig, HeadConfig, MetricName, TaskName
from raytl.modalities.column import Column
from raytl.modalities.image.augmentation import augment
from raytl.predictions import Predictions
from raytl.rows import Rows
from raytl.tasks.base import Fitting, HeadReads, Predicted, Task
from raytl.tasks.class_counts import balancing_weights, log_shares
from raytl.tasks.classification import normalised_entropy
from raytl.tasks.columns import NO_LABEL, stored_column
from raytl.tasks.map_heads import MAP_HEADS, Taps, scaled
from raytl.tasks.mask_column import VOID, MaskColumn
from raytl.tasks.mask_pictures import encoded_mask, overlays


class Segmentation(Task):
    """The mean cross-entropy of a row's pixels and the soft Dice loss. `counts`: fitted pixels of
    each class, none where it is not fitted. Logits may be of any size: they are scaled to the
    masks'."""

    name: ClassVar[TaskName] = "segmentation"
    scored_by: ClassVar[MetricName] = "miou"
    shown: ClassVar[tuple[str, ...]] = ("miou", "pixel_accuracy")
    figures: ClassVar[tuple[str, ...]] = ("confusion",)
    no_target: ClassVar[int | float] = NO_LABEL
    reads: ClassVar[HeadReads] = "taps"

    def __init__(self, column: MaskColumn, counts: Sequence[int] | None = None) -> None:
        self.column: MaskColumn = column
        self.counts = counts

    @classmethod
    def fitted(cls, column: MaskColumn, parts: Iterable[np.ndarray]) -> "Segmentation":
        """Return the task with the pixel counts of the rows' masks, uint8 (N, H, W) each."""
        count_K = np.zeros(VOID + 1, np.int64)
        for masks in parts:
            count_K += np.bincount(masks.reshape(-1), minlength=VOID + 1)
        known_K = count_K[: len(column.classes)]
        return cls(column, known_K.tolist() if known_K.any() else None)

    @classmethod
    def stored(cls, facts: Mapping[str, Any]) -> "Segmentation":
        known = {name: facts.get(name) for name in ("classes", "shape")}
        return cls(stored_column(MaskColumn, **known))

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes' names."""
        return self.column.classes

    @property
    def out_dim(self) -> int:
        return len(self.column.classes)

    def row_numbers(self, head: nn.Module) -> int:
        height, width = self.column.shape
        return self.out_dim * height * width

    def head(self, config: HeadConfig, in_dim: int, taps: Taps = ()) -> nn.Module:
        """Build the head: maps of the taps, the largest first → logits (B, K, H', W')."""
        return MAP_HEADS[config.name](config, taps, self.out_dim)

    def augmented(self, target: Rows, config: AugmentConfig, draws_B3: np.ndarray) -> Rows:
        """Flip and shift masks as their images; what comes in from outside is VOID."""
        assert isinstance(target, Tensor)
        moved = augment(target.numpy()[..., None], config, draws_B3, outside=VOID)
        return torch.from_numpy(moved[..., 0])

    def weighing_as(self, other: Task) -> "Segmentation":
        assert isinstance(other, Segmentation)
        return Segmentation(self.column, other.counts)

    def loss(
        self,
        out: Tensor,
        target: Tensor,
        smoothing: float = 0.0,
        *,
        balanced: bool = False,
        head: nn.Module | None = None,
    ) -> Tensor:
        """Return, of each row, the mean cross-entropy of its pixels (nats; with `smoothing` of
        labels, Szegedy et al. 2016, and `balanced` class weights) plus 1 - the mean soft Dice
        coefficient of the classes that it has (Milletari et al. 2016, "V-Net", eq. in section 3,
        without its squares). VOID pixels have no part in either."""
        logits_BKHW = scaled(out.float(), self.column.shape)
        known_BHW = target != VOID
        target_BHW = target.long().masked_fill(~known_BHW, 0)
        return self._cross_entropy(
            logits_BKHW, target_BHW, known_BHW, smoothing, balanced
        ) + dice_loss(logits_BKHW.softmax(1), target_BHW, known_BHW)

    def _cross_entropy(
        self, logits_BKHW: Tensor, target_BHW: Tensor, known_BHW: Tensor, smoothing: float,
        balanced: bool,
    ) -> Tensor:  # fmt: skip
        loss_BHW = F.cross_entropy(
            logits_BKHW, target_BHW, reduction="none", label_smoothing=smoothing
        )
        if balanced and self.counts is not None:
            loss_BHW = balancing_weights(self.counts, loss_BHW)[target_BHW] * loss_BHW
        return (loss_BHW * known_BHW).sum((1, 2)) / known_BHW.sum((1, 2)).clamp(min=1)

    def predict(self, out: Tensor, head: nn.Module | None = None) -> Predicted:
        """The likeliest class of each pixel, uint8 (B, H, W)."""
        return Predicted(scaled(out.float(), self.column.shape).argmax(1).to(torch.uint8))

    def entropy(self, out: Tensor) -> Tensor:
        """The mean over the pixels of -Σ p log p / log K."""
        return normalised_entropy(scaled(out, self.column.shape)).mean((1, 2))

    def statistics(self, said: Predicted, target: Tensor) -> Tensor:
        """Return how many pixels of each class were given which, float64 (B, M): see
        `scoring.mask_metrics`."""
        classes = self.out_dim
        known_BP = (target != VOID).flatten(1)
        pair_BP = target.long().flatten(1) * classes + said.answer.long().flatten(1)
        pair_BP = pair_BP.masked_fill(~known_BP, classes**2)
        counts_BM = pair_BP.new_zeros(len(target), classes**2 + 1, dtype=torch.float64)
        counts_BM.scatter_add_(1, pair_BP, torch.ones_like(pair_BP, dtype=torch.float64))
        return counts_BM[:, :-1]

    def taken_back(self, said: Predicted, fitted: Sequence[Fitting]) -> Predicted:
        """Return masks of each image's own size, VOID where its row does not have it."""
        if not fitted:
            return said
        masks = zip(said.answer.cpu().numpy(), fitted, strict=True)
        return Predicted([torch.from_numpy(of.mask_back(mask, VOID)) for mask, of in masks])

    def encoded(self, said: Predicted) -> list[bytes]:
        """Return each mask as a palette PNG."""
        masks = said.answer.cpu() if isinstance(said.answer, Tensor) else said.answer
        return [encoded_mask(mask.numpy(), self.out_dim) for mask in masks]

    def picture(self, image_HWC: np.ndarray, target: np.ndarray, answer: np.ndarray) -> bytes:
        """Return the image, its true and its predicted classes side by side."""
        return overlays(image_HWC, target, answer, self.out_dim)

    def constant_out(self) -> Tensor:
        """The logarithms of the classes' shares of pixels: see `log_shares`."""
        assert self.counts is not None, "the task was fitted to labelled rows"
        return log_shares(self.counts)

    @staticmethod
    def known(targets: Any) -> Any:
        """Masks that have a pixel with a class; or of predictions, rows that are not NO_LABEL."""
        if targets.ndim == 1:
            return targets != NO_LABEL
        return (targets != VOID).flatten(1).any(1)

    def _figure(self, name: str, predictions: Predictions) -> Any:
        assert name == "confusion", f"{name} is none of {self.figures}"
        total_M = predictions.given("pixels").sum(axis=0).astype(np.int64)
        return total_M.reshape(self.out_dim, self.out_dim).tolist()

    def facts(self) -> Mapping[str, Any]:
        return {
            "kind": self.name, "classes": list(self.classes), "shape": list(self.column.shape)
        }  # fmt: skip

    def mismatch(self, other: Column) -> str | None:
        if not isinstance(other, MaskColumn):
            return f"it asks for masks, and the other for a {other.kind}"
        if other.classes != self.classes:
            return (
                f"its masks are of {', '.join(self.classes)}, and the other's of "
                f"{', '.join(other.classes)}"
            )
        if other.shape != self.column.shape:
            sizes = ["x".join(map(str, shape)) for shape in (self.column.shape, other.shape)]
            return f"its masks are {sizes[0]} pixels, and the other's {sizes[1]}"
        return None


def dice_loss(p_BKHW: Tensor, target_BHW: Tensor, known_BHW: Tensor) -> Tensor:
    """Return 1 - the mean over the classes that a row has of 2·Σ p·t / (Σ p + Σ t), (B,); 1 for a
    row without a known pixel."""
    known_B1HW = known_BHW.unsqueeze(1)
    t_BKHW = F.one_hot(target_BHW, p_BKHW.shape[1]).permute(0, 3, 1, 2) * known_B1HW
    p_BKHW = p_BKHW * known_B1HW
    both_BK = 2 * (p_BKHW * t_BKHW).sum((2, 3))
    pixels_BK = t_BKHW.sum((2, 3))
    dice_BK = both_BK / (p_BKHW.sum((2, 3)) + pixels_BK).clamp(min=1e-6)
    there_BK = pixels_BK > 0
    return 1 - (dice_BK * there_BK).sum(1) / there_BK.sum(1).clamp(min=1)
