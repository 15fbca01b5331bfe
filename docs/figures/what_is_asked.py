"""Pictures of data and judgement: domain, task, control, confirmation, verdict, validators."""

import random

import numpy as np
from pen import Pen

from raytl.scoring.evidence import Evidence
from raytl.scoring.validators import class_clusters
from raytl.sweeping.verdict.decision import read_verdict
from raytl.sweeping.verdict.intervals import Difference

# What validators look at, as they are called in a study
READ = (
    ("bnm", "predictions certain and diverse"),
    ("snd", "neighbours agree"),
    ("mixval", "mixes of rows agree"),
    ("iwv, dev", "source rows like the target's"),
    ("circv", "there and back again"),
)


def domain() -> Pen:
    """Two clouds of rows: labelled, and moved without labels."""
    pen = Pen("Source rows have labels; target rows lie elsewhere and have few or none", 230)
    rng = random.Random(3)
    for left, moved in ((20, 0), (370, 1)):
        pen.box(left, 20, 330, 170, "", "open")
        for kind, (x, y) in (("source", (110, 70)), ("target", (220, 140))):
            for _ in range(24):
                place = (
                    left + x + 45 * moved + rng.gauss(0, 26),
                    20 + y * 0.9 - 18 * moved + rng.gauss(0, 18),
                )
                known = not moved or rng.random() < 0.12
                pen.dot(*place, 4, kind if known else "open")
    pen.text(185, 215, "source domain: labelled (domain 0)", middle=True)
    pen.text(535, 215, "target domain: few labels or none (domain 1)", middle=True)
    return pen


def task() -> Pen:
    """What the target column holds, and the head that answers."""
    pen = Pen("The target column decides the task, its head and its metric", 220)
    rows = (
        ("label", "classification", "linear, mlp, cosine, …", "accuracy, AUC, …"),
        ("value", "regression", "linear, mlp, cosine, …", "RMSE, MAE, R²"),
        ("mask", "segmentation", "unet, linear", "mean IoU, Dice"),
        ("boxes", "detection", "faster_rcnn", "mAP50, mAP"),
        ("sentence", "translation", "transformer_decoder, …", "BLEU, chrF"),
        ("steps", "forecasting", "linear, mlp, cosine, …", "RMSE, MAE, R² of steps"),
    )
    for x, words in ((20, "target column"), (190, "task"), (350, "head"), (560, "judged by")):
        pen.text(x, 24, words, kind="big")
    for place, (column, name, head, metric) in enumerate(rows):
        y = 36 + 30 * place
        pen.box(20, y, 110, 24, column, "target faint")
        pen.arrow(130, y + 12, 185, y + 12)
        for x, words in ((190, name), (350, head), (560, metric)):
            pen.text(x, y + 17, words)
    return pen


def control() -> Pen:
    """What each control is denied."""
    pen = Pen("What each control may use: weights, source labels, target labels", 230)
    head = ("pretrained weights", "source domain", "target labels", "trains blocks")
    rows = (
        ("scratch", (0, 0, 1, 1)), ("source_only", (1, 1, 0, 1)), ("constant", (0, 0, 1, 0)),
        ("linear_probe", (1, 0, 1, 0)), ("target_only", (1, 0, 1, 1)),
    )  # fmt: skip
    for place, words in enumerate(head):
        pen.text(250 + 135 * place, 24, words, middle=True)
    for row, (name, marks) in enumerate(rows):
        y = 52 + 32 * row
        pen.text(20, y + 4, name, kind="big")
        for place, mark in enumerate(marks):
            pen.dot(250 + 135 * place, y, 7, "target" if mark else "open")
    pen.line([(20, 132), (700, 132)])
    pen.text(
        20,
        218,
        "Above the line: nothing is transferred, or nothing adapted. Below: simpler transfer.",
        kind="small",
    )
    return pen


def confirmation() -> Pen:
    """From the search to the one look at the test split."""
    pen = Pen(
        "The search sees training and validation rows; retrainings look at the test once", 190
    )
    pen.box(20, 50, 190, 70, "search: many trials\ntrain and validation rows", "source faint")
    pen.arrow(210, 85, 250, 85), pen.text(230, 76, "best", middle=True, kind="small")
    pen.box(250, 20, 210, 50, "candidates: seeds 0, 1, 2, …", "target faint")
    pen.box(250, 100, 210, 50, "controls: seeds 0, 1, 2, …", "soft")
    pen.arrow(460, 45, 520, 75), pen.arrow(460, 125, 520, 95)
    pen.box(520, 50, 180, 70, "test rows: one look\nby each retraining", "target faint")
    pen.text(250, 178, "more seeds only while the verdict is open: seeds: [3, 8]", kind="small")
    return pen


def _difference(value: float, half: float) -> Difference:
    """A difference of five seeds and many rows whose 95 % interval has about this half width."""
    drawn = Difference(
        difference=value, interval=(0, 0), level=0.95, n=5, rows=1000, units=1000, looks=1,
        seed_variance=0.0, row_variance=(half / 1.96) ** 2, shared_variance=0.0,
    )  # fmt: skip
    return drawn.at(0.95)


def verdict() -> Pen:
    """Four intervals, each with the word that raytl itself says of it."""
    pen = Pen("Four intervals of the difference to a control, and what is said of each", 230)
    zero, unit, margin = 480, 18.0, 1.0
    pen.box(zero - unit * margin, 24, 2 * unit * margin, 168, "", "soft")
    pen.line([(zero, 20), (zero, 196)])
    for row, (value, half) in enumerate(((6.0, 3.5), (-6.0, 4.0), (0.1, 0.7), (2.0, 4.5))):
        difference = _difference(value, half)
        said = read_verdict({"scratch": difference}, margin).kind
        y = 46 + 40 * row
        kind = {"helps": "good", "hurts": "bad"}.get(said, "line")
        low, high = (zero + unit * end for end in difference.interval)
        pen.line([(low, y), (high, y)], f"{kind} ring")
        pen.dot(zero + unit * value, y, 5, kind if kind != "line" else "soft")
        pen.text(20, y + 5, said, kind="big")
        pen.text(130, y + 5, f"{value:+.1f} ± {difference.half_width:.1f} points")
    pen.text(zero, 216, "the control; grey: ± margin", middle=True, kind="small")
    pen.text(zero + 170, 216, "better →", middle=True, kind="small")
    return pen


def validators() -> Pen:
    """Batch nuclear norm against accuracy, of made predictions that grow surer and righter."""
    pen = Pen("A validator's score against the accuracy that nobody may look at", 240)
    left, top, w, h = 70, 20, 330, 170
    pen.line([(left, top), (left, top + h), (left + w, top + h)])
    rng = np.random.default_rng(0)
    for skill in np.linspace(0.0, 3.0, 16):
        y_N = rng.integers(0, 4, 300)
        logits_NK = rng.normal(0, 1, (300, 4))
        logits_NK[np.arange(300), y_N] += skill
        p_NK = np.exp(logits_NK) / np.exp(logits_NK).sum(1, keepdims=True)
        accuracy = float((p_NK.argmax(1) == y_N).mean())
        score = class_clusters(Evidence(target_p_NK=p_NK, target_features_ND=p_NK))
        pen.dot(left + w * (score - 0.5) / 0.5, top + h * (1 - accuracy), 5, "target")
    pen.text(left + w / 2, top + h + 24, "batch nuclear norm: no label is read", middle=True)
    pen.text(20, 16, "accuracy (oracle)", kind="small")
    for row, (name, words) in enumerate(READ):
        pen.text(440, 50 + 25 * row, name, kind="big")
        pen.text(510, 50 + 25 * row, words)
    return pen


def negative_transfer() -> Pen:
    """Figures of search_spaces/speech_imagenet.yaml, as README has them."""
    pen = Pen("Speech on ImageNet's SqueezeNet: from scratch it is better by 9.7 ± 8.6 points", 150)
    left, unit = 210, 4.6
    for row, (words, share, kind) in enumerate(
        (("from scratch", 96.3, "good faint"), ("fine-tuned from ImageNet", 86.7, "bad faint"))
    ):
        y = 20 + 44 * row
        pen.text(20, y + 22, words)
        pen.box(left, y, unit * share, 32, f"{share} %", kind)
    pen.text(20, 136, "hurts (negative transfer): -9.7 ± 8.6 points against training from scratch")
    return pen


DRAWN = {
    "domain": domain, "task": task, "control": control, "confirmation": confirmation,
    "verdict": verdict, "validators": validators, "negative-transfer": negative_transfer,
}  # fmt: skip
