"""Training steps of several trials fused into one batched module, against one after the other.

Trials of finetune on SqueezeNet's stored features of hymenoptera that differ in learning rate and
dropout, one CPU, the same rows and steps on both sides; what is timed is training alone.

    python benchmarks/fused_trials.py --data data
"""

import argparse
import json
import os
import platform
import tempfile
import time
from pathlib import Path

import torch
from sweep_reuse import SEED, make_study

from raytl.config import Study, TrialConfig
from raytl.data.mixing import joint_batches
from raytl.training.fused import Member, train_fused_epoch
from raytl.training.material import Material
from raytl.training.trial import TrialRun

ARCHITECTURES = {"linear head": "identity", "mlp mapper": "mlp"}


def make_runs(study: Study, mapper: str, count: int) -> list[TrialRun]:
    base = {"source_model": "squeezenet", "frozen_depth": "100%", "optimizer": "adam"}
    trials = [
        TrialConfig.from_flat(
            base | {"mapper": mapper, "optimizer.lr": 1e-3 * (i + 1), "head.dropout": 0.1 * (i % 5)}
        )
        for i in range(count)
    ]
    material = Material.of(study)
    return [TrialRun(material, trial, SEED) for trial in trials]


def measure(study: Study, mapper: str, count: int, repeats: int) -> dict[str, float]:
    """Return each side's milliseconds of a step of one trial, the best of `repeats` epochs."""
    alone, fused = make_runs(study, mapper, count), make_runs(study, mapper, count)
    seconds: dict[str, list[float]] = {"alone": [], "fused": []}
    for _ in range(repeats):
        start = time.perf_counter()
        for run in alone:
            run.train()
        seconds["alone"].append(time.perf_counter() - start)
        start = time.perf_counter()
        train_fused_epoch(
            [Member(run.trainer, run.epoch_seed) for run in fused],
            lambda i: joint_batches(fused[i].feeds, fused[i].trainer.step),
            fused[0].steps,
            same_rows=True,
        )
        seconds["fused"].append(time.perf_counter() - start)
    steps = alone[0].steps * count
    figures = {side: 1000 * min(values) / steps for side, values in seconds.items()}
    return figures | {"trained": float(alone[0].parts.model.num_trainable())}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--trials", type=int, nargs="*", default=[2, 4, 8, 16])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="2 and 8 trials, 96 pixels")
    args = parser.parse_args()
    args.epochs, args.size = 100, 224
    if args.quick:
        args.trials, args.size, args.repeats = [2, 8], 96, 3
    torch.set_num_threads(1)
    plain = make_study(args).model_dump(mode="json", by_alias=True)
    plain["train"]["steps_per_epoch"] = 50
    study = Study.model_validate(plain)
    figures: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["RAYTL_CACHE"] = folder
        for name, mapper in ARCHITECTURES.items():
            for count in args.trials:
                found = measure(study, mapper, count, args.repeats)
                ratio = found["alone"] / found["fused"]
                figures[f"{name}, {count} trials"] = found | {"ratio": ratio}
                print(
                    f"{name} ({found['trained']:.0f} numbers trained), {count} trials: "
                    f"{found['alone']:.2f} ms a step alone, {found['fused']:.2f} ms fused, "
                    f"{ratio:.1f} times",
                    flush=True,
                )
    ratios = {name: values["ratio"] for name, values in figures.items()}
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"
    line = {"name": "fused_trials", "ratios": ratios, "figures": figures, "machine": machine}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
