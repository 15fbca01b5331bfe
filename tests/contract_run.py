"""What the contract tests of tasks share: which recipes a task takes, a trial's run, and what
holds for every recipe."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch

from raytl.config import TASK_FACTS, RecipeName, TrialConfig
from raytl.predictions import FILE_NAME, Predictions
from raytl.recipes import RECIPES
from raytl.training.building import TrialParts
from raytl.training.material import Material
from raytl.training.trial import run_trial

NAIVE = {"naive", "seasonal_naive"}  # controls that a space cannot have
TAUGHT = ("relational_distillation",)
Reported = list[dict[str, Any]]


def able(task: str) -> list[str]:
    """Return the recipes that need nothing but what the task gives."""
    return [n for n in get_args(RecipeName) if RECIPES[n].needs <= TASK_FACTS[task].gives]


def unable(task: str) -> list[str]:
    """Return the other recipes that a space can have."""
    return sorted(set(RECIPES) - set(able(task)) - NAIVE)


def run(
    material: Material, config: TrialConfig, keep: Path | None = None, resume: Path | None = None
) -> tuple[Reported, TrialParts]:
    """Run a trial to its end, seconds left out of what it reports; `keep`: where each epoch is
    saved, by its number."""
    reported: Reported = []

    def report(metrics: dict[str, Any], save: Any) -> None:
        reported.append({k: v for k, v in metrics.items() if k != "train/seconds"})
        if keep is not None:
            (keep / str(metrics["epoch"])).mkdir(parents=True)
            save(keep / str(metrics["epoch"]))

    return reported, run_trial(material, config, 5, report, test=True, resume_from=resume)


def same_state(one: TrialParts, other: TrialParts) -> bool:
    """Whether two trials' models and recipes hold the same numbers."""
    states = [parts.model.state_dict() | parts.recipe.state_dict() for parts in (one, other)]
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def trains_resumes_and_streams(
    material_of: Callable[..., Material], config: TrialConfig, keep: Path
) -> tuple[Reported, Predictions]:
    """Assert that a trial of two epochs has finite losses, goes on from its first epoch to the same
    numbers, and reads the same streamed; return what it reported, and said of the test rows."""
    material = material_of(reuse_prefix=False)
    whole, parts = run(material, config, keep=keep)
    assert all(np.isfinite(v) for m in whole for k, v in m.items() if k.startswith("train/"))
    rest, resumed = run(material, config, resume=keep / "1")
    assert rest == whole[1:] and same_state(resumed, parts)
    streamed, again = run(material_of(reuse_prefix=False, feed="streaming"), config)
    assert streamed == whole and same_state(again, parts)
    return whole, Predictions.read(keep / "2" / FILE_NAME)
