"""Pictures of test rows in the report."""

import base64
from pathlib import Path
from typing import Any

from raytl.scoring.classification import class_iou
from raytl.sweeping.verdict.confirmed import Confirmation, pictures_of
from raytl.tasks.mask_pictures import palette


def embedded(confirmation: Confirmation | None, run: Path) -> list[str]:
    """Return the pictures of the selected candidate as addresses that hold them."""
    selected = confirmation.selected if confirmation else None
    if confirmation is None or selected is None:
        return []
    found = pictures_of(confirmation, selected, run)
    return [f"data:image/png;base64,{base64.b64encode(png).decode()}" for png in found]


def legend(confirmation: Confirmation | None) -> list[dict[str, Any]]:
    """Return each class's name, its colour in pictures and its IoU."""
    selected = confirmation.selected if confirmation else None
    if confirmation is None or selected is None or not selected.confusion:
        return []
    count = len(confirmation.classes)
    found = zip(
        confirmation.classes, palette(count)[:count], class_iou(selected.confusion), strict=True
    )
    return [{"name": n, "colour": "#" + bytes(c).hex(), "iou": iou} for n, c, iou in found]
