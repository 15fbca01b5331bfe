"""Seconds that a trial costs beyond its training, and the memory that warm actors hold.

Sides:
  plain    a function trainable that imports torch and reports once: a new process each trial
  reusing  the same with `reuse_actors=True`
  raytl    trials of one epoch on stored features of SqueezeNet (hymenoptera), TensorBoard files,
           checkpoints and leaderboard included

A trial's overhead is what its slot was busy for, less its training steps: with two slots,
(2 · seconds between the first and the last trial's end - seconds of all training) / trials.

    python benchmarks/trial_overhead.py --data data [--trials 200]
"""

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import ray
from ray import tune
from ray.tune import Callback
from sweep_reuse import configurations, make_study, run_raytl

from raytl.reporting.tensorboard import TensorBoard
from raytl.sweeping.kept.records import Record
from raytl.sweeping.on_ray.tuning import ray_session
from raytl.sweeping.search.asked_and_told import Listener
from raytl.sweeping.search.objective import objective_metric

SLOTS = 2


class Ends(Callback):
    """Notes when each trial ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self.ends.append(time.time())


class EndsOfRecords(Listener):
    """Notes when each of raytl's trials ends, and what its largest process holds then."""

    def __init__(self) -> None:
        self.ends: list[float] = []
        self.rss: list[int] = []

    def ended(self, record: Record) -> None:
        self.ends.append(time.time())
        held = [0]
        for process in psutil.process_iter(["name", "memory_info"]):
            if str(process.info["name"]).startswith("ray::ImplicitFunc"):
                held.append(process.info["memory_info"].rss)
        self.rss.append(max(held))


def overhead(ends: list[float], training: float) -> float:
    """Return seconds a trial; the first SLOTS trials, which start the processes, are left out."""
    span = ends[-1] - ends[SLOTS - 1]
    trials = len(ends) - SLOTS
    return (SLOTS * span - training * trials / len(ends)) / trials


def import_torch(config: dict[str, Any]) -> None:
    import torch

    tune.report({"zero": float(torch.zeros(1))})


def plain_side(trials: int, reuse: bool) -> dict[str, Any]:
    ends = Ends()
    with tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(import_torch, {"cpu": 1}),
            tune_config=tune.TuneConfig(num_samples=trials, reuse_actors=reuse),
            run_config=tune.RunConfig(storage_path=folder, callbacks=[ends], verbose=0),
        )
        tuner.fit()
    return {"trials": trials, "overhead_seconds": overhead(ends.ends, 0.0)}


def raytl_side(args: argparse.Namespace) -> dict[str, Any]:
    study = make_study(args)
    configs = [configurations("heads")[i % 24] for i in range(args.trials)]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RAYTL_CACHE"] = f"{folder}/cache"
        run = Path(folder) / "run"
        board, ends = TensorBoard(run, study, objective_metric(study)), EndsOfRecords()
        done = run_raytl(study, configs, run, [board, ends])
    training = sum(record.last["train/seconds"] for record in done)
    half = len(ends.rss) // 2
    return {
        "trials": args.trials,
        "overhead_seconds": overhead(ends.ends, training),
        "training_seconds_a_trial": training / args.trials,
        "rss_mib_first_half": max(ends.rss[:half]) / 2**20,
        "rss_mib_second_half": max(ends.rss[half:]) / 2**20,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--plain-trials", type=int, default=10)
    parser.add_argument("--quick", action="store_true", help="20 trials, 4 plain ones")
    args = parser.parse_args()
    args.epochs, args.size = 1, 224
    if args.quick:
        args.trials, args.plain_trials = 20, 4
    with ray_session():
        figures = {
            "plain": plain_side(args.plain_trials, reuse=False),
            "reusing": plain_side(args.plain_trials, reuse=True),
            "raytl": raytl_side(args),
        }
    assert not ray.is_initialized()
    ours = figures["raytl"]["overhead_seconds"]
    ratios = {side: figures[side]["overhead_seconds"] / ours for side in ("plain", "reusing")}
    for side, values in figures.items():
        print(f"{side}: {values}")
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"
    line = {"name": "trial_overhead", "ratios": ratios, "figures": figures, "machine": machine}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
