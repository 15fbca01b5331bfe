"""raytl finds out how to transfer: deep-transfer-learning sweeps on Ray.

The verbs of the command line are functions here: `raytl.sweep("study.yaml")`. Importing the
package loads neither torch nor Ray.
"""

from raytl.verbs import doctor, export, inspect, load, predict, pretrain, rank, report, shard, sweep

__all__ = [
    "doctor", "export", "inspect", "load", "predict", "pretrain", "rank", "report", "shard",
    "sweep",
]  # fmt: skip
