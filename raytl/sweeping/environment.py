"""What was run: versions, fingerprints and seeds, so that every number can be had again."""

import json
import os
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from raytl.files import write_atomically
from raytl.seeds import seed_for
from raytl.sweeping.preflight import Checked

PACKAGES = ("raytl", "ray", "torch", "torchvision", "optuna", "numpy", "pyarrow", "scikit-learn")


def environment(checked: Checked, run: Path) -> dict[str, Any]:
    """Return the environment of a run that starts now in the folder `run`."""
    study = checked.study
    datasets = {"target": checked.target, "source": checked.source}
    return {
        "raytl": version("raytl"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "versions": {name: version(name) for name in PACKAGES},
        "seeds": {
            "study": study.search.seed,
            "trial": seed_for(study.search.seed, "trial"),
            "sampler": seed_for(study.search.seed, "sampler"),
            **{
                f"confirm {i}": seed_for(study.search.seed, "confirm", i)
                for i in range(study.confirm.seed_counts[1])
            },
        },
        "datasets": {
            role: {
                "path": str(dataset.path),
                "fingerprint": dataset.fingerprint,
                "rows": {name: split.rows for name, split in dataset.info.splits.items()},
            }
            for role, dataset in datasets.items()
            if dataset is not None
        },
        "source_models": {
            name: spec.model_dump(mode="json") for name, spec in checked.source_models.items()
        },
        "run": str(run.absolute()),
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def save_environment(data: dict[str, Any], run: Path) -> None:
    """Write environment.json."""
    write_atomically(run / "environment.json", json.dumps(data, indent=1, default=str))
