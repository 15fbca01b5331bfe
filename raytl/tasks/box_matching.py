"""Which detections hit a true box, as COCO counts it.

Legend: B batch, D detections of a row, n boxes, S boxes of the row that has most, T thresholds.
"""

import torch
from torch import Tensor

from raytl.rows import Padded
from raytl.scoring.box_metrics import IOUS


def hits(said_BD6: Tensor, true: Padded) -> Tensor:
    """Return for each detection and IoU of IOUS whether it hits, bool (B, D, T).

    In order of their scores, detections take the box of their class that they overlap most with, of
    those with that IoU or more which no earlier one has (`COCOeval.evaluateImg`, without crowds).
    `said_BD6`: x1, y1, x2, y2, score and class of each, the highest score first, class -1 for none.
    `true`: x1, y1, x2, y2 and class.
    """
    # Imported here: torchvision takes its time, and is for boxes alone.
    from torchvision.ops import box_iou

    least_T = torch.tensor(IOUS, device=said_BD6.device).clamp(max=1 - 1e-10)
    batch, detections = said_BD6.shape[:2]
    found_BDT = said_BD6.new_zeros(batch, detections, len(IOUS), dtype=torch.bool)
    if not true.values.shape[1]:
        return found_BDT
    iou_BDS = (
        torch.stack(
            [
                box_iou(said[:, :4], boxes[:, :4])
                for said, boxes in zip(said_BD6, true.values, strict=True)
            ]
        )
        if batch
        else said_BD6.new_zeros(0, detections, true.values.shape[1])
    )
    alike_BDS = said_BD6[..., 5:] == true.values[:, None, :, 4]
    iou_BDS = torch.where(alike_BDS & true.mask[:, None], iou_BDS, -1.0)
    free_BTS = true.mask[:, None].repeat(1, len(IOUS), 1)
    for d in range(detections):
        best_BT, which_BT = torch.where(free_BTS, iou_BDS[:, d, None], -1.0).max(dim=2)
        hit_BT = best_BT >= least_T
        found_BDT[:, d] = hit_BT
        taken_BTS = torch.zeros_like(free_BTS).scatter_(
            2, which_BT.unsqueeze(2), hit_BT.unsqueeze(2)
        )
        free_BTS = free_BTS & ~taken_BTS
    return found_BDT
