"""The metrics that the verdict can be about: those of predicted classes."""

from raytl.scoring.metrics import METRICS as ALL
from raytl.scoring.metrics import Metric
from raytl.scoring.weighing import Floats, Ints

METRICS = {name: metric for name, metric in ALL.items() if metric.reads == "classes"}

__all__ = ["METRICS", "Floats", "Ints", "Metric"]
