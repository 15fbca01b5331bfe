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
CHEAP = 0.1  # seconds: a step that takes less is measured with as many rows as it will have
SECONDS = 2.0  # for each source model, about; two steps at least
MOST_STEPS = 5


def step_seconds(
    study: Study, domains: Domains, trials: Mapping[str, TrialConfig], batch: int
) -> dict[str, float]:
    """Return the seconds that a training step takes for a row, nothing frozen, by the source
    models' names. `trials`: which is measured of each; `batch`: rows of a step, of each stream. One
    thread of the CPU, as a trial has, or a GPU where there is one."""
    few, whole = (_with_batch(study, domains, rows) for rows in (min(ROWS, batch), batch))
    found = {}
    with _as_in_a_trial(), torch_options(few.study.train):
        for name, trial in trials.items():
            found[name] = _measured(few, trial)
            if found[name] < CHEAP / ROWS and batch > ROWS:
                found[name] = _measured(whole, trial)
    return found


def _with_batch(study: Study, domains: Domains, rows: int) -> Material:
    train = study.train.model_copy(
        update={
            "epochs": 10 * MOST_STEPS, "steps_per_epoch": 1, "batch_size": rows,
            "prefix_cache_bytes": 1, "reuse_prefix": False, "fuse": "off",
        }
    )  # fmt: skip
    return Material.of(study.model_copy(update={"train": train}), domains)


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
    # Of the CPU its own time, which others that want the cores just now do not lengthen
    clock = time.perf_counter if device() == "cuda" else time.process_time
    start = clock()
    try:
        run.train()  # the first step, which allocates, is not counted
        best = float("inf")
        for _ in range(MOST_STEPS):
            before = clock()
            run.train()
            best = min(best, clock() - before)
            if clock() - start > SECONDS:
                break
    finally:
        run.close()
    return best / (material.study.train.batch_size * len(run.feeds))
