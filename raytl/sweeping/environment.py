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
from raytl.packages import source_digest
from raytl.seeds import seed_for
from raytl.sweeping.identity import versions
from raytl.sweeping.preflight import Checked


def environment(checked: Checked, device: str) -> dict[str, Any]:
    """Return the environment of a run that starts now. `device`: what its trials train on."""
    study = checked.study
    domains = {"target": checked.domains.target, "source": checked.domains.source}
    return {
        "raytl": version("raytl"),
        "raytl_source": source_digest(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "device": device,
        "versions": versions(),
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
                "path": str(domain.dataset.path),
                "fingerprint": domain.dataset.fingerprint,
                "rows": {n: split.rows for n, split in domain.dataset.info.splits.items()},
            }
            for role, domain in domains.items()
            if domain is not None
        },
        "source_models": {
            name: spec.model_dump(mode="json") | {"loaded": checked.weights[name]}
            for name, spec in checked.source_models.items()
        },
        "command": " ".join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def save_environment(data: dict[str, Any], run: Path) -> None:
    """Write environment.json."""
    write_atomically(run / "environment.json", json.dumps(data, indent=1, default=str))
