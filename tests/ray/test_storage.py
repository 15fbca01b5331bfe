"""A study that is kept behind a URL: its machine is lost, another goes on."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pyarrow.fs import FileSelector, FileSystem
from ray_processes import sweeping, wait_for
from s3_server import s3_bucket
from tests_support import SECRET

from raytl.config import Study

MakeStudy = Callable[..., Study]

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield the URL of a bucket on a local S3 server."""
    with s3_bucket(monkeypatch, "runs") as url:
        yield url / "of" / "raytl"


def kept(url: str) -> dict[str, int]:
    """Return the files under the URL and their sizes."""
    filesystem, path = FileSystem.from_uri(url)
    found = filesystem.get_file_info(FileSelector(path, recursive=True, allow_not_found=True))
    return {info.path.removeprefix(f"{path}/"): info.size for info in found if info.is_file}


def finished_trials(url: str) -> set[str]:
    """Return the folders under the URL of the trials that have ended."""
    records = [name for name in kept(url) if name.endswith("record.json")]
    return {name.split("/")[-2] for name in records}


def test_a_lost_driver_machine_loses_nothing(
    tiny_study: MakeStudy, tmp_path: Path, bucket: str
) -> None:
    study = tiny_study(
        source_domain=None,
        space={"optimizer.lr": {"choice": [0.01, 0.04]}},
        train={"epochs": 3, "batch_size": 16, "steps_per_epoch": 40},
        resources={"max_concurrent": 1, "storage_path": bucket},
    )
    file, run = tmp_path / "study.yaml", tmp_path / "run"
    file.write_text(yaml.safe_dump(study.model_dump(mode="json", by_alias=True, exclude_none=True)))

    with sweeping(file, run) as first:
        wait_for(lambda: bool(finished_trials(bucket)), first)
        first.kill()
        first.communicate()
    finished = finished_trials(bucket)
    shutil.rmtree(run)

    with sweeping(file, run) as again:
        output = again.communicate()[0]
    assert again.returncode == 2
    assert "runs/of/raytl/run holds a run; go on with --resume" in output

    with sweeping(file, run, "--resume") as second:
        output = second.communicate()[0]
    assert second.returncode == 0, output
    for name in ("trial-00000", "trial-00001", "control-constant-0", "control-scratch-0"):
        went_on = f"{name} goes on" in output
        assert not (went_on and name in finished), output
    board: dict[str, Any] = json.loads((run / "leaderboard.json").read_text())
    assert [row["status"] for row in board["trials"]] == ["completed"] * 4
    assert (run / "best" / "model.safetensors").exists()
    assert (run / "trial-00000" / "record.json").exists()

    names = kept(bucket)
    for name in ("study.yaml", "leaderboard.csv", "report.html", "best/source.json"):
        assert names[f"run/{name}"] == (run / name).stat().st_size
    for path in run.rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes(), path
    assert SECRET not in output
