"""Trials with several workers under Ray Train: stopped, faulty and whole ones."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import tune
from ray.tune.experiment import Trial
from ray_processes import WORKER, own_actors

from raytl.config import Study, TrialConfig
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.on_ray.trainable import METRICS, build_trainable
from raytl.training.material import Material
from raytl.training.trial import run_trial

MakeStudy = Callable[..., Study]
SEED = 3

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def parallel_study(make: MakeStudy, **more: Any) -> Study:
    plain = {
        "source_models": {"net": {"backbone": "lenet"}},
        "train": {"epochs": 3, "batch_size": 8, "steps_per_epoch": 5, "feed": "streaming"},
        "resources": {"workers_per_trial": [1, 2]},  # two hold every CPU of the cluster
    }
    return make(**plain | more)


def trial(recipe: str = "dann") -> TrialConfig:
    return TrialConfig.from_flat(
        {"source_model": "net", "recipe": recipe, "optimizer.lr": 0.05, "head.dropout": 0.0}
    )


def config(number: int, phase: str = "search") -> dict[str, Any]:
    return {
        "number": number,
        "phase": phase,
        "seed": SEED,
        "rows_seed": None,
        "micro_batches": 1,
        "trial": trial().flat(),
    }


def alone(study: Study, test: bool = False) -> list[dict[str, Any]]:
    seen: list[dict[str, Any]] = []
    material = Material.of(study)
    run_trial(material, trial(), SEED, lambda metrics, _: seen.append(metrics), test=test)
    return seen


def comparable(metrics: dict[str, Any]) -> dict[str, float]:
    return {
        key: value
        for key, value in metrics.items()
        if key.startswith(("train/", "target/", "test/", "source/"))
        and key not in ("train/seconds", "test/confusion")
    }


class Disturb(tune.Callback):
    """Kills a worker of trial 1 and the driver of trial 2, each after its second epoch."""

    def __init__(self) -> None:
        self.seen: dict[int, list[dict[str, Any]]] = {}

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **_: Any
    ) -> None:
        if METRICS not in result:  # it has started
            return
        number = trial.config["number"]
        self.seen.setdefault(number, []).append(json.loads(result[METRICS]))
        if len(self.seen[number]) == 2 and number in (1, 2):
            own_actors(WORKER if number == 1 else ("ImplicitFunc",))[0].kill()


@pytest.mark.usefixtures("ray_cluster")
def test_stopped_and_faulty_trials_free_their_workers_and_lose_nothing(
    tiny_study: MakeStudy, tmp_path: Path
) -> None:
    study, disturb = parallel_study(tiny_study), Disturb()
    names = {"name": tune.sample_from(lambda space: f"trial-{space['number']}")}
    space = config(0) | names | {"number": tune.grid_search([0, 1, 2])}
    tuner = tune.Tuner(
        build_trainable(study, RunStorage(tmp_path)),
        param_space=space,
        tune_config=tune.TuneConfig(max_concurrent_trials=1, reuse_actors=True),
        run_config=tune.RunConfig(
            name="run", storage_path=str(tmp_path), verbose=0,
            stop=lambda _, result: METRICS in result and result["config"]["number"] == 0,
            failure_config=tune.FailureConfig(max_failures=4),
            callbacks=[disturb],
        ),
    )  # fmt: skip
    results = tuner.fit()
    assert not results.errors
    assert len(disturb.seen[0]) == 1
    expected = [comparable(metrics) for metrics in alone(study)]
    for number in (1, 2):
        epochs = [metrics["epoch"] for metrics in disturb.seen[number]]
        # From the last checkpoint on; who starts again says what was before.
        assert epochs in ([1, 2, 3], [1, 2, 1, 2, 3])
        for found in disturb.seen[number]:
            wanted = expected[found["epoch"] - 1]
            assert comparable(found) == pytest.approx(wanted, rel=1e-3, abs=1e-5)
    assert not list(tmp_path.glob(".workers*"))
    while ray.available_resources().get("CPU") != 2.0:  # soon
        time.sleep(0.2)
