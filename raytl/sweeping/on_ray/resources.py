"""How many trials run at once, as arithmetic over what the cluster has or may come to have."""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from raytl.config import Study
from raytl.errors import ConfigError, RaytlError

POLL_S = 2.0
NODE_LABEL = "ray.io/node-id"  # Ray gives each node this label
Node = Mapping[str, float]  # what a node has, by Ray's names
Bundle = dict[str, float]


@dataclass(frozen=True)
class Plan:
    """How many trials run at once, the arithmetic behind it, and what each needs."""

    concurrent: int
    text: str
    need: str = ""


def plan(study: Study, nodes: Sequence[Node], *, grows: bool = False) -> Plan:
    """Plan the trials on the cluster's nodes. A worker runs on one node; those of a trial may run
    on several.

    Workers may hold every CPU: no feed waits for a Ray task, and the driver of a trial with several
    workers holds none. Where the cluster `grows` with demand, `resources.max_concurrent` trials are
    planned, and those that do not fit yet are the demand. Raises ConfigError where not even one
    trial fits.
    """
    wanted, fit = study.resources, fitting(study, nodes)
    if fit < 1:
        raise ConfigError(
            f"resources: a trial needs {_need(study)}, but Ray has {_text(nodes)}; lower "
            "resources.workers_per_trial, cpus_per_worker or gpus_per_worker"
        )
    most = wanted.max_concurrent
    concurrent = fit if most is None else most if grows else min(fit, most)
    text = f"{concurrent} trials at once, {_need(study)} each, on {_text(nodes)}"
    if concurrent > fit:
        text += f"; {fit} fit now, the others as the cluster grows"
    text += f"; {_left(study, nodes, min(concurrent, fit)):g} CPUs left"
    return Plan(concurrent, text, _need(study))


def wait_for_room(
    study: Study,
    nodes: Callable[[], Sequence[Node]],
    request: Callable[[list[Bundle]], None],
    say: Callable[[str], None],
) -> None:
    """Wait until one trial fits, where a cluster may bring what it takes.

    `nodes` gives what the cluster has now; `request` asks its autoscaler for a trial's bundles, and
    with none for nothing any more. Raises RaytlError after `resources.wait_s` seconds.
    """
    if fitting(study, nodes()) >= 1:
        return
    seconds = study.resources.wait_s
    request([worker_bundle(study)] * study.resources.workers[0])
    say(
        f"waiting for {_need(study)}: the cluster has {_text(nodes())}; giving up after "
        f"{seconds:g} s (resources.wait_s)"
    )
    end = time.monotonic() + seconds
    try:
        while fitting(study, nodes()) < 1:
            if time.monotonic() > end:
                raise RaytlError(
                    f"resources: after {seconds:g} s the cluster still has {_text(nodes())}, but "
                    f"a trial needs {_need(study)}; look at `ray status`, raise resources.wait_s "
                    "or ask for less"
                )
            time.sleep(min(POLL_S, seconds / 10))
    finally:
        request([])  # else the autoscaler would keep the room for ever


def worker_bundle(study: Study) -> Bundle:
    """Return what one worker holds, by Ray's names."""
    wanted = {"CPU": float(study.resources.cpus_per_worker), "GPU": study.resources.gpus_per_worker}
    return {name: amount for name, amount in wanted.items() if amount}


def selector(avoid: Collection[str]) -> dict[str, str]:
    """Return Ray's label selector of all nodes but these, by their ids; the nodes sorted, for Tune
    compares requests."""
    return {NODE_LABEL: f"!in({','.join(sorted(avoid))})"} if avoid else {}


def fitting(study: Study, nodes: Sequence[Node]) -> int:
    """Return how many trials fit; an elastic one counts as large as it may get, where there is room
    for that."""
    bundle, (fewest, most) = worker_bundle(study), study.resources.workers
    workers = sum(room_for(bundle, node) for node in nodes)
    return max(workers // most, int(workers >= fewest))


def room_for(bundle: Bundle, node: Node) -> int:
    """Return how many such workers fit on a node."""
    return int(min(node.get(name, 0.0) // amount for name, amount in bundle.items()))


def cluster_text(nodes: Sequence[Node]) -> str:
    """Return what a cluster has in all, in few words."""
    cpus, gpus = (sum(node.get(name, 0.0) for node in nodes) for name in ("CPU", "GPU"))
    counts = {"CPU": cpus, "GPU": gpus, "node": len(nodes)}
    return ", ".join(f"{n:g} {what}{'' if n == 1 else 's'}" for what, n in counts.items())


def _left(study: Study, nodes: Sequence[Node], trials: int) -> float:
    _, most = study.resources.workers
    cpus = sum(node.get("CPU", 0.0) for node in nodes)
    held = trials * most * study.resources.cpus_per_worker
    return max(0.0, cpus - held)


def _need(study: Study) -> str:
    wanted, (fewest, most) = study.resources, study.resources.workers
    gpus = f" and {wanted.gpus_per_worker:g} GPU" if wanted.gpus_per_worker else ""
    each = f"{wanted.cpus_per_worker} CPU{gpus}"
    if most == 1:
        return each
    return f"{most if fewest == most else f'{fewest} to {most}'} workers × {each}"


def _text(nodes: Sequence[Node]) -> str:
    """Return what the nodes have, those that have the same together."""
    having = [node for node in nodes if node.get("CPU", 0) or node.get("GPU", 0)]
    parts = [f"{node.get('CPU', 0):g} CPUs and {node.get('GPU', 0):g} GPUs" for node in having]
    return " and ".join(
        f"{f'{parts.count(part)} nodes of ' if parts.count(part) > 1 else ''}{part}"
        for part in dict.fromkeys(parts or ["0 CPUs and 0 GPUs"])
    )
