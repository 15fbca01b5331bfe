"""Fill the digits table: MNIST→USPS and USPS→MNIST without target labels, eight recipes.

Every recipe gets the same backbone, budget and number of configurations (two weights of what it
adds to the task loss, or two learning rates where it adds nothing), each trained with every seed.
Mapped features are normalised over the batch, as in the published networks, in adda, which is
unstable without, and in one configuration of cdan.
Chosen per recipe: without labels, by each validator's mean over seeds; and by the oracle, the
target's validation labels. What stands in the table is the chosen configuration's accuracy on the
target's test split after the last epoch, mean ± standard error over seeds.

    python benchmarks/digits_table.py --data data --out runs/digits_table.jsonl

`--data` holds the shards `mnist` and `usps` that the README makes. A finished run is one line in
`--out`; started again, the benchmark goes on with what is missing.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from raytl.errors import TrainingError

DIRECTIONS = {"mnist→usps": ("mnist", "usps"), "usps→mnist": ("usps", "mnist")}
NETWORK = {"source_model": "lenet", "mapper": "mlp", "optimizer": "sgd", "optimizer.lr": 0.02}
NORMALISED = {"mapper.batch_norm": True, "optimizer.lr": 0.01}
CONFIGS: dict[str, list[dict[str, Any]]] = {
    "source_only": [{"optimizer.lr": 0.02}, {"optimizer.lr": 0.05}],
    "dann": [{"adversarial_lambda": 0.2}, {"adversarial_lambda": 1.0}],
    "cdan": [{"adversarial_lambda": 0.2}, {"adversarial_lambda": 1.0} | NORMALISED],
    "dan": [{"alignment_lambda": 0.3}, {"alignment_lambda": 1.0}],
    "deep_coral": [{"alignment_lambda": 10.0}, {"alignment_lambda": 100.0}],
    "mcc": [{"alignment_lambda": 0.3}, {"alignment_lambda": 1.0}],
    "mdd": [{"adversarial_lambda": 0.03}, {"adversarial_lambda": 0.1}],
    "adda": [
        {"adversarial_lambda": 0.3} | NORMALISED,
        {"adversarial_lambda": 0.3} | NORMALISED | {"optimizer.lr": 0.02},
    ],
}
# Transfer-Learning-Library v0.3, LeNet, selected on the labelled target.
PUBLISHED = {
    "source_only": (82.1, 74.6),
    "dann": (91.7, 95.2),
    "cdan": (96.0, 97.7),
    "dan": (86.0, 89.5),
    "mdd": (94.8, 97.8),
    "mcc": (95.1, 94.6),
    "adda": (94.5, 98.3),
}
VALIDATOR = "target/validator/"
Record = dict[str, Any]


def one_run(data: str, direction: str, recipe: str, config: int, seed: int, budget: Any) -> Record:
    """Train one configuration with one seed; return its line of the results."""
    import torch

    from raytl.config import Study, TrialConfig
    from raytl.memory import keep_freed_memory
    from raytl.training.material import Material
    from raytl.training.trial import run_trial

    keep_freed_memory()
    torch.set_num_threads(1)
    source, target = DIRECTIONS[direction]
    study = Study.model_validate(
        {
            "study": "digits_table",
            "source_domain": {"dataset": f"{data}/{source}"},
            "target_domain": {"dataset": f"{data}/{target}", "labels": "none"},
            "source_models": {"lenet": {"backbone": "lenet"}},
            "space": {"recipe": {"choice": [recipe]}},
            "train": {"batch_size": 64} | budget,
        }
    )
    flat = NETWORK | {"recipe": recipe} | CONFIGS[recipe][config]
    last: Record = {}
    start = time.perf_counter()
    trial = TrialConfig.from_flat(flat)
    run_trial(Material.of(study), trial, seed, lambda metrics, _: last.update(metrics), test=True)
    return {
        "direction": direction,
        "recipe": recipe,
        "config": config,
        "seed": seed,
        "budget": budget,
        "seconds": time.perf_counter() - start,
        "test": last["test/accuracy"],
        "oracle": last["oracle/target_validation_accuracy"],
        "validators": {
            key.removeprefix(VALIDATOR): value
            for key, value in last.items()
            if key.startswith(VALIDATOR)
        },
    }


def fill(args: argparse.Namespace, budget: dict[str, int]) -> list[Record]:
    """Run what the results file lacks; return all results of this budget."""
    out: Path = args.out
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    records = [r for r in map(json.loads, lines) if r["budget"] == budget]
    keys = ("direction", "recipe", "config", "seed")
    done = {tuple(r[key] for key in keys) for r in records}
    wanted = [
        (direction, recipe, config, seed)
        for seed in range(args.seeds)
        for direction in DIRECTIONS
        for recipe, configs in CONFIGS.items()
        for config in range(len(configs))
        if not args.only or f"{recipe}:{config}" in args.only
    ]
    missing = [key for key in wanted if key not in done]
    print(f"{len(wanted) - len(missing)} of {len(wanted)} runs are there", flush=True)
    out.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        data = str(args.data.resolve())
        futures = [pool.submit(one_run, data, *key, budget) for key in missing]
        for future in as_completed(futures):
            if isinstance(future.exception(), TrainingError):
                print(f"left out, a run diverged: {future.exception()}", flush=True)
                continue
            record = future.result()
            records.append(record)
            with out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            print(
                f"{record['direction']} {record['recipe']} #{record['config']} seed "
                f"{record['seed']}: {100 * record['test']:.1f} % in {record['seconds']:.0f} s",
                flush=True,
            )
    return records


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def choose(records: list[Record], score: Callable[[Record], float]) -> list[Record]:
    """Return the runs of the configuration with the best mean score over seeds."""
    configs = sorted({r["config"] for r in records})
    runs = {c: [r for r in records if r["config"] == c] for c in configs}
    return max(runs.values(), key=lambda rs: mean([score(r) for r in rs]))


def choose_by_ranks(records: list[Record]) -> list[Record]:
    """Return the runs of the configuration with the best mean rank over all validators."""
    from raytl.scoring.ensemble import mean_ranks

    configs = sorted({r["config"] for r in records})
    runs = [[r for r in records if r["config"] == c] for c in configs]
    scores = [
        {name: mean([r["validators"][name] for r in rs]) for name in rs[0]["validators"]}
        for rs in runs
    ]
    ranks = mean_ranks(scores)
    return runs[ranks.index(min(ranks))]


def cell(records: list[Record]) -> str:
    from raytl.sweeping.verdict.statistics import mean_and_standard_error

    value, error = mean_and_standard_error([100 * r["test"] for r in records])
    return f"{value:.1f} ± {error:.1f}" if len(records) > 1 else f"{value:.1f}"


def test_mean(records: list[Record]) -> float:
    return 100 * mean([r["test"] for r in records])


def show(records: list[Record], default: str) -> dict[str, Any]:
    """Print both tables as Markdown; return each validator's mean gap to the oracle, points."""
    validators = sorted({name for r in records for name in r["validators"]})
    print(f"\n| recipe | direction | published | oracle | without labels ({default}) |")
    print("|---|---|---|---|---|")
    gaps: dict[str, list[float]] = {name: [] for name in [*validators, "ensemble"]}
    for direction_index, direction in enumerate(DIRECTIONS):
        for recipe in CONFIGS:
            runs = [r for r in records if (r["direction"], r["recipe"]) == (direction, recipe)]
            if not runs:
                continue
            oracle = choose(runs, lambda r: r["oracle"])
            chosen = {
                name: choose(runs, lambda r, name=name: r["validators"][name])  # type: ignore[misc]
                for name in validators
            }
            chosen["ensemble"] = choose_by_ranks(runs)
            for name, picked in chosen.items():
                gaps[name].append(test_mean(oracle) - test_mean(picked))
            published = PUBLISHED.get(recipe)
            known = "–" if published is None else f"{published[direction_index]:.1f}"
            print(
                f"| {recipe} | {direction} | {known} | {cell(oracle)} | {cell(chosen[default])} |"
            )
    mean_gaps = {name: mean(values) for name, values in gaps.items() if values}
    print("\n| validator | mean gap to the oracle, points | largest |")
    print("|---|---|---|")
    for name, gap in sorted(mean_gaps.items(), key=lambda item: item[1]):
        print(f"| {name} | {gap:.2f} | {max(gaps[name]):.1f} |")
    show_between_recipes(records, validators)
    return mean_gaps


def show_between_recipes(records: list[Record], validators: list[str]) -> None:
    """Print what each validator, and the oracle, chooses among all recipes' configurations."""
    scores: dict[str, Callable[[Record], float]] = {"oracle": lambda r: r["oracle"]}
    for name in validators:
        scores[name] = lambda r, name=name: r["validators"][name]  # type: ignore[misc]
    print("\n| chosen between recipes by | " + " | ".join(DIRECTIONS) + " |")
    print("|---|" + "---|" * len(DIRECTIONS))
    for name, score in scores.items():
        cells = []
        for direction in DIRECTIONS:
            runs = [r for r in records if r["direction"] == direction]
            grouped = [
                [r for r in runs if (r["recipe"], r["config"]) == key]
                for key in {(r["recipe"], r["config"]) for r in runs}
            ]
            picked = max(grouped, key=lambda rs: mean([score(r) for r in rs]))
            cells.append(f"{picked[0]['recipe']}, {cell(picked)}")
        print(f"| {name} | " + " | ".join(cells) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=Path("runs/digits_table.jsonl"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=400, help="steps an epoch")
    parser.add_argument("--only", nargs="*", help="runs of these alone, e.g. cdan:0 mdd:1")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, one thread each")
    parser.add_argument("--validator", default="bnm", help="the label-free choice that is shown")
    parser.add_argument("--quick", action="store_true", help="one seed and configuration, 20 steps")
    args = parser.parse_args()
    if args.quick:
        args.seeds, args.epochs, args.steps = 1, 1, 20
        args.only = [f"{recipe}:0" for recipe in CONFIGS]
    budget = {"epochs": args.epochs, "steps_per_epoch": args.steps}
    records = fill(args, budget)
    gaps = show(records, args.validator)
    seconds = sum(r["seconds"] for r in records)
    figures = {"runs": len(records), "seconds_of_one_core": round(seconds), "budget": budget}
    machine = f"{platform.processor() or platform.machine()}, Python {platform.python_version()}"
    line = {"name": "digits_table", "mean_gap_points": gaps, "figures": figures, "machine": machine}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
