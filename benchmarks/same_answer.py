"""One study in several ways: one, two and four trials at once, killed and resumed, with a warm
cache, and once more from the trial store. Its answer must be the same each time.

The study is the demo's; its data and source models are made first, and are not timed. "Killed" ends
a trial's process every few seconds, and the driver, with all of its cluster, once. Seconds are from
process start to exit.

    python benchmarks/same_answer.py [--trials 24] [--only "2 slots" …]
"""

import argparse
import json
import logging
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

import raytl
from raytl.config import load_study
from raytl.demo import DEMOS, make_inputs, settings_in, study_file

KILL_EVERY_S = (8.0, 16.0)
DRIVER_DIES_AFTER = 12  # trials


@dataclass(frozen=True)
class Way:
    """How the study is run. `cache`: the name of its cache folder, shared by ways that name it."""

    slots: int
    cache: str
    killed: bool = False
    store: bool = False


WAYS = {
    "2 slots": Way(2, "two"),
    "1 slot": Way(1, "one"),
    "4 slots": Way(4, "four"),
    "2 slots, warm prefix features": Way(2, "two"),
    "2 slots, killed": Way(2, "killed", killed=True),
    "4 slots, killed": Way(4, "killed too", killed=True),
    "2 slots, into the store": Way(2, "store", store=True),
    "2 slots, from the store": Way(2, "store", store=True),
}


def one_run(args: argparse.Namespace) -> None:
    """Run or resume the study in this process, on a cluster of its own with so many CPUs."""
    import ray

    ray.init(
        address="local", num_cpus=args.slots, include_dashboard=False, log_to_driver=False,
        logging_level=logging.ERROR,
    )  # fmt: skip
    study = load_study(study_file(DEMOS["images"]), args.set)
    raytl.verbs.sweep(study, args.run, resume=(args.run / "study.yaml").exists(), store=args.store)


def trial_processes(driver: int) -> list[psutil.Process]:
    try:
        processes = psutil.Process(driver).children(recursive=True)
        return [p for p in processes if p.name().startswith("ray::ImplicitFunc.train")]
    except psutil.Error:
        return []


def kill_trials(driver: subprocess.Popen[bytes], killed: list[int], over: threading.Event) -> None:
    generator = random.Random(0)
    while not over.wait(generator.uniform(*KILL_EVERY_S)):
        found = trial_processes(driver.pid)
        if found:
            victim = generator.choice(found)
            victim.kill()
            killed.append(victim.pid)


def run_way(way: Way, run: Path, folder: Path, sets: list[str]) -> dict[str, Any]:
    """Run the study to its end; return its seconds and what was killed."""
    command = [
        sys.executable, __file__, "--run", str(run), "--slots", str(way.slots),
        *(["--store"] if way.store else []), *(part for one in sets for part in ("--set", one)),
    ]  # fmt: skip
    env = os.environ | {"RAYTL_CACHE": str(folder / way.cache)}
    start, killed, drivers = time.perf_counter(), list[int](), 0
    while True:
        driver = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
        over = threading.Event()
        killer = threading.Thread(target=kill_trials, args=(driver, killed, over), daemon=True)
        if way.killed:
            killer.start()
        if way.killed and not drivers:
            drivers = kill_driver(driver, lambda: len(list(run.glob("*/record.json"))))
        status = driver.wait()
        over.set()
        if status == 0:
            break
        if not way.killed:
            raise SystemExit(f"exit status {status}")
    return {
        "seconds": time.perf_counter() - start, "trials killed": len(killed),
        "drivers killed": drivers,
    }  # fmt: skip


def kill_driver(driver: subprocess.Popen[bytes], ended: Callable[[], int]) -> int:
    while driver.poll() is None and ended() < DRIVER_DIES_AFTER:
        time.sleep(0.2)
    processes = psutil.Process(driver.pid).children(recursive=True)
    driver.kill()
    for process in processes:
        try:
            process.kill()
        except psutil.Error:
            continue
    return 1


def answer(run: Path) -> Any:
    """Return the leaderboard and the confirmation but for seconds."""
    files = [run / "leaderboard.json", run / "confirmation.json"]
    return [timeless(json.loads(file.read_text(encoding="utf-8"))) for file in files]


def timeless(content: Any) -> Any:
    if isinstance(content, dict):
        return {k: timeless(v) for k, v in content.items() if "seconds" not in k}
    return [timeless(each) for each in content] if isinstance(content, list) else content


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=24)
    parser.add_argument("--only", nargs="*", default=list(WAYS))
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--slots", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--store", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--set", action="append", default=[], help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run is not None:
        one_run(args)
        return
    rows: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="same_answer-") as name:
        folder = Path(name)
        make_inputs(DEMOS["images"], folder)
        sets = [*settings_in(DEMOS["images"], folder), f"search.trials={args.trials}"]
        answers = []
        for index, way in enumerate(args.only):
            run = folder / f"run-{index}"
            rows[way] = run_way(WAYS[way], run, folder, sets)
            answers.append(answer(run))
            rows[way]["same"] = answers[-1] == answers[0]
            sentence = answers[-1][1]["verdict"]["sentence"]
            print(f"{way:32s} {rows[way]}\n  {sentence}", flush=True)
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
