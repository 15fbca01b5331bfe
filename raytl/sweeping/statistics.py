"""Means, standard errors and paired differences over seeds, and the verdict in words."""

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict
from scipy.special import stdtrit

VerdictKind = Literal["helps", "hurts", "no difference"]


class Difference(BaseModel):
    """A paired difference of accuracies (fractions), with its confidence interval."""

    model_config = ConfigDict(frozen=True)

    difference: float
    interval: tuple[float, float]
    n: int

    @property
    def kind(self) -> VerdictKind:
        """helps or hurts where the interval leaves out zero."""
        low, high = self.interval
        if low > 0:
            return "helps"
        return "hurts" if high < 0 else "no difference"

    @property
    def half_width(self) -> float:
        return (self.interval[1] - self.interval[0]) / 2


def mean_and_standard_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and s / √n with the sample standard deviation s (n - 1); NaN for n = 1."""
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return mean, math.nan
    variance = math.fsum((v - mean) ** 2 for v in values) / (n - 1)
    return mean, math.sqrt(variance / n)


def paired_difference(a: Sequence[float], b: Sequence[float], level: float) -> Difference:
    """Return mean(a - b) with Student's paired t interval at confidence `level`.

    `a[i]` and `b[i]` share seed i. The interval covers the spread over seeds (initial weights,
    order of the data), not that of drawing another test set. Needs two pairs at least.
    """
    assert len(a) == len(b) >= 2, f"paired samples of two at least, got {len(a)} and {len(b)}"
    mean, error = mean_and_standard_error([x - y for x, y in zip(a, b, strict=True)])
    half = float(stdtrit(len(a) - 1, (1 + level) / 2)) * error
    return Difference(difference=mean, interval=(mean - half, mean + half), n=len(a))


CONTROL_WORDS = {
    "scratch": "training from scratch",
    "source_only": "source_only (no look at the target)",
    "linear_probe": "linear_probe (the source model frozen)",
    "target_only": "target_only (plain fine-tuning on the target)",
}
# Controls that transfer nothing between domains or models; the others are transfer, only simpler.
WITHOUT_TRANSFER = ("scratch", "source_only")


def verdict_sentence(what: str, control: str, difference: Difference) -> str:
    """Return the verdict in one sentence; points are percentage points of test accuracy."""
    points = f"{100 * difference.difference:+.1f} ± {100 * difference.half_width:.1f} points"
    against = CONTROL_WORDS[control]
    if difference.kind == "helps":
        return f"{what} helps: {points} over {against}"
    if difference.kind == "hurts" and control in WITHOUT_TRANSFER:
        return f"{what} hurts (negative transfer): {points} against {against}; do not transfer"
    if difference.kind == "hurts":
        return f"{what} is worse than the simpler control: {points} against {against}"
    return (
        f"{what} makes no difference that {difference.n} seeds can show: {points} against {against}"
    )
