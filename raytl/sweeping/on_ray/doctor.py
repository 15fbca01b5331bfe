"""What usually goes wrong on a cluster, looked for on every node before a study starts."""

import os
import platform
import shutil
import socket
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from raytl.config import Study
from raytl.errors import RaytlError
from raytl.folders import rooted

PACKAGES = ("raytl", "ray", "torch", "torchvision", "pyarrow")
LEAST_FREE_BYTES = 5 * 2**30
MOST_CLOCK_SKEW_S = 2.0
EXAMINE_S = 120.0  # a node that has not answered by then is reported as such
Level = Literal["ok", "warning", "failure"]


@dataclass(frozen=True)
class Finding:
    """One check and what came of it; `text` names the remedy where there is something to mend."""

    check: str
    level: Level
    text: str


@dataclass(frozen=True)
class NodeFacts:
    """What a task found on its node."""

    node: str
    versions: dict[str, str]
    gpus_of_ray: float
    gpus_of_torch: int
    free_bytes: int
    clock: float  # Unix time, between the driver's `asked` and `answered`
    asked: float
    answered: float
    note: str | None  # what the driver wrote into the shared folder, if the node could read it
    wrote: bool  # whether the node could write there
    problems: list[str] = field(default_factory=list)  # datasets and weights it could not read


def examine(note: Path, study: Study | None, gpus: float) -> dict[str, Any]:
    """Gather this node's facts. Runs as a Ray task."""
    import torch

    wrote = True
    try:
        note.with_name(f"{note.name}.{uuid.uuid4().hex}").touch()
    except OSError:
        wrote = False
    return {
        "node": socket.gethostname(),
        "versions": {"python": platform.python_version()} | {p: _version(p) for p in PACKAGES},
        "gpus_of_ray": gpus,
        "gpus_of_torch": torch.cuda.device_count(),
        "free_bytes": shutil.disk_usage("/tmp").free,
        "clock": time.time(),
        "note": note.read_text(encoding="utf-8") if note.exists() else None,
        "wrote": wrote,
        "problems": _unreadable(study) if study is not None else [],
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "missing"


def _unreadable(study: Study) -> list[str]:
    from raytl.data.dataset import Dataset

    problems = []
    for domain in (study.target_domain, study.source_domain):
        if domain is not None:
            try:
                Dataset.open(domain.dataset)
            except RaytlError as error:
                problems.append(str(error))
    for name, model in study.source_models.items():
        for plain in model.plain:
            for path in (plain.path, str(plain.weights) if plain.has_local_weights else None):
                if path is not None and not Path(path).exists():
                    problems.append(f"source model {name}: {path} is not there")
    return problems


def visit(note: Path, study: Study | None) -> list[NodeFacts | str]:
    """Examine every node of the cluster that this process is connected to, all at once.

    Returns a node's facts, or its address where no answer came.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    alive = [node for node in ray.nodes() if node["Alive"]]
    asked = time.time()
    tasks = {}
    for node in alive:
        here: Any = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        task = ray.remote(num_cpus=0, max_retries=0, scheduling_strategy=here)(examine)
        gpus = node["Resources"].get("GPU", 0.0)
        tasks[task.remote(note, study, gpus)] = node["NodeManagerAddress"]
    found: list[NodeFacts | str] = []
    waiting, end = list(tasks), time.monotonic() + EXAMINE_S
    while waiting and time.monotonic() < end:
        done, waiting = ray.wait(waiting, timeout=1.0)
        for ref in done:
            try:
                found.append(NodeFacts(**ray.get(ref), asked=asked, answered=time.time()))
            except ray.exceptions.RayError:
                found.append(tasks[ref])
    return [*found, *(tasks[ref] for ref in waiting)]


def judge(visited: Sequence[NodeFacts | str], text: str, study: Study | None) -> list[Finding]:
    """Return the findings; `text` is what the driver wrote into the shared folder."""
    facts = [node for node in visited if isinstance(node, NodeFacts)]
    silent = [node for node in visited if isinstance(node, str)]
    findings = [
        _finding("nodes", silent, f"{len(facts)} answered", f"no answer within {EXAMINE_S:g} s")
    ]
    findings += [_versions(facts), _gpus(facts, study)]
    unshared = [n.node for n in facts if n.note != text or not n.wrote]
    findings.append(
        _finding(
            "shared storage",
            unshared,
            "readable and writable on every node",
            f"cannot read and write {rooted('runs')} as the driver does; mount one file system "
            "everywhere and name it in RAYTL_ROOT",
        )
    )
    problems = [f"{node.node}: {problem}" for node in facts for problem in node.problems]
    if study is not None:
        findings.append(_finding("data", problems, "datasets and weights are readable", ""))
    full = [n.node for n in facts if n.free_bytes < LEAST_FREE_BYTES]
    gib = f"{LEAST_FREE_BYTES / 2**30:g} GiB"
    findings.append(_finding("disk", full, f"at least {gib} free", f"less than {gib} free in /tmp"))
    skewed = [n.node for n in facts if _skew(n) > MOST_CLOCK_SKEW_S]
    findings.append(
        _finding(
            "clock", skewed, "the nodes agree", f"off by more than {MOST_CLOCK_SKEW_S:g} s; run NTP"
        )
    )
    return findings


def _finding(check: str, where: Sequence[str], good: str, bad: str) -> Finding:
    if not where:
        return Finding(check, "ok", good)
    return Finding(check, "failure", "; ".join(where) + (f": {bad}" if bad else ""))


def _versions(facts: Sequence[NodeFacts]) -> Finding:
    for name in ("python", *PACKAGES):
        counts = Counter(node.versions[name] for node in facts)
        if len(counts) > 1 or "missing" in counts:
            parts = ", ".join(f"{name} {v} on {n} nodes" for v, n in counts.most_common())
            return Finding("versions", "failure", f"{parts}; install the same everywhere")
    same = facts[0].versions if facts else {}
    return Finding("versions", "ok", ", ".join(f"{name} {v}" for name, v in same.items()))


def _gpus(facts: Sequence[NodeFacts], study: Study | None) -> Finding:
    wrong = [
        f"{n.node}: Ray has {n.gpus_of_ray:g}, torch sees {n.gpus_of_torch}"
        for n in facts
        if n.gpus_of_ray > n.gpus_of_torch
    ]
    if wrong:
        return Finding("GPUs", "failure", "; ".join(wrong) + "; look at the driver and CUDA build")
    total = sum(n.gpus_of_ray for n in facts)
    if study is not None and study.resources.gpus_per_worker and not total:
        return Finding("GPUs", "warning", "none now; the study waits for resources.wait_s")
    return Finding("GPUs", "ok", f"{total:g} in all")


def _skew(node: NodeFacts) -> float:
    """Return by how many seconds the node's clock lies outside the driver's interval."""
    return max(node.asked - node.clock, node.clock - node.answered, 0.0)


def auth_finding(joined: bool) -> Finding:
    """Whether clients need a token. `joined`: the cluster is not this process's own, for which Ray
    makes a token unless told otherwise."""
    mode = os.environ.get("RAY_AUTH_MODE", "disabled" if joined else "token")
    if mode == "token":
        return Finding("auth", "ok", "token")
    return Finding(
        "auth", "warning", "no token was needed: whoever reaches the ports can run code here; "
        "start the cluster with RAY_AUTH_MODE=token"
    )  # fmt: skip


def examine_cluster(study: Study | None, address: str | None) -> list[Finding]:
    """Connect to the cluster (see `ray_session`) and look for what usually goes wrong.

    Raises RaytlError where there is no cluster, or the runs' folder cannot be written.
    """
    from raytl.sweeping.on_ray.tuning import ray_session

    note, text = rooted("runs") / f".doctor-{uuid.uuid4().hex}", uuid.uuid4().hex
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RaytlError(f"{note.parent}: cannot write here: {error.strerror or error}") from error
    try:
        with ray_session(address) as cluster:
            return [*judge(visit(note, study), text, study), auth_finding(cluster.grows)]
    finally:
        for left in note.parent.glob(f"{note.name}*"):
            left.unlink(missing_ok=True)
