"""What does a large study cost the machine that drives it?

A study of many trials that train nothing runs on a simulated cluster: real raylets on this machine,
each with the logical GPUs of a node, and a run kept on a local S3 server. Each trial keeps a small
checkpoint and reports metrics after each epoch as a real one does, without importing torch; so what
is measured is raytl's and Ray's own work:

  CPU milliseconds of the driver a trial, over the whole run and in each fifth of it: flat, where
  the cost grows with the number of trials alone
  requests to S3 of the driver and of the trials, and of the last snapshot, with its seconds; and
  what another machine takes to fetch the run, to go on with it
  memory of the driver, before the first trial and after the last

    python benchmarks/scale.py --trials 500
    python benchmarks/scale.py --trials 60 --nodes 2 --concurrent 4     # a first look
    python benchmarks/scale.py --trials 100 --profile /tmp/scale.prof
"""

import argparse
import contextlib
import cProfile
import hashlib
import json
import os
import platform
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
from counting_s3 import kinds, read_log
from pyarrow.fs import S3FileSystem
from ray.cluster_utils import Cluster

import raytl
from raytl.config import Study
from raytl.folders import make_folder
from raytl.reporting.tensorboard import TensorBoard
from raytl.sweeping import study_run
from raytl.sweeping.identity import Identity, device_kind
from raytl.sweeping.kept.errands import Errands
from raytl.sweeping.kept.lease import leased
from raytl.sweeping.kept.records import Record
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.on_ray.resources import plan
from raytl.sweeping.on_ray.tuning import ray_session
from raytl.sweeping.preflight import preflight
from raytl.sweeping.recall import Recall
from raytl.sweeping.resolving import resolved
from raytl.sweeping.search.asked_and_told import Listener
from raytl.sweeping.search.objective import objective_metric

GPUS_A_NODE = 8
PARTS = 5  # of a run, in each of which a trial's cost is measured
CHECKPOINT_BYTES = 20_000
DRIVER, TRIAL = "driver", "trial"  # access keys, by which requests are told apart
SERVER_S = 60.0  # for the S3 server to start
METRICS = (
    "target/validation_accuracy", "target/validation_f1", "target/validation_loss",
    "target/validation_ece", "train/loss/total", "train/loss/task", "train/loss/domain",
    "train/gradient_norm", "train/lr", "train/adversarial_lambda",
)  # fmt: skip


def idle(held: Any, storage: Any, config: dict[str, Any], report: Any) -> None:
    """Stand in for a trial: keep and report epochs, train nothing. Its numbers hang on its
    configuration alone."""
    seed = hashlib.sha256(json.dumps(config["trial"], sort_keys=True).encode()).digest()
    die = random.Random(seed)
    best = die.random()
    for epoch in range(1, held.study.train.epochs + 1):
        metrics = {name: best * (1 - 0.5**epoch) + 0.01 * die.random() for name in METRICS}
        metrics |= {
            "epoch": epoch, "step": 100 * epoch, "frozen_blocks": 3, "validation_rows": 100,
            "trainable_parameters": 5000, "train/seconds": 0.0,
        }  # fmt: skip
        if epoch > report.epoch:
            report(metrics, lambda folder: (folder / "checkpoint.pt").write_bytes(PAYLOAD))


PAYLOAD = bytes(CHECKPOINT_BYTES)


def make_study(folder: Path, storage_path: str, args: argparse.Namespace) -> Study:
    raytl.shard("digits", None, folder / "digits")
    return Study.model_validate(
        {
            "study": "scale",
            "target_domain": {"dataset": folder / "digits", "labels": "all"},
            "source_models": {"lenet": {"backbone": "lenet"}},
            "space": {
                "optimizer.lr": {"float": [1e-4, 1e-1], "log": True},
                "head.dropout": {"float": [0.0, 0.6]},
                "mapper": {"choice": ["identity", "linear", "mlp"]},
            },
            "search": {
                "sampler": args.sampler, "scheduler": args.scheduler, "trials": args.trials,
                "parallel": args.concurrent, "control_tries": 1,
            },
            "train": {"epochs": args.epochs, "batch_size": 32, "fuse": "off"},
            "resources": {
                "gpus_per_worker": 1, "max_concurrent": args.concurrent,
                "storage_path": storage_path,
            },
        }
    )  # fmt: skip


class Costs(Listener):
    """Notes what the driver has spent when each trial ends."""

    def __init__(self) -> None:
        self.spent: list[float] = []
        self.at: list[float] = []

    def ended(self, record: Record) -> None:
        self.spent.append(time.process_time())
        self.at.append(time.perf_counter())

    def a_trial_ms(self) -> list[float]:
        """Return the CPU milliseconds a trial in each of PARTS equal parts of the run."""
        bounds = [round(i * (len(self.spent) - 1) / PARTS) for i in range(PARTS + 1)]
        return [1000 * (self.spent[b] - self.spent[a]) / (b - a) for a, b in pairwise(bounds)]


@contextlib.contextmanager
def bucket(log: Path) -> Iterator[str]:
    """Yield the URL of a bucket on a local S3 server, whose requests are in `log`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("counting_s3.py")), str(port), str(log)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + SERVER_S
        while True:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if server.poll() is not None or time.monotonic() > end:
                raise SystemExit("the S3 server did not start; install moto[server]")
            time.sleep(0.2)
        options = {
            "region": "us-east-1", "scheme": "http", "endpoint_override": f"127.0.0.1:{port}"
        }  # fmt: skip
        S3FileSystem(**options, allow_bucket_creation=True).create_dir("runs")
        yield "s3://runs/of/raytl?" + "&".join(f"{k}={v}" for k, v in options.items())
    finally:
        server.kill()
        server.wait()


@contextlib.contextmanager
def simulated(nodes: int) -> Iterator[Cluster]:
    """Yield a cluster of raylets on this machine: a head that runs no trial, and nodes."""
    head = {"num_cpus": 0, "include_dashboard": False}
    # What raylets start inherits it. The driver has its key from a file: Tune would pass it on.
    with patch.dict(os.environ, {"AWS_ACCESS_KEY_ID": TRIAL, "AWS_SECRET_ACCESS_KEY": "none"}):
        cluster = Cluster(initialize_head=True, head_node_args=head)
        for _ in range(nodes):
            cluster.add_node(num_cpus=GPUS_A_NODE, num_gpus=GPUS_A_NODE)
    try:
        yield cluster
    finally:
        cluster.shutdown()


def run(study: Study, out: Path, log: Path, profile: str | None) -> dict[str, Any]:
    """Run the study's search; return what it cost."""
    storage, process = RunStorage(out, study.resources.storage_path), psutil.Process()
    costs = Costs()
    checked = preflight(study)
    checked = replace(checked, study=resolved(checked.study, checked.num_bytes), test_labels=0)
    study = checked.study
    with ray_session() as cluster:
        budget = plan(study, cluster.nodes())
        make_folder(out)
        storage.push(whole=False)
        board = TensorBoard(out, study, objective_metric(study))
        before, rss = len(read_log(log)), process.memory_info().rss
        start, cpu = time.perf_counter(), time.process_time()
        with (
            profiled(profile),
            patch("raytl.sweeping.on_ray.trainable._alone", idle),
            leased(storage, print) as lease,
            Errands() as errands,
        ):
            recall = Recall(
                storage, Identity.of(checked, device_kind(study)), study.study, study.train.epochs,
                None, resumed=False, do=errands.do,
            )  # fmt: skip
            search = study_run._search(
                checked, storage, (cluster, budget), recall, lease, errands, [board, costs]
            )
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        assert search.finished
        rss_after = process.memory_info().rss
    during = read_log(log)[before:]
    snapshot = measured(storage.push, log)
    elsewhere = RunStorage(out.with_name("elsewhere") / out.name, storage.storage_path)
    fetched = measured(elsewhere.pull, log)
    trials = len(search.records())
    assert len(list(elsewhere.run.glob("*/record.json"))) == trials
    return {
        "trials": trials,
        "seconds": seconds,
        "driver_cpu_ms_a_trial": 1000 * cpu / trials,
        "of_each_fifth": costs.a_trial_ms(),
        "driver_requests_a_trial": len([r for r in during if r.key == DRIVER]) / trials,
        "driver_requests": kinds(during, DRIVER),
        "trial_requests_a_trial": len([r for r in during if r.key == TRIAL]) / trials,
        "trial_requests": kinds(during, TRIAL),
        "last_snapshot": snapshot,
        "fetched_by_another_machine": fetched,
        "driver_mib": [rss / 2**20, rss_after / 2**20],
    }


def measured(call: Callable[[], None], log: Path) -> dict[str, Any]:
    """Return the seconds and the requests of a call."""
    mark, start = len(read_log(log)), time.perf_counter()
    call()
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "requests": kinds(read_log(log)[mark:], DRIVER)}


@contextlib.contextmanager
def profiled(file: str | None) -> Iterator[None]:
    profiler = cProfile.Profile(time.thread_time)  # of the main thread
    if file is not None:
        profiler.enable()
    try:
        yield
    finally:
        if file is not None:
            profiler.disable()
            profiler.dump_stats(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--trials", type=int, default=500)
    parser.add_argument("--nodes", type=int, default=4, help="raylets, with 8 logical GPUs each")
    parser.add_argument("--concurrent", type=int, default=16, help="actors at once")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--sampler", default="tpe", choices=["tpe", "random"])
    parser.add_argument("--scheduler", default="asha", choices=["asha", "median", "none"])
    parser.add_argument("--profile", help="a file for the driver's profile")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="raytl-scale-") as temporary:
        folder = Path(temporary)
        keys = folder / "keys"
        keys.write_text(f"[default]\naws_access_key_id={DRIVER}\naws_secret_access_key=none\n")
        os.environ |= {
            "AWS_SHARED_CREDENTIALS_FILE": str(keys), "RAYTL_CACHE": str(folder / "cache"),
            "RAYTL_DEVICE": "cpu", "RAY_prestart_worker_first_driver": "0",
        }  # fmt: skip
        log = folder / "requests.log"
        with bucket(log) as url, simulated(args.nodes) as cluster:
            os.environ["RAY_ADDRESS"] = cluster.address
            figures = run(make_study(folder, url, args), folder / "run", log, args.profile)
    for name, value in figures.items():
        print(f"{name}: {value}")
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"
    print(json.dumps({"name": "scale", "figures": figures, "machine": machine} | vars(args)))


if __name__ == "__main__":
    main()
