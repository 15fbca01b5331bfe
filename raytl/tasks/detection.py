"""Detection: boxes of objects and their classes.

Legend: B batch, S boxes of the row that has most, H height, W width, K classes, D detections,
M statistics of a row.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from raytl.config import AugmentConfig, HeadConfig, MetricName, TaskName
from raytl.errors import DataError
from raytl.modalities.column import Column, Values
from raytl.predictions import Predictions
from raytl.rows import Padded, Rows, padded
from raytl.scoring.box_metrics import IOUS
from raytl.tasks.anchors import ANCHORS, Sizes, fitted_anchors, usual_anchors
from raytl.tasks.base import Fitting, HeadReads, Predicted, Task
from raytl.tasks.box_column import EMPTY, NUMBERS, BoxColumn
from raytl.tasks.box_head import BoxHead
from raytl.tasks.box_matching import hits
from raytl.tasks.box_pictures import side_by_side
from raytl.tasks.columns import NO_LABEL, stored_column
from raytl.tasks.map_heads import Taps

NUMBERS_A_PIXEL = 16  # of a pyramid's maps and its regions, about: by these rows are evaluated


class Detection(Task):
    """Boxes, their classes and how sure each is. `anchors`: sizes fitted to training boxes, none
    where it is not fitted; `centred`: see `FasterRcnn`. Prepared targets are Padded, (B, S, 5),
    with NO_LABEL in place of a size where a row was not labelled."""

    name: ClassVar[TaskName] = "detection"
    scored_by: ClassVar[MetricName] = "map50"
    shown: ClassVar[tuple[str, ...]] = ("map50", "map")
    figures: ClassVar[tuple[str, ...]] = ()
    no_target: ClassVar[int | float] = NO_LABEL
    reads: ClassVar[HeadReads] = "taps"

    def __init__(
        self, column: BoxColumn, anchors: Sizes | None = None, *, centred: bool = True
    ) -> None:
        self.column: BoxColumn = column
        self.anchors, self.centred = anchors, centred

    @classmethod
    def fitted(cls, column: BoxColumn, parts: Iterable[Values]) -> "Detection":
        """Return the task with anchors fitted to the rows' boxes. Raises DataError where there are
        rows and no box in any."""
        rows = [EMPTY if boxes is None else boxes for part in parts for boxes in part]
        if not rows:
            return cls(column)
        boxes_N5 = np.concatenate(rows)
        if not len(boxes_N5):
            raise DataError(
                f"the {len(rows)} labelled training rows have no box, so that there is nothing to "
                "be found; label more rows, or name another split"
            )
        return cls(column, fitted_anchors(boxes_N5[:, 2:4] - boxes_N5[:, :2]))

    @classmethod
    def stored(cls, facts: Mapping[str, Any]) -> "Detection":
        column = stored_column(
            BoxColumn, **{name: facts.get(name) for name in ("classes", "shape")}
        )
        anchors, centred = facts.get("anchors"), facts.get("centred") is True
        if anchors is None:
            return cls(column, centred=centred)
        sizes = np.array(anchors, dtype=np.float64)
        if sizes.shape != (ANCHORS, 2) or not (np.isfinite(sizes) & (sizes > 0)).all():
            raise ValueError(f"anchors: must be {ANCHORS} widths and heights > 0")
        pairs = tuple((float(width), float(height)) for width, height in sizes)
        return cls(column, pairs, centred=centred)

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes' names."""
        return self.column.classes

    @property
    def out_dim(self) -> int:
        return len(self.column.classes)

    def row_numbers(self, head: nn.Module) -> int:
        height, width = self.column.shape
        return NUMBERS_A_PIXEL * height * width

    def head(self, config: HeadConfig, in_dim: int, taps: Taps = ()) -> nn.Module:
        """Build the head: maps of the taps, the largest first → a `BoxHead`'s maps."""
        # Imported here: it is of torchvision's parts.
        from raytl.tasks.box_heads import BOX_HEADS

        shape = self.column.shape
        anchors = self.anchors or usual_anchors(shape)
        return BOX_HEADS[config.name](config, taps, self.out_dim, shape, anchors, self.centred)

    def prepare(self, values: Values) -> Rows:
        """Return boxes as Padded, (B, S, 5)."""
        if not len(values):
            return Padded(torch.zeros(0, 0, NUMBERS), torch.zeros(0, 1, dtype=torch.int64))
        rows = padded([torch.from_numpy(EMPTY if row is None else row) for row in values])
        there_B = torch.from_numpy(self.column.there(values))
        return Padded(rows.values, torch.where(there_B[:, None], rows.sizes, NO_LABEL))

    def augmented(self, target: Rows, config: AugmentConfig, draws_B3: np.ndarray) -> Rows:
        """Flip and shift boxes as their images; what lies outside is cut off, and a box of which
        less than a pixel is left is left out."""
        assert isinstance(target, Padded)
        values, sizes = target.values.numpy(), target.sizes[:, 0].tolist()
        rows = np.empty(len(sizes), dtype=object)
        for row, (boxes, n, draw_3) in enumerate(zip(values, sizes, draws_B3, strict=True)):
            rows[row] = None if n == NO_LABEL else self._moved(boxes[:n], config, draw_3)
        return self.prepare(rows)

    def _moved(self, boxes: np.ndarray, config: AugmentConfig, draw_3: np.ndarray) -> np.ndarray:
        height, width = self.column.shape
        moved = boxes.copy()
        if config.flip and draw_3[0] < 0.5:
            moved[:, [0, 2]] = width - boxes[:, [2, 0]]
        if config.crop:
            down, right = (draw_3[1:] * (2 * config.crop + 1)).astype(np.int64) - config.crop
            limits = np.array([width, height, width, height], np.float32)
            shifted = moved[:, :4] - np.array([right, down, right, down])
            moved[:, :4] = shifted.clip(0, limits)
            moved = moved[(moved[:, 2:4] - moved[:, :2] >= 1).all(axis=1)]
        return moved

    def loss(
        self,
        out: Any,
        target: Any,
        smoothing: float = 0.0,
        *,
        balanced: bool = False,
        head: nn.Module | None = None,
    ) -> Tensor:
        """Return the loss of each row as its head has it; see `BoxHead.row_losses`."""
        assert isinstance(head, BoxHead), "a detection's loss runs more of its head"
        return head.row_losses(out, target, smoothing)

    def predict(self, out: Any, head: nn.Module | None = None) -> Predicted:
        """x1, y1, x2, y2, score and class of detections, float32 (B, D, 6): see
        `BoxHead.detections`."""
        assert isinstance(head, BoxHead), "a detection's answer runs more of its head"
        return Predicted(head.detections(out))

    def statistics(self, said: Predicted, target: Padded) -> Tensor:
        """Return scores, classes and hits of detections and how many boxes of each class there are,
        float64 (B, M): see `scoring.box_metrics`."""
        answer_BD6 = said.answer.double()
        bits_T = 2.0 ** torch.arange(len(IOUS), dtype=torch.float64, device=answer_BD6.device)
        hits_BD = hits(said.answer, target).double() @ bits_T
        of_class_BSK = (
            torch.arange(self.out_dim, device=answer_BD6.device) == target.values[..., 4:]
        )
        boxes_BK = (of_class_BSK & target.mask.unsqueeze(2)).sum(1)
        return torch.cat(
            [answer_BD6[..., 4], answer_BD6[..., 5], hits_BD, boxes_BK.double()], dim=1
        )

    def taken_back(self, said: Predicted, fitted: Sequence[Fitting]) -> Predicted:
        """Return boxes in each image's own pixels; of those outside of it score and class are
        -1."""
        if not fitted:
            return said
        answer_BD6 = said.answer.cpu().double().numpy().copy()
        for row_D6, of in zip(answer_BD6, fitted, strict=True):
            row_D6[:, :4] = of.boxes_back(row_D6[:, :4])
            row_D6[(row_D6[:, 2:4] <= row_D6[:, :2]).any(axis=1), 4:] = -1
        return Predicted(torch.from_numpy(answer_BD6))

    def encoded(self, said: Predicted) -> list[str]:
        """Return each row's boxes as a JSON list: class, score, and left, top, right, bottom in
        pixels."""
        return [
            json.dumps([
                {"class": self.classes[int(k)], "score": round(score, 4),
                 "box": [round(number, 2) for number in corners]}
                for *corners, score, k in row if k >= 0
            ])
            for row in said.answer.cpu().tolist()
        ]  # fmt: skip

    def picture(self, image_HWC: np.ndarray, target: Any, answer: np.ndarray) -> bytes:
        """Return the image with its true boxes beside it with those that are said."""
        return side_by_side(image_HWC, EMPTY if target is None else target, answer, self.classes)

    def constant_out(self) -> Tensor:
        """Nothing is fitted: no box is the one answer."""
        return torch.zeros(1)

    @staticmethod
    def known(targets: Any) -> Any:
        """Rows that were labelled, with boxes or without; or of predictions, that are not
        NO_LABEL."""
        if isinstance(targets, Padded):
            return targets.sizes[:, 0].to(targets.values.device) != NO_LABEL
        return targets != NO_LABEL

    def _figure(self, name: str, predictions: Predictions) -> Any:
        raise AssertionError(f"{name}: a detection has no figures")

    def facts(self) -> Mapping[str, Any]:
        facts = {
            "kind": self.name, "classes": list(self.classes), "shape": list(self.column.shape),
            **({"centred": True} if self.centred else {}),
        }  # fmt: skip
        return (
            facts if self.anchors is None else facts | {"anchors": [list(a) for a in self.anchors]}
        )

    def mismatch(self, other: Column) -> str | None:
        if not isinstance(other, BoxColumn):
            return f"it asks for boxes, and the other for a {other.kind}"
        if other.classes != self.classes:
            return (
                f"its boxes are of {', '.join(self.classes)}, and the other's of "
                f"{', '.join(other.classes)}"
            )
        if other.shape != self.column.shape:
            sizes = ["x".join(map(str, shape)) for shape in (self.column.shape, other.shape)]
            return f"its boxes are of images of {sizes[0]} pixels, and the other's of {sizes[1]}"
        return None
