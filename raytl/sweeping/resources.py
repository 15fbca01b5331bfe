"""How many trials run at once, as arithmetic over what the cluster has."""

from dataclasses import dataclass

from raytl.config import Study
from raytl.errors import ConfigError


@dataclass(frozen=True)
class Plan:
    """What each trial gets and how many run at once."""

    cpus_per_trial: int
    gpus_per_trial: float
    concurrent: int
    text: str


def plan(study: Study, cpus: float, gpus: float) -> Plan:
    """Plan the trials on a cluster of `cpus` and `gpus`.

    Trials may hold every CPU: no feed waits for a Ray task. Raises ConfigError where not even one
    trial fits.
    """
    wanted = study.resources
    by_cpu = int(cpus) // wanted.cpus_per_worker
    by_gpu = int(gpus / wanted.gpus_per_worker) if wanted.gpus_per_worker else by_cpu
    concurrent = min(by_cpu, by_gpu)
    have = f"{int(cpus)} CPUs and {gpus:g} GPUs"
    if concurrent < 1:
        raise ConfigError(
            f"resources: a trial needs {wanted.cpus_per_worker} CPUs and "
            f"{wanted.gpus_per_worker:g} GPUs, but Ray has {have}; lower "
            "resources.cpus_per_worker or gpus_per_worker"
        )
    if wanted.max_concurrent is not None:
        concurrent = min(concurrent, wanted.max_concurrent)
    text = f"{concurrent} trials at once, {wanted.cpus_per_worker} CPU each, of {have}"
    return Plan(wanted.cpus_per_worker, wanted.gpus_per_worker, concurrent, text)
