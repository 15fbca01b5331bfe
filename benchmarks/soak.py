"""How many faults do studies survive? Kills what can be killed, again and again.

On a Ray cluster of several nodes on this machine (a head that runs no trial, and nodes of one CPU
each) one small study runs undisturbed; then the same study runs over and over while, every few
seconds, one of these is killed with SIGKILL, chosen by a seeded die:

  trial   a process that trains: a trial's actor, or one of its several workers
  node    a whole node (raylet and all that runs on it); a new one takes its place
  driver  `raytl sweep` itself, which is then started again with --resume

A study survived where it ended with the undisturbed study's leaderboard: the same trials, each
once, with the same metrics.

    python benchmarks/soak.py --minutes 20
    python benchmarks/soak.py --minutes 20 --workers 2     # several workers a trial
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil
from ray.cluster_utils import Cluster

import raytl
from raytl.config import Study, dump_study

PAUSE_S = (4.0, 15.0)  # between two faults
MOST_S = 1800.0  # for one study to end
TRAINS = ("ray::ImplicitFunc", "ray::RayTrainWorker", "ray::execute.")
TIMES = ("seconds", "log", "folder")


def make_study(folder: Path, args: argparse.Namespace) -> Path:
    raytl.shard("digits", None, folder / "digits")
    study = Study.model_validate(
        {
            "study": "soak",
            "target_domain": {"dataset": folder / "digits", "labels": "all"},
            "source_models": {"lenet": {"backbone": "lenet"}},
            "defaults": {"optimizer": "sgd"},
            "space": {"optimizer.lr": {"choice": [0.01, 0.02, 0.05, 0.1]}},
            "search": {"sampler": "grid", "trials": 4, "scheduler": "none", "control_tries": 1},
            "train": {"epochs": 4, "batch_size": 32, "steps_per_epoch": args.steps},
            "confirm": {"top": 1, "seeds": 3},
            "resources": {
                "workers_per_trial": args.workers,
                "max_concurrent": max(1, args.nodes // args.workers),
            },
        }
    )
    (folder / "study.yaml").write_text(dump_study(study), encoding="utf-8")
    return folder / "study.yaml"


class Cast:
    """The cluster and the driver that faults happen to."""

    def __init__(self, nodes: int, log: Path) -> None:
        # A lost node is noticed after 5 s instead of 15.
        health = {"health_check_period_ms": 1000, "health_check_failure_threshold": 5}
        head = {"num_cpus": 0, "include_dashboard": False, "_system_config": health}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.nodes = [self.cluster.add_node(num_cpus=1) for _ in range(nodes)]
        self.log = log.open("ab")
        self.command: list[str] = []
        self.driver: subprocess.Popen[bytes] | None = None

    def start(self, study: Path, run: Path) -> None:
        command = [sys.executable, "-m", "raytl.cli", "sweep", str(study), "--out", str(run)]
        self.command = command
        self._launch(command)

    def _launch(self, command: list[str]) -> None:
        env = os.environ | {"RAY_ADDRESS": self.cluster.address}
        self.driver = subprocess.Popen(command, stdout=self.log, stderr=self.log, env=env)

    def kill(self, kind: str, die: random.Random) -> bool:
        """Let the fault happen; whether there was anything to kill."""
        assert self.driver is not None
        if kind == "driver":
            self.driver.send_signal(signal.SIGKILL)
            self.driver.wait()
            known = Path(self.command[-1]) / "study.yaml"
            self._launch([*self.command, *(["--resume"] if known.exists() else [])])
            return True
        if kind == "node":
            lost = self.nodes.pop(die.randrange(len(self.nodes)))
            self.cluster.remove_node(lost, allow_graceful=False)
            self.nodes.append(self.cluster.add_node(num_cpus=1))
            return True
        training = [p for p in psutil.Process().children(recursive=True) if _title(p, TRAINS)]
        if training:
            die.choice(training).kill()
        return bool(training)

    def close(self) -> None:
        self.cluster.shutdown()
        self.log.close()


def _title(process: psutil.Process, titles: tuple[str, ...]) -> bool:
    try:
        return bool(process.name().startswith(titles))
    except psutil.Error:
        return False


def outcome(run: Path) -> list[dict[str, Any]]:
    """Return the leaderboard without what time and place make different."""
    board = json.loads((run / "leaderboard.json").read_text(encoding="utf-8"))["trials"]
    for row in board:
        for key in TIMES:
            row.pop(key)
        row["metrics"] = {
            key: round(value, 3) for key, value in row["metrics"].items() if key != "train/seconds"
        }
    return list(board)


def disturb(cast: Cast, run: Path, die: random.Random, end: float) -> Counter[str]:
    """Let faults happen until the study or the time is over; return how many of each kind."""
    assert cast.driver is not None
    faults: Counter[str] = Counter()
    limit = time.monotonic() + MOST_S
    pause = time.monotonic() + die.uniform(*PAUSE_S)
    while cast.driver.poll() is None:
        if time.monotonic() > limit:
            raise SystemExit(f"{run}: the study did not end within {MOST_S:g} s")
        time.sleep(0.2)
        if pause < time.monotonic() < end:
            kind = die.choices(["trial", "node", "driver"], [6, 2, 2])[0]
            if cast.kill(kind, die):
                faults[kind] += 1
                print(f"{time.strftime('%H:%M:%S')} killed a {kind}", flush=True)
            pause = time.monotonic() + die.uniform(*PAUSE_S)
    return faults


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--workers", type=int, default=1, help="of each trial")
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=100, help="of each epoch")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    die = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        study = make_study(out, args)
        cast = Cast(args.nodes, out / "driver.log")
        total: Counter[str] = Counter()
        survived = studies = 0
        try:
            start = time.monotonic()
            cast.start(study, out / "calm")
            disturb(cast, out / "calm", die, end=0.0)
            expected = outcome(out / "calm")
            print(f"undisturbed: {time.monotonic() - start:.0f} s, {len(expected)} trials")
            end = time.monotonic() + 60.0 * args.minutes
            while time.monotonic() < end:
                run = out / f"run-{studies}"
                start = time.monotonic()
                cast.start(study, run)
                faults = disturb(cast, run, die, end)
                same = cast.driver is not None and cast.driver.returncode == 0
                same = same and outcome(run) == expected
                studies += 1
                survived += same
                total += faults
                text = ", ".join(f"{count} {kind}" for kind, count in sorted(faults.items()))
                print(
                    f"study {studies}: {time.monotonic() - start:.0f} s, killed {text or 'nothing'}"
                    f": {'same leaderboard' if same else 'NOT the same leaderboard'}",
                    flush=True,
                )
                if not same:
                    print((out / "driver.log").read_text(errors="replace")[-3000:])
        finally:
            cast.close()
    killed = ", ".join(f"{count} {kind}" for kind, count in sorted(total.items()))
    print(f"{survived} of {studies} studies survived {total.total()} faults ({killed})")
    sys.exit(survived < studies)


if __name__ == "__main__":
    main()
