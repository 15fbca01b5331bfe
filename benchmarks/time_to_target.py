"""Seconds until a search is within one point of the best accuracy known.

Both sides search the same space (SqueezeNet on hymenoptera: frozen depth, mapper, dropout,
learning rate) with Optuna's TPE and ASHA and report the accuracy on the same validation rows after
each epoch; one CPU a trial. Time runs from the start of the process to the first report, of
whatever trial and epoch, that is within one point of the best report of both sides.

  plain   Ray Tune as its documentation writes it: see sweep_reuse.py
  raytl   a study's search from an empty prefix cache, without the controls, which plain Tune has
          not either, and without confirmation

    python benchmarks/time_to_target.py --data data

A side that never comes so far gives a lower bound: the seconds of its last report.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import optuna
import ray
from ray import tune
from ray.tune.schedulers import AsyncHyperBandScheduler
from ray.tune.search.optuna import OptunaSearch
from sweep_reuse import MAPPERS, SEED, make_study, plain_trainable

from raytl.config import Study
from raytl.sweeping.kept.records import Config, Metrics
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.on_ray.resources import plan
from raytl.sweeping.on_ray.tuning import ray_session, run_trials
from raytl.sweeping.preflight import preflight
from raytl.sweeping.progress import Progress
from raytl.sweeping.resolving import resolved
from raytl.sweeping.search.asked_and_told import Listener
from raytl.sweeping.search.objective import objective_metric
from raytl.sweeping.search.sampling import open_sampler
from raytl.sweeping.search.searcher import StudySearch

POINT = 0.01
SIDES = ("plain", "raytl")
Reports = list[tuple[float, float]]  # (Unix time, validation accuracy)


def searched_study(args: argparse.Namespace) -> Study:
    plain = make_study(args).model_dump(mode="json", by_alias=True)
    plain["target_domain"] |= {
        "splits": {"train": "train", "test": "val"},
        "validation_fraction": 0.4,  # 98 rows, so that one of them is a point
    }
    return Study.model_validate(
        plain
        | {
            "study": "time_to_target",
            "defaults": {"recipe": "finetune", "optimizer": "adam"},
            "space": {
                "frozen_depth": {"choice": ["100%", "75%", "50%"]},
                "mapper": {"choice": list(MAPPERS)},
                "head.dropout": {"choice": [0.0, 0.5]},
                "optimizer.lr": {"float": [3e-4, 3e-2], "log": True},
            },
            "search": {"sampler": "tpe", "scheduler": "asha", "trials": args.trials},
            "confirm": {"top": 1, "seeds": 3},
        }
    )


def plain_space(trial: Any) -> dict[str, Any]:
    """Define the same space in Optuna's own words."""
    trial.suggest_categorical("frozen_depth", ["100%", "75%", "50%"])
    trial.suggest_categorical("mapper", list(MAPPERS))
    trial.suggest_categorical("head.dropout", [0.0, 0.5])
    trial.suggest_float("optimizer.lr", 3e-4, 3e-2, log=True)
    return {}


def run_plain(study: Study, args: argparse.Namespace, folder: Path) -> Reports:
    fixed = {"source_model": "squeezenet", "recipe": "finetune", "optimizer": "adam"}
    plain = study.model_dump(mode="json", by_alias=True)

    def trainable(params: dict[str, Any]) -> None:
        plain_trainable({"study": plain, "trial": fixed | params})

    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    sampler = optuna.samplers.TPESampler(seed=SEED)
    search = OptunaSearch(plain_space, metric="accuracy", mode="max", sampler=sampler)
    scheduler = AsyncHyperBandScheduler(max_t=args.epochs, grace_period=1, reduction_factor=3)
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        tune_config=tune.TuneConfig(
            metric="accuracy", mode="max", search_alg=search, scheduler=scheduler,
            num_samples=args.plain_trials, max_concurrent_trials=2,
        ),
        run_config=tune.RunConfig(name="plain", storage_path=str(folder), verbose=0),
    )  # fmt: skip
    results = tuner.fit()
    assert not results.errors, results.errors
    frames: list[Any] = [results[i].metrics_dataframe for i in range(len(results))]
    return [
        (float(time), float(accuracy))
        for frame in frames
        for time, accuracy in zip(frame["timestamp"], frame["accuracy"], strict=True)
    ]


class Reported(Listener):
    """Notes each report and when it came."""

    def __init__(self) -> None:
        self.reports: Reports = []

    def reported(self, config: Config, metrics: Metrics) -> None:
        self.reports.append((time.time(), metrics["target/validation_accuracy"]))


def run_raytl(study: Study, folder: Path) -> Reports:
    """Run a study's search, without controls and confirmation."""
    os.environ["RAYTL_CACHE"] = str(folder / "cache")
    checked = preflight(study)
    study, objective = resolved(study, checked.num_bytes), objective_metric(study)
    storage, reported = RunStorage(folder / "run"), Reported()
    search = StudySearch(
        study, checked.space, open_sampler(study, checked.space, objective), objective,
        scope=folder.name, controls=(), listeners=[reported],
    )  # fmt: skip
    with ray_session() as cluster:
        budget = plan(study, cluster.nodes())
        run_trials(study, storage, search, budget, Progress(study, objective, storage))
    return reported.reports


def one_side(args: argparse.Namespace) -> None:
    study = searched_study(args)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reports = (
            run_plain(study, args, folder) if args.side == "plain" else run_raytl(study, folder)
        )
    print("RESULT " + json.dumps(sorted(reports)))


def timed_side(side: str, args: argparse.Namespace) -> Reports:
    """Run one side in a process of its own; its reports' times count from that process's start."""
    command = [
        sys.executable, __file__, "--data", str(args.data), "--side", side,
        "--epochs", str(args.epochs), "--trials", str(args.trials),
        "--plain-trials", str(args.plain_trials), "--size", str(args.size),
    ]  # fmt: skip
    start = time.time()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    if not found:
        raise SystemExit(f"{side} failed:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")
    reports = json.loads(found[0].removeprefix("RESULT "))
    best = max(accuracy for _, accuracy in reports)
    print(f"{side}: {len(reports)} reports, the best {100 * best:.1f} %", flush=True)
    return [(at - start, accuracy) for at, accuracy in reports]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--size", type=int, default=224, help="side of the images, pixels")
    parser.add_argument("--plain-trials", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="4 trials, 2 plain ones, 96 pixels")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        one_side(args)
        return
    if args.quick:
        args.epochs, args.trials, args.plain_trials, args.size = 1, 4, 2, 96
    reports = {side: timed_side(side, args) for side in SIDES}
    target = max(accuracy for side in SIDES for _, accuracy in reports[side]) - POINT
    figures: dict[str, Any] = {"target_accuracy": target}
    for side in SIDES:
        reached = [at for at, accuracy in reports[side] if accuracy >= target]
        figures[side] = {
            "reached": bool(reached),
            "seconds": min(reached) if reached else max(at for at, _ in reports[side]),
            "best": max(accuracy for _, accuracy in reports[side]),
        }
        bound = "" if reached else "more than "
        print(f"{side}: {100 * target:.1f} % after {bound}{figures[side]['seconds']:.1f} s")
    ratio = figures["plain"]["seconds"] / figures["raytl"]["seconds"]
    print(f"plain takes {ratio:.1f} times raytl's seconds")
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"
    line = {"name": "time_to_target", "ratios": {"plain": ratio}, "figures": figures}
    print(json.dumps(line | {"machine": machine}))


if __name__ == "__main__":
    main()
