"""The same list of configurations through plain Ray Tune and through raytl.

Sides, each in a process tree of its own, timed from process start to exit:
  plain    Ray Tune as its documentation writes it: a function trainable, a torch DataLoader, the
           full forward pass in each step
  reusing  the same with `reuse_actors=True`
  raytl    the same configurations as trials of a study: stored prefix features, warm actors
All sides train the same models on the same rows, with one CPU a trial, and report the validation
accuracy of each epoch.

Workloads, 24 configurations of 5 epochs each of SqueezeNet on hymenoptera:
  heads    all blocks frozen; mapper, dropout and learning rate vary
  depths   frozen 100 %, 75 % and 50 % in proportion 2:1:1; mapper and learning rate vary

    python benchmarks/sweep_reuse.py heads --data data [--plain-configs 4]

`--plain-configs N` runs the first N configurations alone on the plain sides and scales their time
to all (what comes before the first trial is counted once); the output says so.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import ray
import torch
from ray import tune
from sides import run_side
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset, TensorDataset

from raytl.config import Study, TrialConfig
from raytl.data.domain import Domain
from raytl.models.transfer_model import TransferModel
from raytl.sweeping.identity import Identity, device_kind
from raytl.sweeping.kept.records import Record
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.on_ray.resources import plan
from raytl.sweeping.on_ray.tuning import ray_session, run_trials
from raytl.sweeping.preflight import preflight
from raytl.sweeping.progress import Progress
from raytl.sweeping.recall import Recall
from raytl.sweeping.search.asked_and_told import Listener
from raytl.sweeping.search.objective import objective_metric
from raytl.sweeping.search.searcher import StudySearch
from raytl.training.building import build_trial
from raytl.training.material import Material
from raytl.training.splits import target_rows

SEED = 0
SIDES = ("plain", "reusing", "raytl")
MAPPERS = ("identity", "mlp", "residual")


def configurations(workload: str) -> list[dict[str, Any]]:
    """Return the 24 configurations; any four in a row have the workload's mix of depths."""
    base = {"source_model": "squeezenet", "recipe": "finetune", "optimizer": "adam"}
    if workload == "heads":
        grid = product(MAPPERS, (0.0, 0.5), (1e-3, 3e-3, 1e-2, 3e-2))
        return [
            base
            | {"frozen_depth": "100%", "mapper": m, "head.dropout": dropout, "optimizer.lr": lr}
            for m, dropout, lr in grid
        ]
    depths = product(MAPPERS, (1e-3, 3e-3), ("100%", "75%", "100%", "50%"))
    return [base | {"mapper": m, "optimizer.lr": lr, "frozen_depth": d} for m, lr, d in depths]


def make_study(args: argparse.Namespace) -> Study:
    data = args.data.resolve()
    weights = data / "squeezenet1_0.pth"
    return Study.model_validate(
        {
            "study": "sweep_reuse",
            "target_domain": {
                "dataset": data / "hymenoptera",
                "splits": {"train": "train", "test": "val"},
            },
            "source_models": {
                "squeezenet": {
                    "torchvision": "squeezenet1_0",
                    "weights": str(weights),
                    "input_size": args.size,
                }
            },
            "space": {"recipe": {"choice": ["finetune"]}},
            "train": {"epochs": args.epochs, "batch_size": 32},
        }
    )


# ---------------------------------------------------------------- plain Ray Tune


def tensors(domain: Domain, transform: Any, split: str) -> TensorDataset:
    (image,) = domain.inputs
    rows = transform.prepare(domain.split(split).all(image))
    x = torch.cat([transform(part).contiguous() for part in rows.split(32)])
    return TensorDataset(x, torch.from_numpy(domain.targets(split)))


def logits(model: TransferModel, x: Tensor) -> Tensor:
    """Return what the model says of rows that are transformed already, once for all epochs."""
    (branch,) = model.named_branches.values()
    backbone, depth = branch.backbone, branch.frozen_depth
    with torch.no_grad():
        h = backbone.run(x, 0, depth)
    return model.head(model.mapper(backbone.pool(backbone.run(h, depth))))


def plain_trainable(config: dict[str, Any]) -> None:
    began = time.time()
    study, trial = Study.model_validate(config["study"]), TrialConfig.from_flat(config["trial"])
    material = Material.of(study)
    model, target = build_trial(material, trial, SEED).model, material.domains.target
    (branch,) = model.named_branches.values()
    rows, split = target_rows(target, study.search.seed), target.config.splits.train
    train = Subset(tensors(target, branch.transform, split), rows.labelled.tolist())
    loader = DataLoader(train, batch_size=study.train.batch_size, shuffle=True)
    held_out = Subset(
        tensors(target, branch.transform, rows.validation_split), rows.validation.tolist()
    )
    validation = DataLoader(held_out, batch_size=128)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=trial.optimizer.lr)
    for _ in range(study.train.epochs):
        start = time.perf_counter()
        model.train()
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(logits(model, x), y)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            right = sum(int((logits(model, x).argmax(1) == y).sum()) for x, y in validation)
        tune.report(
            {
                "accuracy": right / len(rows.validation),
                "epoch_seconds": time.perf_counter() - start,
                "depth": str(trial.frozen_depth),
                "began": began,
            }
        )


def run_plain(study: Study, trials: list[dict[str, Any]], folder: Path, reuse: bool) -> Any:
    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    tuner = tune.Tuner(
        tune.with_resources(plain_trainable, {"cpu": 1}),
        param_space={
            "study": study.model_dump(mode="json", by_alias=True),
            "trial": tune.grid_search(trials),
        },
        tune_config=tune.TuneConfig(reuse_actors=reuse),
        run_config=tune.RunConfig(name="plain", storage_path=str(folder), verbose=0),
    )
    results = tuner.fit()
    ray.shutdown()
    assert not results.errors, results.errors
    return [results[i].metrics_dataframe for i in range(len(results))]


# ---------------------------------------------------------------- raytl


class Listed:
    """A sampler that suggests the listed trials."""

    learns = False

    def __init__(self, trials: list[dict[str, Any]]) -> None:
        self._trials = iter(trials)

    def ask(self) -> dict[str, Any] | None:
        return next(self._trials, None)

    def tell(self, *_: Any) -> None:
        pass


def run_raytl(
    study: Study, trials: list[dict[str, Any]], run: Path, listeners: Sequence[Listener] = ()
) -> list[Record]:
    """Train the listed trials, without controls and confirmation."""
    search_config = study.search.model_copy(update={"trials": len(trials), "parallel": 1})
    study = study.model_copy(update={"search": search_config})
    checked, objective, storage = preflight(study), objective_metric(study), RunStorage(run)
    progress = Progress(study, objective, storage)
    with ray_session() as cluster:
        identity = Identity.of(checked, device_kind(study))
        search = StudySearch(
            study, checked.space, Listed(trials), objective, scope=uuid.uuid4().hex, controls=(),
            memory=Recall(storage, identity, study.study, study.train.epochs, None, resumed=False),
            listeners=listeners,
        )  # fmt: skip
        run_trials(study, storage, search, plan(study, cluster.nodes()), progress)
    return search.records()


# ---------------------------------------------------------------- both


def summary(side: str, results: Any) -> dict[str, Any]:
    """Return the mean last accuracy, and for each depth the median seconds of an epoch."""
    seconds: dict[str, list[float]] = {}
    accuracies, began = [], []
    for result in results:
        if side == "raytl":
            accuracies.append(result.last["target/validation_accuracy"])
            totals = [0.0, *(metrics["seconds"] for metrics in result.curve)]
            depth = result.config["trial"]["frozen_depth"]
            seconds.setdefault(depth, []).extend(np.diff(totals))
        else:
            accuracies.append(float(result["accuracy"].iloc[-1]))
            depth = result["depth"].iloc[0]
            seconds.setdefault(depth, []).extend(result["epoch_seconds"])
            began.append(float(result["began"].iloc[0]))
    first = {"first_trial_after": min(began) - psutil.Process().create_time()} if began else {}
    return first | {
        "trials": len(accuracies),
        "mean_accuracy": float(np.mean(accuracies)),
        "epoch_seconds": {depth: float(np.median(values)) for depth, values in seconds.items()},
    }


def one_side(side: str, args: argparse.Namespace) -> None:
    """Run one side in this process and print its summary."""
    study, trials = make_study(args), configurations(args.workload)[: args.configs]
    with tempfile.TemporaryDirectory() as folder:
        if side == "raytl":
            os.environ["RAYTL_CACHE"] = f"{folder}/cache"
            results: Any = run_raytl(study, trials, Path(folder) / "raytl")
        else:
            results = run_plain(study, trials, Path(folder), reuse=side == "reusing")
    print("RESULT " + json.dumps(summary(side, results)))


def timed_side(side: str, args: argparse.Namespace, configs: int) -> dict[str, Any]:
    command = [
        sys.executable, __file__, args.workload, "--data", str(args.data), "--side", side,
        "--epochs", str(args.epochs), "--configs", str(configs), "--size", str(args.size),
    ]  # fmt: skip
    figures, seconds = run_side(command, side)
    figures |= {"seconds": seconds}
    print(f"{side}: {configs} configurations in {seconds:.1f} s, {figures}", flush=True)
    return figures


def limit(args: argparse.Namespace, plain: dict[str, Any], ours: dict[str, Any]) -> float:
    """Return the ratio of all epochs' seconds in plain to those on stored features: what reuse can
    give alone, were everything else free."""
    depths = [trial["frozen_depth"] for trial in configurations(args.workload)[: args.configs]]
    theirs = sum(plain["epoch_seconds"][depth] for depth in depths)
    return theirs / sum(ours["epoch_seconds"][depth] for depth in depths)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("workload", choices=["heads", "depths"])
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--configs", type=int, default=24)
    parser.add_argument("--size", type=int, default=224, help="side of the images, pixels")
    parser.add_argument("--plain-configs", type=int, help="on the plain sides, scaled to all")
    parser.add_argument("--skip", nargs="*", default=[], choices=SIDES)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--quick", action="store_true", help="2 configurations, 96 pixels")
    args = parser.parse_args()
    if args.side:
        one_side(args.side, args)
        return
    if args.quick:
        args.epochs, args.configs, args.size = 1, 2, 96
    few = args.plain_configs or args.configs
    figures: dict[str, Any] = {}
    for side in SIDES:
        if side not in args.skip:
            figures[side] = timed_side(side, args, args.configs if side == "raytl" else few)
    if few != args.configs:
        for side in ("plain", "reusing"):
            if side in figures:
                start = figures[side]["first_trial_after"]
                work = (figures[side]["seconds"] - start) * args.configs / few
                figures[side] |= {"measured_configs": few, "scaled_seconds": start + work}
                print(f"{side}: scaled from {few} to {args.configs}: {start + work:.1f} s")
    ours = figures["raytl"]["seconds"]
    ratios: dict[str, float] = {
        side: figures[side].get("scaled_seconds", figures[side]["seconds"]) / ours
        for side in ("plain", "reusing")
        if side in figures
    }
    if "plain" in figures:
        ratios["limit_of_reuse_alone"] = limit(args, figures["plain"], figures["raytl"])
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.1f} times raytl's seconds")
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"
    line = {"name": f"sweep_reuse {args.workload}", "ratios": ratios, "figures": figures}
    print(json.dumps(line | {"machine": machine, "torch": torch.__version__}))


if __name__ == "__main__":
    main()
