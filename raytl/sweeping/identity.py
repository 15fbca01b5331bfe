"""What a trial's numbers are a function of: if all of it is the same, so are they."""

import os
import platform
from dataclasses import dataclass
from typing import Any

from raytl.config import Study
from raytl.data.domain import Domain
from raytl.devices import cpu_kind
from raytl.files import digest_of
from raytl.modalities.registry import MODALITIES
from raytl.packages import source_digest, versions_of
from raytl.sweeping.kept.records import Config
from raytl.sweeping.preflight import Checked

PACKAGES = ("raytl", "ray", "torch", "optuna", "numpy", "scipy", "pyarrow", "scikit-learn")


def versions() -> dict[str, str]:
    """Return the versions of the packages that numbers hang on: raytl's own, and those of the
    modalities that are installed."""
    of_wings = (name for wing in MODALITIES.values() for name in wing.packages)
    return versions_of(dict.fromkeys((*PACKAGES, *of_wings)))


def device_kind(study: Study) -> str:
    """Return what kind of device the trials' arithmetic is done by: "cuda", or the CPU with the
    instruction set of this machine. Which GPUs there are changes as a cluster grows and shrinks, so
    it is no part of it. RAYTL_DEVICE counts as in `devices.device_for`."""
    kind = "cuda" if study.resources.gpus_per_worker else "cpu"
    kind = os.environ.get("RAYTL_DEVICE", kind)
    return cpu_kind() if kind == "cpu" else kind


@dataclass(frozen=True)
class Identity:
    """The part of a trial's identity that all trials of a study share."""

    facts: dict[str, Any]
    fuse: str | int  # `train.fuse`, which matters to members of groups alone
    source_models: dict[str, Any]

    @classmethod
    def of(cls, checked: Checked, device: str) -> "Identity":
        """Return that of a checked study, whose lag and feed are resolved."""
        study = checked.study
        facts = {
            "target": _domain(checked.domains.target),
            "source": checked.domains.source and _domain(checked.domains.source),
            "seed": study.search.seed,
            "objective": study.objective,
            "metric": study.search.metric,
            "train": study.train.model_dump(mode="json", exclude={"fuse"}),
            "workers": study.resources.workers,
            "threads": study.resources.cpus_per_worker,
            "device": device,
            "python": platform.python_version(),
            "versions": versions(),
            "raytl": source_digest(),
        }
        models = {
            name: {"spec": spec.model_dump(mode="json"), "weights": checked.weights[name]}
            for name, spec in checked.source_models.items()
        }
        return cls(facts, study.train.fuse, models)

    def key(self, config: Config) -> str:
        """Return the digest of all that the numbers of a suggested trial hang on."""
        trial = config["trial"]
        names = [trial["source_model"], *([trial["student"]] if trial["student"] else [])]
        own = {name: config[name] for name in ("trial", "seed", "rows_seed", "micro_batches")}
        content = {
            "study": self.facts,
            "source_models": [self.source_models[name] for name in names],
            "test": config["phase"] == "confirm",
            "fused": self._fused(config["fused"]) if "fused" in config else None,
        }
        return digest_of(content | own)

    def _fused(self, group: dict[str, Any]) -> list[Any]:
        """Return what numbers hang on of a trial's group: not what its trials are called."""
        members = [{k: v for k, v in of.items() if k != "name"} for of in group["members"]]
        return [self.fuse, group["index"], members]

    @property
    def digest(self) -> str:
        """The digest of what all trials share."""
        return digest_of([self.facts, self.fuse, self.source_models])


def _domain(domain: Domain) -> dict[str, Any]:
    plain = domain.config.model_dump(mode="json", exclude={"dataset"})
    return plain | {"fingerprint": domain.dataset.fingerprint}
