"""Rows a second from an S3 server: raytl's feeds beside Ray Data on Parquet.

Every side reads the same rows, uint8 images and labels, in shuffled batches, twice over, from one
S3 server on this machine (moto, in a process of its own), each in a process of its own. Imports,
the start of Ray and of Ray Data, and writing are not timed.

  copies    raytl's streaming feed: a node's own copies of the shards, all of which it keeps
  ray_data  raytl's Ray Data feed, on a node that may keep a quarter of the shards
  parquet   Ray Data on Parquet, files of as many rows, a buffer of rows shuffled

    pip install -e ".[benchmarks]"
    python benchmarks/ingest_s3.py
"""

import argparse
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from pyarrow.fs import S3FileSystem
from sides import run_side

from raytl.data.branch_rows import ColumnRows, FeedRows
from raytl.data.dataset import Dataset
from raytl.data.order import Layout
from raytl.data.ray_feed import RayDataFeed
from raytl.data.resident import ResidentFeed
from raytl.data.streaming import StreamingFeed
from raytl.data.target_rows import HeldTargets
from raytl.data.writer import Chunk, write_dataset
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.image.transform import ImageTransform
from raytl.modalities.registry import modality_of
from raytl.node_cache import LIMIT
from raytl.remote_files import filesystem_of
from raytl.tasks.columns import LabelColumn
from raytl.urls import Url

IMAGE, LABEL, SPLIT = "image", "label", "train"
BUFFER_ROWS = 1024
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "benchmark", "AWS_SECRET_ACCESS_KEY": "benchmark"}
SERVER = (
    "from moto.server import ThreadedMotoServer; import sys, time\n"
    "ThreadedMotoServer('127.0.0.1', int(sys.argv[1]), verbose=False).start(); time.sleep(86400)"
)


def images(args: argparse.Namespace) -> Iterator[Chunk]:
    generator = np.random.default_rng(0)
    for start in range(0, args.rows, args.shard_rows):
        rows = np.arange(start, min(start + args.shard_rows, args.rows))
        shape = (len(rows), args.size, args.size, 3)
        pixels = generator.integers(0, 256, shape, dtype=np.uint8)
        yield Chunk({IMAGE: pixels, LABEL: rows % 10}, rows)


def write(args: argparse.Namespace, url: Url) -> None:
    """Write the rows behind the URL, as shards and as Parquet."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from ray.data.extensions import ArrowTensorArray

    columns = {
        IMAGE: ImageColumn(shape=(args.size, args.size, 3), dtype="uint8"),
        LABEL: LabelColumn(classes=tuple("0123456789")),
    }
    shard_bytes = args.shard_rows * args.size**2 * 3
    write_dataset(url / "shards", columns, {SPLIT: images(args)}, {}, shard_bytes=shard_bytes)
    filesystem, path = filesystem_of(url / "parquet")
    for number, chunk in enumerate(images(args)):
        image = ArrowTensorArray.from_numpy(chunk.values[IMAGE])
        table = pa.table({IMAGE: image, LABEL: chunk.values[LABEL]})
        file = f"{path}/{number:05d}.parquet"
        pq.write_table(table, file, compression=None, filesystem=filesystem)


def feed(kind: type[ResidentFeed], kept: float) -> Callable[[argparse.Namespace], Iterator[int]]:
    """Read by a feed, on a node that may keep this many times what there is."""

    def batches(args: argparse.Namespace) -> Iterator[int]:
        os.environ[LIMIT] = str(int(kept * args.rows * args.size**2 * 3))
        dataset = Dataset.open(Url(args.url) / "shards")
        split, column = dataset.split(SPLIT), dataset.columns[IMAGE]
        assert isinstance(column, ImageColumn)
        transform = ImageTransform((3, args.size, args.size), (0.5,) * 3, (0.5,) * 3)
        rows = ColumnRows(split, IMAGE, modality_of(column), transform)
        layout = Layout(split.ends, args.large * split.bytes)
        source = FeedRows({IMAGE: rows}, HeldTargets(split.all(LABEL)), split.ids(), layout)
        made = kind(source, np.arange(split.rows), batch_size=args.batch_size, seed=0)
        return (len(batch.id) for batch in made.train_batches())

    return batches


def parquet(args: argparse.Namespace) -> Iterator[int]:
    import ray.data

    filesystem, path = filesystem_of(Url(args.url) / "parquet")
    rows = ray.data.read_parquet(path, filesystem=filesystem)
    while True:
        batches = rows.iter_torch_batches(
            batch_size=args.batch_size, local_shuffle_buffer_size=BUFFER_ROWS, drop_last=True
        )
        yield from (len(batch[IMAGE]) for batch in batches)


SIDES: dict[str, Callable[[argparse.Namespace], Iterator[int]]] = {
    "copies": feed(StreamingFeed, 4.0),
    "ray_data": feed(RayDataFeed, 0.25),
    "parquet": parquet,
}


def one_side(args: argparse.Namespace) -> dict[str, float]:
    """Read two epochs in this process."""
    import ray
    import ray.data

    steps = args.rows // args.batch_size
    with tempfile.TemporaryDirectory() as cache:
        os.environ["RAYTL_CACHE"] = cache
        ray.init(address="local", include_dashboard=False, log_to_driver=False, num_cpus=2)
        ray.data.DataContext.get_current().enable_progress_bars = False
        ray.data.range(64).materialize()
        start = time.perf_counter()
        batches = SIDES[args.side](args)
        rows = next(batches)
        first = time.perf_counter() - start
        rows += sum(islice(batches, steps - 1))
        middle = time.perf_counter()
        again = sum(islice(batches, steps))
        end = time.perf_counter()
        ray.shutdown()
    return {
        "first_batch_seconds": first,
        "rows_per_second_first_epoch": rows / (middle - start),
        "rows_per_second_second_epoch": again / (end - middle),
    }


def serve(folder: str) -> tuple[subprocess.Popen[bytes], Url]:
    """Start the S3 server; return it and the URL of its bucket."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", SERVER, str(port)]
    log = (Path(folder) / "server.log").open("wb")
    server = subprocess.Popen(command, stdout=log, stderr=log)
    options = {
        "region": "us-east-1", "scheme": "http", "endpoint_override": f"127.0.0.1:{port}",
    }  # fmt: skip
    for _ in range(100):
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.2)
    S3FileSystem(**options, allow_bucket_creation=True).create_dir("bucket")
    query = "&".join(f"{key}={value}" for key, value in options.items())
    return server, Url(f"s3://bucket?{query}")


def timed_sides(args: argparse.Namespace) -> dict[str, Any]:
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        server, url = serve(folder)
        try:
            write(args, url)
            for side in SIDES:
                command = [
                    sys.executable, __file__, "--side", side, "--url", str(url),
                    *(f"--{name.replace('_', '-')}={getattr(args, name)}" for name in NUMBERS),
                ]  # fmt: skip
                figures[side], _ = run_side(command, side)
                print(f"{side:<9}", figures[side], flush=True)
        finally:
            server.terminate()
            server.wait(30)
    return figures


NUMBERS = {"rows": 20_000, "size": 64, "shard_rows": 1000, "batch_size": 64, "large": 2**20}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for name, default in NUMBERS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    parser.add_argument("--quick", action="store_true", help="2,000 rows")
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ |= CREDENTIALS
    if args.side:
        print("RESULT " + json.dumps(one_side(args)))
        return
    if args.quick:
        args.rows, args.shard_rows = 2000, 200
    figures = timed_sides(args)
    ratios = {
        f"{side}_to_parquet_{epoch}_epoch": figures[side][key] / figures["parquet"][key]
        for side in ("copies", "ray_data")
        for epoch in ("first", "second")
        if (key := f"rows_per_second_{epoch}_epoch")
    }
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.1f}")
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"
    line = {"name": "ingest_s3", "ratios": ratios, "figures": figures, "machine": machine}
    print(json.dumps(line))


if __name__ == "__main__":
    main()
