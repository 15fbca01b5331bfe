"""What a node of a cluster is found to be: gathered there by a Ray task, judged by the doctor."""

import platform
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from raytl.config import SourceModelConfig, Study
from raytl.errors import RaytlError
from raytl.folders import node_folder, sharing_note
from raytl.remote_files import there
from raytl.sweeping.on_ray.spot_notices import CLOUDS, Cloud, MetadataError, cloud_here
from raytl.sweeping.on_ray.storage_check import StorageFacts, check_storage
from raytl.urls import Place, Url, is_url, place_of

PACKAGES = ("raytl", "ray", "torch", "torchvision", "pyarrow")
EXAMINE_S = 120.0  # a node that has not answered by then is reported as such
WATCHER = "watch-spot"  # the verb of raytl's command line


@dataclass(frozen=True)
class Asked:
    """What every node is asked. `text`: what the driver wrote into the file `note` of a folder that
    nodes may share, and into the file `stored` behind `storage`, where there is any."""

    text: str
    note: Path | None = None
    storage: Url | None = None
    stored: str = ""
    study: Study | None = None


@dataclass(frozen=True)
class NodeFacts:
    """What a task found on its node."""

    node: str
    versions: dict[str, str]
    gpus_of_ray: float
    gpus_of_torch: int
    free_bytes: int  # where there is least: of temporary files, and of what is fetched
    clock: float  # Unix time, between the driver's `asked` and `answered`
    asked: float
    answered: float
    shares: bool  # whether it reads and writes the driver's folder
    storage: StorageFacts | None = None
    problems: list[str] = field(default_factory=list)  # datasets and weights it could not read
    without_bfloat16: list[str] = field(default_factory=list)  # GPUs that would emulate it
    unwatched: str | None = None  # why a spot machine would go without notice
    cache: str | None = None  # what is to be said where its cache folder is one that nodes share


def examine(asked: Asked, gpus: float) -> dict[str, Any]:
    """Gather this node's facts. Runs as a Ray task."""
    import torch

    from raytl.devices import gpus_without_bfloat16
    from raytl.sweeping.identity import source_digest

    cloud = cloud_here()
    found = {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}
    return {
        "node": socket.gethostname(),
        "versions": found | {"raytl's source": source_digest()[:12]},
        "gpus_of_ray": gpus,
        "gpus_of_torch": torch.cuda.device_count(),
        "without_bfloat16": gpus_without_bfloat16(),
        "free_bytes": min(_free(Path("/tmp")), _free(node_folder())),
        "clock": time.time(),
        "shares": asked.note is not None and _shares(asked.note, asked.text),
        "storage": asked.storage and check_storage(asked.storage, asked.stored, asked.text),
        "problems": list(_unreadable(asked.study)) if asked.study is not None else [],
        "unwatched": unwatched(CLOUDS[cloud]()) if cloud is not None else None,
        "cache": sharing_note(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _free(folder: Path) -> int:
    above = next(place for place in (folder, *folder.parents) if place.exists())
    return shutil.disk_usage(above).free


def _shares(note: Path, text: str) -> bool:
    try:
        note.with_name(f"{note.name}.{uuid.uuid4().hex}").touch()
        return note.read_text(encoding="utf-8") == text
    except (OSError, UnicodeDecodeError):
        return False


def unwatched(cloud: Cloud) -> str | None:
    """Return why nobody would hear of it where the cloud takes this machine away; None where it is
    no spot machine, or is watched over."""
    try:
        if not cloud.is_spot() or _is_watched():
            return None
    except MetadataError as error:
        return f"cannot be asked whether it is a spot machine: {error}"
    return "a spot machine without `raytl watch-spot`"


def _is_watched() -> bool:
    commands = (process.info["cmdline"] for process in psutil.process_iter(["cmdline"]))
    return any(command is not None and WATCHER in command for command in commands)


def _unreadable(study: Study) -> Iterator[str]:
    from raytl.data.dataset import Dataset

    for domain in (study.target_domain, study.source_domain):
        if domain is not None:
            try:
                Dataset.open(domain.dataset)
            except RaytlError as error:
                yield str(error)
    for name, model in study.source_models.items():
        for plain in model.plain:
            for place in _places(plain):
                try:
                    if not there(place):
                        yield f"source model {name}: {place} is not there"
                except RaytlError as error:
                    yield f"source model {name}: {error}"


def _places(model: SourceModelConfig) -> Iterator[Place]:
    if model.path is not None:
        yield model.path
    if model.has_local_weights:
        yield place_of(str(model.weights))
    origin = model.huggingface
    if origin is not None and (is_url(origin) or Path(origin).is_absolute()):  # else a hub's name
        yield place_of(origin)


def visit(asked: Asked) -> list[NodeFacts | str]:
    """Examine every node of the cluster that this process is connected to, all at once.

    Returns a node's facts, or its address and why there are none.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    from raytl.sweeping.on_ray.faults import describe

    alive = [node for node in ray.nodes() if node["Alive"]]
    begin = time.time()
    tasks = {}
    for node in alive:
        here: Any = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        task = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=here)(examine)
        gpus = node["Resources"].get("GPU", 0.0)
        tasks[task.remote(asked, gpus)] = node["NodeManagerAddress"]
    found: list[NodeFacts | str] = []
    waiting, end = list(tasks), time.monotonic() + EXAMINE_S
    while waiting and time.monotonic() < end:
        done, waiting = ray.wait(waiting, timeout=1.0)
        for ref in done:
            try:
                found.append(NodeFacts(**ray.get(ref), asked=begin, answered=time.time()))
            except ray.exceptions.RayTaskError as error:
                found.append(f"{tasks[ref]}: {describe(error.cause)}")
            except ray.exceptions.RayError as error:
                found.append(f"{tasks[ref]}: {describe(error)}")
    return [*found, *(f"{tasks[ref]}: no answer within {EXAMINE_S:g} s" for ref in waiting)]
