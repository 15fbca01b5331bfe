"""What usually goes wrong on a cluster, looked for on every node before a study starts."""

import contextlib
import os
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from raytl.config import Study
from raytl.errors import RaytlError, UserError
from raytl.folders import rooted
from raytl.sweeping.on_ray.node_facts import PACKAGES, Asked, NodeFacts, visit
from raytl.sweeping.on_ray.storage_check import delete_note, write_note
from raytl.urls import Url

LEAST_FREE_BYTES = 5 * 2**30
MOST_CLOCK_SKEW_S = 2.0
Level = Literal["ok", "warning", "failure"]


@dataclass(frozen=True)
class Finding:
    """One check and what came of it; `text` names the remedy where there is something to mend."""

    check: str
    level: Level
    text: str


def judge(visited: Sequence[NodeFacts | str], asked: Asked) -> list[Finding]:
    """Return the findings on what the nodes answered to what they were asked."""
    facts = [node for node in visited if isinstance(node, NodeFacts)]
    without = [node for node in visited if isinstance(node, str)]
    study = asked.study
    findings = [
        _finding("nodes", without, f"{len(facts)} answered", ""),
        _versions(facts),
        _gpus(facts, study),
        _shared(facts, study) if asked.storage is None else _stored(facts, asked.storage),
    ]
    if study is not None:
        problems = [f"{node.node}: {problem}" for node in facts for problem in node.problems]
        findings.append(_finding("data", problems, "datasets and weights are readable", ""))
        findings += _bfloat16(facts, study)
    full = [n.node for n in facts if n.free_bytes < LEAST_FREE_BYTES]
    gib = f"{LEAST_FREE_BYTES / 2**30:g} GiB"
    little = f"less than {gib} free in /tmp or RAYTL_CACHE"
    findings.append(_finding("disk", full, f"at least {gib} free", little))
    skewed = [n.node for n in facts if _skew(n) > MOST_CLOCK_SKEW_S]
    apart = f"off by more than {MOST_CLOCK_SKEW_S:g} s; run NTP"
    findings.append(_finding("clock", skewed, "the nodes agree", apart))
    return [*findings, _cache(facts), _notices(facts)]


def _finding(check: str, where: Sequence[str], good: str, bad: str) -> Finding:
    if not where:
        return Finding(check, "ok", good)
    return Finding(check, "failure", "; ".join(where) + (f": {bad}" if bad else ""))


def _versions(facts: Sequence[NodeFacts]) -> Finding:
    for name in ("python", *PACKAGES, "raytl's source"):
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


def _bfloat16(facts: Sequence[NodeFacts], study: Study) -> list[Finding]:
    """What comes of GPUs without bfloat16 where a study on GPUs asks for it."""
    computed = study.train.precision == "bfloat16"
    stored = study.train.prefix_dtype == "bfloat16"
    if not study.resources.gpus_per_worker or not (computed or stored):
        return []
    without = [f"{n.node}: {', '.join(n.without_bfloat16)}" for n in facts if n.without_bfloat16]
    if not without:
        return [Finding("bfloat16", "ok", "every GPU has it")]
    parts = []
    if computed:
        parts.append(
            "trials there train in float32, and their numbers may differ from others'; take "
            "train.precision: float32, or GPUs of one kind"
        )
    if stored:
        parts.append("stored features are only rounded to it (train.prefix_dtype), as elsewhere")
    text = f"none on {'; '.join(without)}: {'. '.join(parts)}"
    return [Finding("bfloat16", "warning" if computed else "ok", text)]


def _shared(facts: Sequence[NodeFacts], study: Study | None) -> Finding:
    """A study without a storage_path needs a disk that all share; where no study was named, who
    knows."""
    apart = [n.node for n in facts if not n.shares]
    if not apart:
        return Finding("shared storage", "ok", "readable and writable on every node")
    text = (
        f"{'; '.join(apart)}: cannot read and write {rooted('runs')} as the driver does; keep runs "
        "in a bucket (resources.storage_path), or mount one file system everywhere and name it in "
        "RAYTL_ROOT"
    )
    return Finding("shared storage", "failure" if study is not None else "warning", text)


def _stored(facts: Sequence[NodeFacts], url: Url) -> Finding:
    wrong = [
        f"{n.node}: {why}" for n in facts if n.storage is not None for why in n.storage.refused
    ]
    skews = {n.node: n.storage.skew_s for n in facts if n.storage and n.storage.skew_s is not None}
    wrong += [
        f"{node}: its clock is {skew:+.0f} s off the storage's; run NTP (S3 refuses 15 minutes)"
        for node, skew in skews.items()
        if abs(skew) > MOST_CLOCK_SKEW_S
    ]
    longest = max((n.storage.seconds for n in facts if n.storage is not None), default=0.0)
    clocks = "" if skews else ", by a clock that it does not tell"
    good = f"{url.shown}: every node writes, reads, lists and deletes, in {longest:.1f} s{clocks}"
    return _finding("storage", wrong, good, "")


def _cache(facts: Sequence[NodeFacts]) -> Finding:
    sharing = [f"{n.node}: {n.cache}" for n in facts if n.cache is not None]
    if not sharing:
        return Finding("cache", "ok", "on each node's own disk")
    return Finding("cache", "warning", "; ".join(sharing))


def _notices(facts: Sequence[NodeFacts]) -> Finding:
    unwatched = [f"{n.node}: {n.unwatched}" for n in facts if n.unwatched is not None]
    if not unwatched:
        return Finding("spot notices", "ok", "no spot node is without a watcher")
    remedy = "start it beside Ray, as cluster.yaml does, or what it trains counts as lost"
    return Finding("spot notices", "warning", f"{'; '.join(unwatched)}; {remedy}")


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


def examine_cluster(
    study: Study | None,
    address: str | None,
    *,
    storage: Url | None = None,
    room: bool = False,
    say: Callable[[str], None] = print,
) -> list[Finding]:
    """Connect to the cluster (see `ray_session`) and look for what usually goes wrong.

    `storage`: where runs are kept, the study's `resources.storage_path` by default; without any
    they are in a folder that nodes share. `room`: let the autoscaler bring nodes for a trial first.
    Raises RaytlError where there is no cluster, where the runs' folder or the storage cannot be
    written from here, or no room came.
    """
    if room and study is None:
        raise UserError("--room needs a study, which says what a trial takes")

    from raytl.sweeping.on_ray.resources import wait_for_room
    from raytl.sweeping.on_ray.tuning import ray_session

    storage = storage or (study.resources.storage_path if study is not None else None)
    with _asking(study, storage) as asked, ray_session(address) as cluster:
        if room and study is not None and cluster.grows:
            wait_for_room(study, cluster.nodes, cluster.request, say)
        return [*judge(visit(asked), asked), auth_finding(cluster.grows)]


@contextlib.contextmanager
def _asking(study: Study | None, storage: Url | None) -> Iterator[Asked]:
    """Yield what nodes are asked, the driver's notes written for as long."""
    text = uuid.uuid4().hex
    if storage is not None:
        stored = write_note(storage, text)
        try:
            yield Asked(text, storage=storage, stored=stored, study=study)
        finally:
            delete_note(storage, stored)
        return
    note = rooted("runs") / f".doctor-{uuid.uuid4().hex}"
    try:
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(text, encoding="utf-8")
    except OSError as error:
        raise RaytlError(f"{note.parent}: cannot write here: {error.strerror or error}") from error
    try:
        yield Asked(text, note, study=study)
    finally:
        for left in note.parent.glob(f"{note.name}*"):
            left.unlink(missing_ok=True)
