"""Rows a second and seconds to the first batch: raytl's two feeds beside other loaders.

Every side reads the same rows of one split, shuffled, in batches of uint8 images and labels, on
this machine's disk, each in its own best format and in a process of its own. Loaders with worker
processes are tried with 0 and 2 of them; the faster counts. Imports, the start of Ray
and of Ray Data, and writing the other formats are not timed; building the loader is.

  resident    raytl: memory-mapped Arrow shards, a global shuffle
  streaming   raytl: a stream of the Arrow shards, files and a buffer of rows shuffled
  dataloader  torch's DataLoader, row by row from the same Arrow shards, a global shuffle
  parquet     Ray Data on Parquet, a buffer of rows shuffled
  mosaic      MosaicML Streaming on MDS shards
  webdataset  WebDataset on tar shards, a buffer of rows shuffled
  litdata     LitData on its chunks

    pip install -e ".[benchmarks]"
    python benchmarks/ingest.py --data data/mnist
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from raytl.data.branch_rows import ColumnRows, FeedRows
from raytl.data.dataset import Dataset, Split
from raytl.data.order import Layout
from raytl.data.target_rows import HeldTargets
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.image.transform import ImageTransform
from raytl.modalities.registry import modality_of

BUFFER_ROWS = 1024  # shuffled together, where a stream is shuffled
OURS = ("resident", "streaming")
IMAGE, LABEL = "image", "label"  # columns
Batches = Iterator[int]  # the rows of each batch


def rows_a_file(split: Split) -> int:
    """Return how many rows other formats' files hold: at least 8 files, for their readers."""
    return min(4096, -(-split.rows // 8))


def rows_of(split: Split) -> Iterator[tuple[np.ndarray, int]]:
    labels = split.all(LABEL)
    for start in range(0, split.rows, 256):
        images = split.read(IMAGE, range(start, min(start + 256, split.rows)))
        yield from zip(images, labels[start : start + 256].tolist(), strict=True)


# ---------------------------------------------------------------- raytl's feeds


def feed(kind: str) -> Callable[[argparse.Namespace, Path, int], Batches]:
    def batches(args: argparse.Namespace, folder: Path, workers: int) -> Batches:
        from raytl.training.readers import FEEDS

        dataset = Dataset.open(args.data)
        split, column = dataset.split(args.split), dataset.columns[IMAGE]
        assert isinstance(column, ImageColumn)
        height, width, channels = column.shape
        half = (0.5,) * channels  # no network is there to normalise for
        transform = ImageTransform((channels, height, width), half, half)
        images = ColumnRows(split, IMAGE, modality_of(column), transform)
        rows = FeedRows(
            {IMAGE: images},
            HeldTargets(split.all(LABEL)),
            split.ids(),
            Layout(split.ends, split.bytes),
        )
        every = np.arange(split.rows)
        made = FEEDS[kind](rows, every, batch_size=args.batch_size, seed=0)
        steps = made.rows // args.batch_size
        return (len(batch.id) for batch in islice(made.train_batches(), steps))

    return batches


def nothing(split: Split, folder: Path) -> None:
    """The Arrow shards are there."""


# ---------------------------------------------------------------- torch


class Rows(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """A map-style dataset over the Arrow shards."""

    def __init__(self, split: Split) -> None:
        self.split, self.labels = split, split.all(LABEL)

    def __len__(self) -> int:
        return self.split.rows

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(self.split.read(IMAGE, [index])[0]), int(self.labels[index])


def loader_batches(loader: Any) -> Batches:
    return (len(x) for x, _ in loader)


def dataloader(args: argparse.Namespace, folder: Path, workers: int) -> Batches:
    rows = Rows(Dataset.open(args.data).split(args.split))
    options: Any = {"shuffle": True, "drop_last": True, "num_workers": workers}
    return loader_batches(DataLoader(rows, args.batch_size, **options))


# ---------------------------------------------------------------- Ray Data on Parquet


def write_parquet(split: Split, folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq
    from ray.data.extensions import ArrowTensorArray

    size = rows_a_file(split)
    for start in range(0, split.rows, size):
        rows = range(start, min(start + size, split.rows))
        image = ArrowTensorArray.from_numpy(split.read(IMAGE, rows))
        table = pa.table({"image": image, "label": split.read(LABEL, rows)})
        pq.write_table(table, folder / f"{start:08d}.parquet", compression=None)


def start_ray_data() -> None:
    """Start Ray and run one small pipeline: its first one starts actors of its own."""
    import ray
    import ray.data

    ray.init(address="local", include_dashboard=False, log_to_driver=False, num_cpus=2)
    ray.data.DataContext.get_current().enable_progress_bars = False
    ray.data.range(64).materialize()


def parquet(args: argparse.Namespace, folder: Path, workers: int) -> Batches:
    import ray.data

    batches = ray.data.read_parquet(str(folder)).iter_torch_batches(
        batch_size=args.batch_size, local_shuffle_buffer_size=BUFFER_ROWS, drop_last=True
    )
    return (len(batch["image"]) for batch in batches)


# ---------------------------------------------------------------- MosaicML Streaming


def write_mosaic(split: Split, folder: Path) -> None:
    from streaming import MDSWriter

    columns = {"image": "ndarray:uint8", "label": "int"}
    with MDSWriter(out=str(folder), columns=columns) as out:
        for image, label in rows_of(split):
            out.write({"image": image, "label": label})


def mosaic(args: argparse.Namespace, folder: Path, workers: int) -> Batches:
    from streaming import StreamingDataset

    size = args.batch_size
    rows = StreamingDataset(local=str(folder), shuffle=True, batch_size=size)
    loader = DataLoader(rows, batch_size=size, drop_last=True, num_workers=workers)
    return (len(batch["image"]) for batch in loader)


# ---------------------------------------------------------------- WebDataset


def write_webdataset(split: Split, folder: Path) -> None:
    import webdataset

    size = rows_a_file(split)
    with webdataset.ShardWriter(f"{folder}/%06d.tar", maxcount=size, verbose=0) as out:
        for number, (image, label) in enumerate(rows_of(split)):
            out.write({"__key__": f"{number:08d}", "image.npy": image, "label.cls": label})


def web(args: argparse.Namespace, folder: Path, workers: int) -> Batches:
    import webdataset

    files = [str(path) for path in sorted(folder.glob("*.tar"))]
    rows = (
        webdataset.WebDataset(files, shardshuffle=len(files))
        .shuffle(BUFFER_ROWS)
        .decode()
        .to_tuple("image.npy", "label.cls")
        .batched(args.batch_size, partial=False)
    )
    return loader_batches(webdataset.WebLoader(rows, batch_size=None, num_workers=workers))


# ---------------------------------------------------------------- LitData


def write_litdata(split: Split, folder: Path) -> None:
    import litdata

    cache = litdata.streaming.cache.Cache(str(folder), chunk_bytes="64MB")
    for number, (image, label) in enumerate(rows_of(split)):
        cache[number] = (torch.from_numpy(image), label)
    cache.done()
    cache.merge()


def lit(args: argparse.Namespace, folder: Path, workers: int) -> Batches:
    import litdata

    rows = litdata.StreamingDataset(str(folder), shuffle=True, drop_last=True)
    size = args.batch_size
    return loader_batches(litdata.StreamingDataLoader(rows, batch_size=size, num_workers=workers))


WRITERS: dict[str, Callable[[Split, Path], None]] = {
    "resident": nothing,
    "streaming": nothing,
    "dataloader": nothing,
    "parquet": write_parquet,
    "mosaic": write_mosaic,
    "webdataset": write_webdataset,
    "litdata": write_litdata,
}
SIDES: dict[str, Callable[[argparse.Namespace, Path, int], Batches]] = {
    "resident": feed("resident"),
    "streaming": feed("streaming"),
    "dataloader": dataloader,
    "parquet": parquet,
    "mosaic": mosaic,
    "webdataset": web,
    "litdata": lit,
}
# What is not timed: imports and what a process starts once.
WARM_UP: dict[str, Callable[[], object]] = {
    "resident": lambda: import_module("raytl.training.readers"),
    "streaming": lambda: import_module("raytl.training.readers"),
    "parquet": start_ray_data,
    "mosaic": lambda: import_module("streaming"),
    "webdataset": lambda: import_module("webdataset"),
    "litdata": lambda: import_module("litdata"),
}
WORKERS = {"dataloader": (0, 2), "mosaic": (0, 2), "webdataset": (0, 2), "litdata": (0, 2)}


def one_side(args: argparse.Namespace) -> dict[str, float]:
    """Read one epoch in this process."""
    WARM_UP.get(args.side, lambda: None)()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        WRITERS[args.side](Dataset.open(args.data).split(args.split), folder)
        start = time.perf_counter()
        batches = SIDES[args.side](args, folder, args.workers)
        rows = next(batches)
        first = time.perf_counter() - start
        rows += sum(islice(batches, args.batches))
        seconds = time.perf_counter() - start
    return {
        "rows": rows,
        "first_batch_seconds": first,
        "rows_per_second": rows / seconds,
        "rows_per_second_after_the_first_batch": (rows - args.batch_size) / (seconds - first),
        "workers": args.workers,
    }


def timed_side(side: str, args: argparse.Namespace) -> dict[str, float]:
    """Read with each number of workers, in a process each; return the fastest."""
    found = []
    for workers in WORKERS.get(side, (0,)):
        command = [
            sys.executable, __file__, "--data", str(args.data), "--split", args.split,
            "--batch-size", str(args.batch_size), "--side", side, "--workers", str(workers),
            *(["--batches", str(args.batches)] if args.batches else []),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
        if not lines:
            raise SystemExit(f"{side} failed:\n{done.stderr[-3000:]}")
        found.append(json.loads(lines[0].removeprefix("RESULT ")))
    best: dict[str, float] = max(found, key=lambda figures: figures["rows_per_second"])
    print(
        f"{side:<11}{best['rows_per_second']:>10.0f} rows/s, first batch after "
        f"{best['first_batch_seconds']:.3f} s, then "
        f"{best['rows_per_second_after_the_first_batch']:.0f} rows/s, {best['workers']} workers",
        flush=True,
    )
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("data/mnist"), help="shards")
    parser.add_argument("--split", default="train")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--batches", type=int, help="after the first; default: the whole epoch")
    parser.add_argument(
        "--quick", action="store_true", help="200 batches, without worker processes"
    )
    parser.add_argument("--side", choices=list(SIDES), help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=0, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print("RESULT " + json.dumps(one_side(args)))
        return
    if args.quick:
        WORKERS.clear()
        args.batches = 200
    figures = {side: timed_side(side, args) for side in SIDES}
    speed = {side: values["rows_per_second"] for side, values in figures.items()}
    steady = {
        side: values["rows_per_second_after_the_first_batch"] for side, values in figures.items()
    }
    ratios = {
        "resident_to_fastest_other": speed["resident"]
        / max(value for side, value in speed.items() if side not in OURS),
        "streaming_to_parquet": speed["streaming"] / speed["parquet"],
        "streaming_to_parquet_after_the_first_batch": steady["streaming"] / steady["parquet"],
    }
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.1f}")
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"
    line = {"name": f"ingest {args.data.name}", "ratios": ratios, "figures": figures}
    print(json.dumps(line | {"machine": machine}))


if __name__ == "__main__":
    main()
