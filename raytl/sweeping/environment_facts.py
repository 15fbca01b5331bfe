"""What environment.json holds that is read again: by the report, and before a run is taken
further."""

from typing import Any

from pydantic import BaseModel


class PartFacts(BaseModel):
    """A column's network. `note`: what became of it where it reads another column than it was made
    for."""

    backbone: str
    blocks: int
    note: str | None = None


class ModelFacts(BaseModel):
    """A source model by name."""

    parts: dict[str, PartFacts] = {}
    weights_sha256: str | None = None


class DatasetFacts(BaseModel):
    """A dataset by role. `rows`: of each split."""

    path: str = ""
    fingerprint: str
    rows: dict[str, int] = {}


class Environment(BaseModel):
    """The file; what else stands there is for people."""

    python: str = ""
    platform: str = ""
    cpus: int | None = None
    command: str = ""
    started: str = ""
    finished: str | None = None
    metric_reason: str | None = None
    versions: dict[str, Any] = {}
    seeds: dict[str, Any] = {}
    datasets: dict[str, DatasetFacts] = {}
    source_models: dict[str, ModelFacts] = {}
