"""Sharding by several processes, from and to S3: the bytes that one process writes."""

import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from s3_server import put, s3_bucket
from scipy.io import wavfile
from tests_support import CREDENTIALS

import raytl
from raytl.data.dataset import Dataset
from raytl.data.shard import ShardReport
from raytl.data.writer import write_dataset
from raytl.errors import DataError, RaytlError, UserError
from raytl.remote_files import delete, files_in, read_bytes
from raytl.urls import Url

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]

ROWS, SIDE = 40, 4


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raytl.data.shard.write_dataset", partial(write_dataset, shard_bytes=600))


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((SIDE, SIDE, 3), value, np.uint8)).save(buffer, "png")
    return buffer.getvalue()


def written(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def pictures(folder: Path) -> None:
    for row in range(ROWS):
        written(folder / ("a", "b")[row % 2] / f"{row:02d}.png", png(row))


def sounds(folder: Path) -> None:
    for row in range(ROWS):
        buffer = io.BytesIO()
        wavfile.write(buffer, (8000, 4000)[row == 7], np.arange(30 + row, dtype=np.int16))
        written(folder / f"{'ab'[row % 2]}_{row // 8}_{row}.wav", buffer.getvalue())


def tars(folder: Path) -> None:
    folder.mkdir()
    for number in range(2):
        with tarfile.open(folder / f"{number}.tar", "w") as archive:
            for row in range(number * 20, number * 20 + 20):
                for end, content in [("png", png(row)), ("cls", b"01"[row % 2 :][:1])]:
                    info = tarfile.TarInfo(f"{row:03d}.{end}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))


def parquet(folder: Path) -> None:
    folder.mkdir()
    for number in range(2):
        rows = range(number * 20, number * 20 + 20)
        table = pa.table(
            {
                "image": [{"bytes": png(row), "path": None} for row in rows],
                "said": [f"row {row}" for row in rows],
                "y": ["ab"[row % 2] for row in rows],
            }
        )
        pq.write_table(table, folder / f"{number}.parquet", row_group_size=6)


def table_of_paths(folder: Path) -> None:
    pictures(folder / "in")
    lines = [f"in/{'ab'[row % 2]}/{row:02d}.png,{row % 2}" for row in range(ROWS)]
    written(folder / "rows.csv", "\n".join(["file,y", *lines]).encode())


KINDS: dict[str, tuple[Any, str, str, dict[str, Any]]] = {
    "pictures": (pictures, "image-folder", "", {"size": SIDE}),
    "sounds": (sounds, "audio-folder", "", {"pattern": "{label}_{group}_{take}.wav"}),
    "tars": (tars, "webdataset", "*.tar", {"size": SIDE}),
    "parquet": (
        parquet, "table", "{0..1}.parquet",
        {"image": "image", "text": ["said"], "target": "y", "size": SIDE},
    ),
    "table": (table_of_paths, "table", "rows.csv", {"image": "file", "target": "y", "size": SIDE}),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_any_number_of_workers_writes_the_same_from_and_to_urls(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, kind, source, options = KINDS[name]
    make(tmp_path / "in")
    here = str(tmp_path / "in" / source)
    alone = raytl.shard(kind, here, tmp_path / "alone", test=0.2, **options)
    assert len(alone.info.splits["train"].shards) > 2
    raytl.shard(kind, here, tmp_path / "two", workers=2, test=0.2, **options)
    files = {path.name: path.read_bytes() for path in (tmp_path / "alone").iterdir()}
    assert {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()} == files
    with s3_bucket(monkeypatch) as bucket:
        put(tmp_path / "in", bucket / "in")
        far = str(bucket / "in" / source if source else bucket / "in")
        for workers in (1, 2):
            out = bucket / f"out{workers}"
            report = raytl.shard(kind, far, str(out), workers=workers, test=0.2, **options)
            assert report.info.fingerprint == alone.info.fingerprint
            assert report.notes == alone.notes
            held = {file: read_bytes(out / file) for file in files_in(out)}
            assert held.keys() == files.keys()
            assert all(held[file] == files[file] for file in files if file != "dataset.json")
        one = raytl.shard(kind, far, tmp_path / "from far", test=0.2, **options)
        assert one.info.fingerprint == alone.info.fingerprint


def test_what_is_broken_behind_a_url_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(tmp_path / "in")
    lines = [f"{{}}/{'ab'[row % 2]}/{row:02d}.png,{row % 2}" for row in range(ROWS)]
    with s3_bucket(monkeypatch) as bucket:
        put(tmp_path / "in", bucket / "in")
        base, query = (bucket / "in").split("?")
        text = "\n".join(["file,y", *lines]).replace("{}", base).replace(".png,", f".png?{query},")
        written(tmp_path / "rows.csv", text.encode())
        delete(bucket / "in" / "b" / "07.png")
        out = bucket / "out"

        def shard(**options: Any) -> ShardReport:
            return raytl.shard(
                "table", str(tmp_path / "rows.csv"), str(out), workers=2, image="file",
                target="y", size=SIDE, **options,
            )  # fmt: skip

        with pytest.raises(DataError, match=r"s3://bucket/in/b/07\.png: no such file.*--skip-bad"):
            shard()
        report = shard(skip_bad=True)
        assert report.skipped == ["s3://bucket/in/b/07.png: no such file"]
        dataset = Dataset.open(out)
        assert sorted(dataset.split("train").ids().tolist()) == list(range(ROWS - 1))
        with pytest.raises(UserError, match="exists already"):
            shard(skip_bad=True)
        with pytest.raises(DataError, match="no such folder"):
            raytl.shard("image-folder", str(bucket / "none"), tmp_path / "x")
        with pytest.raises(DataError, match=r"none\.csv: no such file"):
            raytl.shard("table", str(bucket / "none.csv"), tmp_path / "x", target="y")


SCRIPT = """
import sys
from functools import partial
import raytl, raytl.data.shard
from raytl.data.writer import write_dataset
raytl.data.shard.write_dataset = partial(write_dataset, shard_bytes=600)
raytl.shard("image-folder", sys.argv[1], sys.argv[2], workers=1, size=4)
"""


def test_a_run_that_is_killed_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(tmp_path / "in")
    whole = raytl.shard("image-folder", str(tmp_path / "in"), tmp_path / "whole", size=SIDE)
    with s3_bucket(monkeypatch) as bucket:
        out = bucket / "out"
        command = [sys.executable, "-c", SCRIPT, str(tmp_path / "in"), str(out)]
        environment = os.environ | CREDENTIALS | {"RAY_ADDRESS": "local"}
        process = subprocess.Popen(command, env=environment, start_new_session=True)
        try:
            deadline = time.monotonic() + 120
            while time.monotonic() < deadline and not records(out):
                time.sleep(0.05)
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)
        stood = records(out)
        assert stood
        assert "dataset.json" not in files_in(out)
        with pytest.raises(DataError, match="no dataset here"):
            Dataset.open(out)
        stamps = {name: found.stamp for name, found in files_in(out).items()}
        report = raytl.shard("image-folder", str(tmp_path / "in"), str(out), workers=2, size=SIDE)
        assert report.info.fingerprint == whole.info.fingerprint
        now = files_in(out)
        assert all(now[name].stamp == stamps[name] for name in stood)
        assert sorted(now) == sorted(path.name for path in (tmp_path / "whole").iterdir())
        assert json.loads(read_bytes(out / "dataset.json"))["fingerprint"] == whole.info.fingerprint


def records(out: Url) -> list[str]:
    """Return the shards that have a record."""
    return [name[6:-5] for name in files_in(out) if name.startswith("begun/")]


def test_a_number_of_workers_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--workers >= 1"):
        raytl.shard("image-folder", "in", tmp_path / "out", workers=0)


def test_a_server_that_fails_is_no_bad_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_bucket(monkeypatch) as bucket:
        gone = bucket / "in" / "a.png"
    written(tmp_path / "rows.csv", f"file,y\n{gone},0\n{gone},1\n".encode())
    with pytest.raises(RaytlError, match="s3://bucket") as caught:
        raytl.shard(
            "table", str(tmp_path / "rows.csv"), tmp_path / "out", image="file", target="y",
            skip_bad=True, workers=1,
        )  # fmt: skip
    assert caught.value.exit_code == 1
