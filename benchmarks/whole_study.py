"""A whole study, controls, search and confirmation, through raytl and through plain Ray Tune.

Sides, each in a process tree of its own, two trials at once with one thread each, timed from
process start to exit:
  raytl    `raytl sweep STUDY`, its cache empty
  plain    the same trials as a function trainable of Ray Tune and torch: see plain_trial.py. Which
           ones raytl's run says: every searched trial with the epochs that early stopping gave it
           there, every try of a control whole, and with the fewest seeds of `confirm.seeds` every
           control and candidate retrained (those that raytl gave more seeds: with as many)

    python benchmarks/whole_study.py search_spaces/hymenoptera.yaml --data data [--whole]

Without `--whole` plain runs one epoch (`--plain-epochs`) of each kind of trial (recipe, source
model, frozen blocks, mapper), two of a kind side by side, and some trials without an epoch for what
starting one costs; that is scaled by the counts as if both slots were always busy, and said. Then
it also says what plain would take with no more epochs than raytl had (`same_work`).

What plain leaves out, to its favour: checkpoints, TensorBoard files, a report, the source domain's
validation rows, and of the scores without labels all but the nuclear norm.

`--reuse-actors` and `--tuned` give plain Tune what its user may think of: `reuse_actors=True`;
`channels_last` and freed memory kept in the process, as raytl has them.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
import torchvision
from plain_trial import Arrays, plain_trial
from ray import tune
from sides import run_side

from raytl.config import Study, load_study
from raytl.data.domain import Domain
from raytl.modalities.registry import modality_of
from raytl.recipes import RECIPES
from raytl.tasks.columns import LabelColumn
from raytl.training.material import Samples, open_domains
from raytl.training.splits import source_rows, target_rows

SLOTS = 2  # trials at once
STARTS = 8  # trials without an epoch; the first SLOTS are not counted
PHASES = ("controls", "search", "confirmation")
Kind = tuple[str, str, int, str]  # recipe, source model, frozen blocks, mapper


@dataclass(frozen=True)
class Work:
    """A trial of the list. `epochs`: what plain trains; `raytl_epochs`: what raytl trained, 0 where
    it left the trial out."""

    phase: str
    trial: dict[str, Any]
    trainable: int
    epochs: int
    raytl_epochs: int

    @property
    def kind(self) -> Kind:
        trial = self.trial
        return trial["recipe"], trial["source_model"], trial["frozen_blocks"], trial["mapper"]


def listed(study: Study, run: Path) -> list[Work]:
    """Return the trials that plain Tune does for what raytl did in `run`. Trials that failed are
    left out, and so is the constant control, which trains nothing."""
    rows = json.loads((run / "leaderboard.json").read_text(encoding="utf-8"))["trials"]
    rows = [row for row in rows if row["status"] in ("completed", "stopped early")]
    rows = [row for row in rows if row["control"] != "constant"]
    every = study.train.epochs
    work = []
    for row in rows:
        phase, epochs = ("controls", every) if row["control"] else ("search", row["epochs"])
        work.append(work_of(row, phase, epochs, row["epochs"]))
    work.sort(key=lambda one: PHASES.index(one.phase))
    for row, done in confirmed(study, rows, run):
        counts = [every] * done + [0] * (study.confirm.seed_counts[0] - done)
        work += [work_of(row, "confirmation", every, count) for count in counts]
    return work


def work_of(row: dict[str, Any], phase: str, epochs: int, raytl_epochs: int) -> Work:
    return Work(phase, row["config"], row["trainable_parameters"], epochs, raytl_epochs)


def confirmed(
    study: Study, rows: list[dict[str, Any]], run: Path
) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield the leaderboard's row of each control and candidate, controls first, and how often
    raytl retrained it."""
    file = json.loads((run / "confirmation.json").read_text(encoding="utf-8"))
    done = {candidate["trial"]: len(candidate["runs"]) for candidate in file["candidates"]}
    retrained = [row for row in rows if row["trial"] in done]
    names = {row["control"] for row in retrained}
    left_out: dict[str, dict[str, Any]] = {}
    for row in rows:  # ranked: a control's best comes first
        if row["control"] and row["control"] not in names:
            left_out.setdefault(row["control"], row)
    for row in sorted(retrained, key=lambda row: row["control"] is None):
        yield row, done[row["trial"]]
    for row in left_out.values():
        yield row, 0


# ---------------------------------------------------------------- raytl


def run_raytl(args: argparse.Namespace, folder: Path) -> float:
    """Run the study into `folder`/run, and return its seconds from process start to exit."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data").symlink_to(args.data.resolve())
    sets = [*(args.set or []), f"resources.max_concurrent={SLOTS}"]
    command = [
        sys.executable, "-m", "raytl.cli", "sweep", str(args.study.resolve()),
        "--out", str(folder / "run"), *(part for one in sets for part in ("--set", one)),
    ]  # fmt: skip
    own = {"RAYTL_ROOT": str(folder), "RAYTL_CACHE": str(folder / "cache")}
    start = time.perf_counter()
    done = subprocess.run(command, env=os.environ | own, stdout=subprocess.PIPE, check=False)
    seconds = time.perf_counter() - start
    print(done.stdout.decode(), flush=True)
    if done.returncode:
        raise SystemExit(f"raytl: exit status {done.returncode}")
    return seconds


def trial_seconds(run: Path) -> dict[str, float]:
    """Return the seconds of raytl's trials by phase, summed over trials. Fused ones count their
    waiting for each other too."""
    seconds = dict.fromkeys(PHASES, 0.0)
    for row in json.loads((run / "leaderboard.json").read_text(encoding="utf-8"))["trials"]:
        seconds["controls" if row["control"] else "search"] += row["seconds"]
    file = json.loads((run / "confirmation.json").read_text(encoding="utf-8"))
    runs = [run for candidate in file["candidates"] for run in candidate["runs"]]
    return seconds | {"confirmation": sum(run["seconds"] for run in runs)}


# ---------------------------------------------------------------- plain Ray Tune


def read(study: Study) -> dict[str, Arrays]:
    """Return the rows that trials read, as raytl draws them, ready for the network."""
    config, *more = study.source_models.values()
    assert not more, "plain_trial.py knows studies with one source model"
    domains, seed = open_domains(study), study.search.seed
    target, source, splits = domains.target, domains.source, study.target_domain.splits
    (name,) = target.inputs
    column, samples = target.columns[name], Samples(domains, seed)
    transform: Any = modality_of(column).fit(config, column, lambda: samples(name))

    def arrays(domain: Domain, split: str, rows: np.ndarray | range) -> Arrays:
        (image,) = domain.inputs
        x = transform.prepare(domain.split(split).read(image, rows))
        parts = [transform(part).contiguous() for part in x.split(256)]
        return torch.cat(parts).numpy(), domain.targets(split)[rows]

    drawn = target_rows(target, seed)
    data = {
        "validation": arrays(target, drawn.validation_split, drawn.validation),
        "test": arrays(target, splits.test, range(target.split(splits.test).rows)),
    }
    if study.labelled:
        data["labelled"] = arrays(target, splits.train, drawn.labelled)
    if source is not None:
        of_source = source_rows(source, seed)
        data["source"] = arrays(source, source.config.splits.train, of_source.train)
        data["target"] = arrays(target, splits.train, drawn.unlabelled)
    return data


def count_classes(study: Study) -> int:
    column = Domain.open(study.target_domain).target_column
    assert isinstance(column, LabelColumn)
    return len(column.classes)


def config_of(study: Study, work: Work, epochs: int, tuned: bool) -> dict[str, Any]:
    """Return Tune's configuration of a trial that is to train `epochs`."""
    source = study.source_models[work.trial["source_model"]]
    fresh = RECIPES[work.trial["recipe"]].fresh_backbone
    return {
        "phase": work.phase, "trial": work.trial, "trainable": work.trainable,
        "frozen": work.trial["frozen_blocks"], "backbone": source.torchvision or source.backbone,
        "weights": None if fresh else source.weights, "tuned": tuned, "seed": 0,
        "classes": count_classes(study),
        "epochs": epochs, "of_epochs": study.train.epochs, "steps": study.train.steps_per_epoch,
        "batch_size": study.train.batch_size, "test": work.phase == "confirmation",
    }  # fmt: skip


class Ends(tune.Callback):
    """Notes when each trial ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self.ends.append(time.perf_counter())


class Plain:
    """Plain Tune over one study's data."""

    def __init__(self, study: Study, args: argparse.Namespace, folder: Path) -> None:
        self._study, self._args, self._folder = study, args, folder
        ray.init(address="local", num_cpus=SLOTS, include_dashboard=False, log_to_driver=False)
        trainable = tune.with_parameters(plain_trial, data=read(study))
        self._trainable = tune.with_resources(trainable, {"cpu": 1})
        self.fitting = 0.0  # seconds of all fits

    def fit(self, work: list[Work], epochs: list[int]) -> tuple[list[Any], list[float]]:
        """Run the trials for so many epochs; return their results, and when each ended."""
        start, ends = time.perf_counter(), Ends()
        pairs = zip(work, epochs, strict=True)
        trials = [config_of(self._study, *pair, self._args.tuned) for pair in pairs]
        tuner = tune.Tuner(
            self._trainable,
            param_space={"config": tune.grid_search(trials)},
            tune_config=tune.TuneConfig(reuse_actors=self._args.reuse_actors),
            run_config=tune.RunConfig(storage_path=str(self._folder), callbacks=[ends], verbose=0),
        )
        results = tuner.fit()
        assert not results.errors, results.errors
        self.fitting += time.perf_counter() - start
        return [results[i] for i in range(len(results))], ends.ends


def run_all(plain: Plain, work: list[Work]) -> dict[str, Any]:
    """Run every trial: controls and search together, then confirmation."""
    seconds = dict.fromkeys(PHASES, 0.0)
    for part in (PHASES[:2], PHASES[2:]):
        chosen = [one for one in work if one.phase in part]
        results, _ = plain.fit(chosen, [one.epochs for one in chosen])
        for one, result in zip(chosen, results, strict=True):
            seconds[one.phase] += result.metrics["time_total_s"]
    return {"trial_seconds": seconds}


def run_part(plain: Plain, work: list[Work], epochs: int) -> dict[str, Any]:
    """Measure what starting a trial costs, and an epoch and a test pass of each kind."""
    _, ends = plain.fit([work[0]] * STARTS, [0] * STARTS)
    start = SLOTS * (ends[-1] - ends[SLOTS - 1]) / (STARTS - SLOTS)
    ordered = sorted(work, key=lambda one: one.phase != "confirmation")  # those have a test pass
    of_kind = {one.kind: one for one in reversed(ordered)}
    pairs = [one for one in of_kind.values() for _ in range(SLOTS)]
    results, _ = plain.fit(pairs, [epochs] * len(pairs))
    frames = [result.metrics_dataframe for result in results]
    costs: dict[Kind, tuple[float, float]] = {}
    for number, kind in enumerate(of_kind):
        both = frames[SLOTS * number : SLOTS * (number + 1)]
        epoch = float(np.mean([frame["epoch_seconds"].mean() for frame in both]))
        tests = [frame["test_seconds"].iloc[-1] for frame in both if "test_seconds" in frame]
        costs[kind] = epoch, float(np.mean(tests)) if tests else 0.0
    return scaled(work, start, costs)


def scaled(
    work: list[Work], start: float, costs: dict[Kind, tuple[float, float]]
) -> dict[str, Any]:
    """Return the trials' seconds in all: `start` to begin one, and by kind those of an epoch and of
    a test pass. `same_work`: had plain left out what raytl left out."""
    seconds, same_work = dict.fromkeys(PHASES, 0.0), 0.0
    for one in work:
        epoch, test = costs[one.kind]
        once = start + (test if one.phase == "confirmation" else 0.0)
        seconds[one.phase] += once + one.epochs * epoch
        same_work += once + one.raytl_epochs * epoch if one.raytl_epochs else 0.0
    measured = {" ".join(map(str, kind)): cost for kind, cost in costs.items()}
    return {
        "trial_seconds": seconds, "same_work": same_work, "start_seconds": start,
        "epoch_and_test_seconds": measured,
    }  # fmt: skip


def plain_side(args: argparse.Namespace, folder: Path) -> None:
    """Run plain Tune in this process, and print what came of it."""
    study = load_study(args.run / "study.yaml")
    work = listed(study, args.run)
    plain = Plain(study, args, folder)
    found = run_all(plain, work) if args.whole else run_part(plain, work, args.plain_epochs)
    ray.shutdown()
    print("RESULT " + json.dumps(found | {"fitting": plain.fitting}))


def run_plain(args: argparse.Namespace, run: Path) -> dict[str, Any]:
    """Run plain Tune in a process of its own. `seconds`: from its start to its exit, or scaled."""
    options = {"--whole": args.whole, "--tuned": args.tuned, "--reuse-actors": args.reuse_actors}
    command = [
        sys.executable, __file__, str(args.study), "--side", "plain", "--run", str(run),
        "--plain-epochs", str(args.plain_epochs), *(name for name, on in options.items() if on),
    ]  # fmt: skip
    figures, seconds = run_side(command, "plain")
    outside = seconds - figures.pop("fitting")  # Ray's start, reading the data, exit
    if not args.whole:
        figures["measured_seconds"] = seconds
        seconds = outside + sum(figures["trial_seconds"].values()) / SLOTS
        figures["same_work"] = outside + figures["same_work"] / SLOTS
    return figures | {"seconds": seconds}


# ---------------------------------------------------------------- both


def counts(work: list[Work]) -> dict[str, dict[str, int]]:
    """Return trials and epochs of each phase, raytl's and plain's."""
    found = {}
    for phase in PHASES:
        of_phase = [one for one in work if one.phase == phase]
        found[phase] = {
            "trials": len(of_phase),
            "epochs": sum(one.epochs for one in of_phase),
            "raytl_trials": sum(one.raytl_epochs > 0 for one in of_phase),
            "raytl_epochs": sum(one.raytl_epochs for one in of_phase),
        }
    return found


def compare(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run both sides and print their figures."""
    run = folder / "run"
    ours = {"seconds": run_raytl(args, folder), "trial_seconds": trial_seconds(run)}
    print(f"raytl: {ours['seconds']:.1f} s, {ours['trial_seconds']}", flush=True)
    work = counts(listed(load_study(run / "study.yaml"), run))
    for phase, of_phase in work.items():
        print(f"{phase}: {of_phase}", flush=True)
    plain = run_plain(args, run)
    how = "run whole" if args.whole else f"scaled from {plain['measured_seconds']:.1f} s of parts"
    print(f"plain: {plain['seconds']:.1f} s, {how}, {plain}")
    ratios = {"plain": plain["seconds"] / ours["seconds"]}
    print(f"plain takes {ratios['plain']:.1f} times raytl's seconds")
    if "same_work" in plain:
        ratios["same_work"] = plain["same_work"] / ours["seconds"]
        print(f"with no more epochs than raytl had it takes {ratios['same_work']:.1f} times")
    return {"ratios": ratios, "work": work, "figures": {"raytl": ours, "plain": plain}}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("study", type=Path, help="hymenoptera.yaml or mnist_to_usps.yaml")
    parser.add_argument("--data", type=Path, default=Path("data"), help="the studies' data/")
    parser.add_argument("--whole", action="store_true", help="run all of plain's trials")
    parser.add_argument("--plain-epochs", type=int, default=1, help="of each kind, scaled to all")
    parser.add_argument("--reuse-actors", action="store_true", help="on the plain side")
    parser.add_argument("--tuned", action="store_true", help="on the plain side")
    parser.add_argument("--set", action="append", help="key=value, handed on to raytl")
    parser.add_argument("--keep", type=Path, help="where raytl's run and its cache are kept")
    parser.add_argument("--quick", action="store_true", help="2 searched trials of 1 epoch")
    parser.add_argument("--side", choices=["plain"], help=argparse.SUPPRESS)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.quick:
        shorter = ["search.trials=2", "train.epochs=1", "confirm.top=1", "confirm.seeds=3"]
        args.set = [*shorter, *(args.set or [])]
    with tempfile.TemporaryDirectory() as name:
        if args.side:
            plain_side(args, Path(name))
            return
        figures = compare(args, args.keep or Path(name))
    options = {"whole": args.whole, "reuse_actors": args.reuse_actors, "tuned": args.tuned}
    versions = {module.__name__: module.__version__ for module in (ray, torch, torchvision)}
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"
    line = {"name": f"whole_study {args.study.stem}"} | options | figures
    print(json.dumps(line | {"set": args.set, "machine": machine, "versions": versions}))


if __name__ == "__main__":
    main()
