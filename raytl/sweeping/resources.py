"""How many trials run at once, as arithmetic over what the cluster has or may come to have."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from raytl.config import Study
from raytl.errors import ConfigError, RaytlError

POLL_S = 2.0
Resources = Mapping[str, float]


@dataclass(frozen=True)
class Plan:
    """What each trial gets and how many run at once."""

    cpus_per_trial: int
    gpus_per_trial: float
    concurrent: int
    text: str


def plan(study: Study, have: Resources, *, grows: bool = False) -> Plan:
    """Plan the trials on a cluster that has the resources `have`, by Ray's names.

    Trials may hold every CPU: no feed waits for a Ray task. Where the cluster `grows` with demand,
    `resources.max_concurrent` trials are planned, and those that do not fit yet are the demand.
    Raises ConfigError where not even one trial fits.
    """
    wanted, fit = study.resources, _fitting(study, have)
    if fit < 1:
        raise ConfigError(
            f"resources: a trial needs {_need(study)}, but Ray has {_text(have)}; lower "
            "resources.cpus_per_worker or gpus_per_worker"
        )
    most = wanted.max_concurrent
    concurrent = fit if most is None else most if grows else min(fit, most)
    text = f"{concurrent} trials at once, {_need(study)} each, of {_text(have)}"
    if concurrent > fit:
        text += f"; {fit} fit now, the others as the cluster grows"
    return Plan(wanted.cpus_per_worker, wanted.gpus_per_worker, concurrent, text)


def wait_for_room(
    study: Study,
    resources: Callable[[], Resources],
    request: Callable[[dict[str, float]], None],
    say: Callable[[str], None],
) -> None:
    """Wait until one trial fits, where a cluster may bring what it takes.

    `resources` gives what the cluster has now; `request` asks its autoscaler for a trial's bundle,
    and with an empty one for nothing any more.
    Raises RaytlError after `resources.wait_s` seconds.
    """
    if _fitting(study, resources()) >= 1:
        return
    wanted = study.resources
    request({"CPU": wanted.cpus_per_worker, "GPU": wanted.gpus_per_worker})
    say(
        f"waiting for {_need(study)}: the cluster has {_text(resources())}; giving up after "
        f"{wanted.wait_s:g} s (resources.wait_s)"
    )
    end = time.monotonic() + wanted.wait_s
    try:
        while _fitting(study, resources()) < 1:
            if time.monotonic() > end:
                raise RaytlError(
                    f"resources: after {wanted.wait_s:g} s the cluster still has "
                    f"{_text(resources())}, but a trial needs {_need(study)}; look at `ray "
                    "status`, raise resources.wait_s or ask for less"
                )
            time.sleep(min(POLL_S, wanted.wait_s / 10))
    finally:
        request({})  # else the autoscaler would keep the room for ever


def _fitting(study: Study, have: Resources) -> int:
    """Return how many trials fit."""
    wanted = study.resources
    by_cpu = int(have.get("CPU", 0)) // wanted.cpus_per_worker
    if not wanted.gpus_per_worker:
        return by_cpu
    return min(by_cpu, int(have.get("GPU", 0) / wanted.gpus_per_worker))


def _need(study: Study) -> str:
    wanted = study.resources
    gpus = f" and {wanted.gpus_per_worker:g} GPU" if wanted.gpus_per_worker else ""
    return f"{wanted.cpus_per_worker} CPU{gpus}"


def _text(have: Resources) -> str:
    return f"{have.get('CPU', 0):g} CPUs and {have.get('GPU', 0):g} GPUs"
