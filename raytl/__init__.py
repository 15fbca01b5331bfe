"""raytl finds out how to transfer: deep-transfer-learning sweeps on Ray.

    import raytl

    found = raytl.sweep("study.yaml")           # or a dictionary, with a DataFrame as its data
    print(found.verdict)                        # does the transfer help, by how much?
    found.leaderboard, found.figures["curves"]  # tables and figures
    found.best.predict(rows)                    # the best model

The verbs of the command line are functions here. Importing the package loads neither torch nor Ray
nor pandas; each function loads what it needs.
"""

from typing import Any

from raytl.api import dataset, results, sweep
from raytl.config import Study
from raytl.errors import RaytlError
from raytl.loaded import Loaded, load
from raytl.run_results import Results, Verdict
from raytl.verbs import (
    clean,
    compare,
    doctor,
    export,
    inspect,
    new,
    predict,
    pretrain,
    rank,
    refit,
    report,
    shard,
)

__all__ = [
    "Loaded",
    "RaytlError",
    "Results",
    "Study",
    "Verdict",
    "__version__",
    "clean",
    "compare",
    "dataset",
    "doctor",
    "export",
    "inspect",
    "load",
    "new",
    "predict",
    "pretrain",
    "rank",
    "refit",
    "report",
    "results",
    "shard",
    "sweep",
]

__version__: str


def __getattr__(name: str) -> Any:
    """Return the version, which is looked up where it is asked for."""
    if name == "__version__":
        from raytl.packages import own_version

        return own_version()
    raise AttributeError(f"module 'raytl' has no attribute '{name}'")
