"""Scores of detected boxes, from which detections hit.

Legend: R weightings, N rows, D detections of a row, K classes, T IoU thresholds, P detections of
one class. `statistics_NM`, M = 3·D + K: of each row's detections their scores, then their classes,
then which thresholds they hit at, as a number whose bit t stands for IOUS[t]; -1, -1 and 0 where
there is no detection; then how many true boxes of each class it has.
"""

from collections.abc import Sequence

import numpy as np

from raytl.scoring.weighing import Floats, Ints, Scorer

DETECTIONS = 100  # of a row, at most
IOUS = tuple(round(0.5 + 0.05 * t, 2) for t in range(10))
RECALLS = np.linspace(0, 1, 101)
LARGEST = 2**22  # numbers looked at at a time


def parted(statistics_NM: Floats) -> tuple[Floats, Ints, Ints, Floats]:
    """Return scores, classes and hits, (N, D) each, and true boxes by class, (N, K)."""
    score, k, hits = (statistics_NM[:, i * DETECTIONS : (i + 1) * DETECTIONS] for i in range(3))
    return score, k.astype(np.int64), hits.astype(np.int64), statistics_NM[:, 3 * DETECTIONS :]


def mean_average_precision(
    thresholds: Sequence[int], target_N: Ints, statistics_NM: Floats
) -> Scorer:
    """The mean over classes that a row has a box of, and over `thresholds` (numbers of IOUS), of
    the average precision: the mean of the highest precision at each recall of RECALLS or more (Lin
    et al. 2014, "Microsoft COCO", as its evaluation code has it). A class that a weighting leaves
    without a box counts with its plain score: the mean over bootstrap draws is then the plain one.
    Without a box in any row it is 0. Deviation: boxes that are marked difficult (VOC) or as crowds
    (COCO) are not among the rows' boxes, so that a detection of one is a false one; the evaluations
    of both ignore it."""
    score_ND, class_ND, hits_ND, boxes_NK = parted(statistics_NM)
    there = np.flatnonzero(boxes_NK.sum(axis=0) > 0)
    ones_1N = np.ones((1, len(statistics_NM)))
    found = []
    for k in there:
        row_P, place_P = np.nonzero(class_ND == k)
        order = np.argsort(-score_ND[row_P, place_P], kind="stable")
        row_P, hits_P = row_P[order], hits_ND[row_P, place_P][order]
        hit_TP = np.stack([(hits_P >> t) & 1 for t in thresholds]).astype(np.float64)
        plain = float(_precision(row_P, hit_TP, boxes_NK[:, k], ones_1N)[0])
        found.append((row_P, hit_TP, boxes_NK[:, k], plain))

    def scorer(weights_RN: Floats) -> Floats:
        total_R = np.zeros(len(weights_RN))
        for row_P, hit_TP, boxes_N, plain in found:
            each_R = _precision(row_P, hit_TP, boxes_N, weights_RN)
            total_R += np.where(np.isnan(each_R), plain, each_R)
        return total_R / max(1, len(found))

    return scorer


def _precision(row_P: Ints, hit_TP: Floats, boxes_N: Floats, weights_RN: Floats) -> Floats:
    """Return a class's average precision, the mean over thresholds, (R,); NaN where it has no
    box. Detections come in order of their scores."""
    chunk = max(1, LARGEST // max(1, len(row_P)))
    parts = [
        _of_some(row_P, hit_TP, boxes_N, weights_RN[start : start + chunk])
        for start in range(0, len(weights_RN), chunk)
    ]
    return np.concatenate(parts)


def _of_some(row_P: Ints, hit_TP: Floats, boxes_N: Floats, weights_RN: Floats) -> Floats:
    boxes_R = weights_RN @ boxes_N
    if not len(row_P):
        return np.where(boxes_R > 0, 0.0, np.nan)
    weight_RP = weights_RN[:, row_P]
    said_RP = np.maximum(weight_RP.cumsum(axis=1), 1e-9)
    below_R = np.where(boxes_R > 0, boxes_R, 1.0)
    total_R = np.zeros(len(weights_RN))
    for hit_P in hit_TP:
        right_RP = (weight_RP * hit_P).cumsum(axis=1)
        highest_RP = np.maximum.accumulate((right_RP / said_RP)[:, ::-1], axis=1)[:, ::-1]
        recall_RP = right_RP / below_R[:, None]
        for r, (recall_P, highest_P) in enumerate(zip(recall_RP, highest_RP, strict=True)):
            at = np.searchsorted(recall_P, RECALLS)
            total_R[r] += highest_P[at[at < len(highest_P)]].sum() / len(RECALLS)
    return np.where(boxes_R > 0, total_R / len(hit_TP), np.nan)


def all_found(statistics_NM: Floats) -> Floats:
    """Return the statistics of the same rows with every box found for certain, and nothing else."""
    _, _, _, boxes_NK = parted(statistics_NM)
    rows = []
    for boxes_K in boxes_NK:
        k = np.repeat(np.arange(len(boxes_K)), boxes_K.astype(np.int64))[:DETECTIONS]
        none = np.full(DETECTIONS - len(k), -1.0)
        every = np.full(len(k), 2.0 ** len(IOUS) - 1)
        rows.append([np.ones(len(k)), none, k, none, every, 0 * none, boxes_K])
    return np.stack([np.concatenate(row) for row in rows]) + 0.0


def nothing_found(statistics_NM: Floats) -> Floats:
    """Return the statistics of the same rows without a detection."""
    none_NM = statistics_NM.copy()
    none_NM[:, : 2 * DETECTIONS] = -1
    none_NM[:, 2 * DETECTIONS : 3 * DETECTIONS] = 0
    return none_NM


def middling(thresholds: Sequence[int], statistics_NM: Floats) -> Floats:
    """Return one row, (1, M), of those that are not answered as well as can be, the one of median
    precision among as many detections as it has boxes; where all are, the first that has a box,
    with all found. A mean of rows would be none."""
    _, _, hits_ND, boxes_NK = parted(statistics_NM)
    boxes_N = boxes_NK.sum(axis=1)
    first_ND = np.arange(DETECTIONS) < boxes_N[:, None]
    right_ND = np.mean([(hits_ND >> t) & 1 for t in thresholds], axis=0)
    share_N = (right_ND * first_ND).sum(axis=1) / np.clip(boxes_N, 1, DETECTIONS)
    wrong = np.flatnonzero((boxes_N > 0) & (share_N < 1))
    if not len(wrong):
        return all_found(statistics_NM[[int((boxes_N > 0).argmax())]])
    order = wrong[np.argsort(share_N[wrong], kind="stable")]
    return statistics_NM[[order[(len(order) - 1) // 2]]]
