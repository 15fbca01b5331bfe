"""How long training steps of source models take on this machine, on the data's own rows."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from raytl.config import Study, TrialConfig
from raytl.data.domain import Domains
from raytl.training.material import Material
from raytl.training.torch_options import torch_options
from raytl.training.trial import TrialRun

ROWS = 8  # of a step that is measured, of each stream
SECONDS = 2.0  # for each source model, about; two steps at least
MOST_STEPS = 5
BACKWARD = 3.0  # forward and backward pass take about three times the forward pass


def step_seconds(
    study: Study, domains: Domains, trials: Mapping[str, TrialConfig]
) -> dict[str, float]:
    """Return the seconds that a training step takes for a row, nothing frozen, by the source
    models' names. `trials`: which is measured of each. One thread of the CPU, as a trial has, or a
    GPU where there is one."""
    train = study.train.model_copy(
        update={
            "epochs": 10 * MOST_STEPS, "steps_per_epoch": 1, "batch_size": ROWS,
            "prefix_cache_bytes": 1, "reuse_prefix": False, "fuse": "off",
        }
    )  # fmt: skip
    study = study.model_copy(update={"train": train})
    material = Material.of(study, domains)
    with _as_in_a_trial(), torch_options(train):
        return {name: _measured(material, trial) for name, trial in trials.items()}


def device() -> str:
    """Return where trials train on this machine: cuda where there is a GPU, else cpu."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@contextmanager
def _as_in_a_trial() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _measured(material: Material, trial: TrialConfig) -> float:
    run = TrialRun(material, trial, 0, device=device())
    start = time.perf_counter()
    try:
        run.train()  # the first step, which allocates, is not counted
        best = float("inf")
        for _ in range(MOST_STEPS):
            best = min(best, run.train()["train/seconds"])
            if time.perf_counter() - start > SECONDS:
                break
    finally:
        run.close()
    return best / (ROWS * len(run.feeds))
