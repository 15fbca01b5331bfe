"""How scores and differences are written in the report."""

from dataclasses import dataclass

from raytl.scoring.metrics import METRICS, Metric
from raytl.scoring.wording import named, number, score_text, unit_of

OTHER_WORDS = {"calibration_error": "calibration error"}


@dataclass(frozen=True)
class Wording:
    """The words of a study's metric."""

    judged: Metric

    @property
    def metric(self) -> str:
        """What it is called."""
        return named(self.judged)

    @property
    def title(self) -> str:
        """The same at a sentence's beginning."""
        return self.metric[0].upper() + self.metric[1:]

    @property
    def of(self) -> dict[str, str]:
        """What each metric is called."""
        return {name: named(metric) for name, metric in METRICS.items()} | OTHER_WORDS

    @property
    def unit(self) -> str:
        """What stands behind a difference."""
        return unit_of(self.judged)

    @property
    def axis(self) -> str:
        """The unit that an axis has."""
        unit = "%" if self.judged.unit == "points" else self.judged.unit
        return unit or "in the target's unit"

    @property
    def difference_heading(self) -> str:
        if self.judged.mode == "max":
            return f"difference, {self.judged.unit}"
        return f"lower by{self.unit}"

    def difference(self, value: float, half: float) -> str:
        """Return a difference with as many digits as its interval's half width needs."""
        size, half = self.judged.scale * value, self.judged.scale * half
        return f"{'-' if size < 0 else '+'}{number(abs(size), self.judged, half)}"

    def spread(self, error: float | None, mean: float) -> str:
        """Return a standard error with as many decimals as the mean has."""
        if error is None:
            return "–"
        near = abs(self.judged.scale * mean) / 10 if self.judged.mode == "min" else None
        return number(self.judged.scale * error, self.judged, near)

    def margin(self, value: float) -> str:
        """Return the margin, which a study gives in points and the data in the target's unit."""
        return f"{value:g}" if self.judged.mode == "max" else number(value, self.judged)

    def score(self, value: float | None, name: str) -> str:
        """Return a score of the metric `name`, or a share in per cent."""
        if value is None:
            return "–"
        return score_text(value, METRICS[name]) if name in METRICS else f"{100 * value:.1f} %"
