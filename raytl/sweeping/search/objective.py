"""What trials are selected by."""

from dataclasses import dataclass
from typing import Literal

from raytl.config import Study
from raytl.scoring.validators import VALIDATORS


@dataclass(frozen=True)
class ObjectiveMetric:
    """A metric's name, its direction and how a person calls it."""

    name: str
    mode: Literal["max", "min"]
    label: str

    def better(self, a: float, b: float) -> bool:
        """Whether `a` is better than `b`."""
        return a > b if self.mode == "max" else a < b


OBJECTIVES: dict[str, ObjectiveMetric] = {
    "target_accuracy": ObjectiveMetric(
        "target/validation_accuracy", "max", "target validation accuracy"
    ),
    "target_entropy": ObjectiveMetric(
        "target/validation_entropy", "min", "prediction entropy on the target, no labels (nats)"
    ),
} | {
    name: ObjectiveMetric(f"target/validator/{name}", "max", f"{validator.label}, no labels")
    for name, validator in VALIDATORS.items()
}


def objective_metric(study: Study) -> ObjectiveMetric:
    """Return the study's objective as a metric."""
    return OBJECTIVES[study.objective]
