"""What trials are selected by."""

from dataclasses import dataclass

from raytl.config import MetricName, Study
from raytl.scoring.metrics import METRICS, Mode
from raytl.scoring.validators import VALIDATORS
from raytl.scoring.wording import named


@dataclass(frozen=True)
class ObjectiveMetric:
    """A metric's name, its direction and how a person calls it. `metric`: what the study is judged
    by in the end."""

    name: str
    mode: Mode
    label: str
    metric: MetricName = "accuracy"

    def better(self, a: float, b: float) -> bool:
        """Whether `a` is better than `b`."""
        return a > b if self.mode == "max" else a < b

    @property
    def relative(self) -> bool:
        """Whether it has the unit of a target, or of its square, so that only shares of it say what
        is near."""
        judged = METRICS[self.metric]
        return judged.in_target_unit or (
            judged.reads in ("values", "steps") and self.name in UNBOUNDED
        )


UNBOUNDED = ("target/validator/iwv", "target/validator/dev")  # of values, minus squared errors


def objective_metric(study: Study) -> ObjectiveMetric:
    """Return the study's objective as a metric."""
    if study.objective == "target_metric":
        return _of_metric(study.metric)
    if study.objective == "target_entropy":
        label = "prediction entropy on the target, no labels (nats)"
        return ObjectiveMetric("target/validation_entropy", "min", label, study.metric)
    label = f"{VALIDATORS[study.objective].label}, no labels"
    return ObjectiveMetric(f"target/validator/{study.objective}", "max", label, study.metric)


def _of_metric(name: MetricName) -> ObjectiveMetric:
    metric = METRICS[name]
    label = f"target validation {named(metric)}"
    return ObjectiveMetric(f"target/validation_{name}", metric.mode, label, name)


def figure(value: float) -> str:
    """Return an objective's value as tables show it: four decimals, fewer where it is large; four
    digits where it is small."""
    if 0 < abs(value) < 0.1:
        return f"{value:#.4g}"
    return f"{value:.4f}" if abs(value) < 1000 else f"{value:,.6g}"
