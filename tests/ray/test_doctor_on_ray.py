"""The doctor on a cluster that is well, and where there is none."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ray_processes import free_port
from s3_server import s3_bucket

import raytl
from raytl.config import Study, dump_study
from raytl.remote_files import files_in

pytestmark = pytest.mark.ray


@pytest.mark.usefixtures("ray_cluster")
def test_a_cluster_that_is_well(
    tiny_study: Callable[..., Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYTL_ROOT", str(tmp_path))
    findings = raytl.doctor(tiny_study())
    levels = {finding.check: finding.level for finding in findings}
    checks = {"nodes", "versions", "GPUs", "shared storage", "data", "disk", "clock", "auth"}
    assert levels.keys() == checks | {"cache", "spot notices"}
    assert {level for check, level in levels.items() if check not in ("disk", "auth")} == {"ok"}
    assert findings[0].text == "1 answered"
    assert not list((tmp_path / "runs").iterdir())


def doctor(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `raytl doctor` on a cluster of its own, in `folder`."""
    command = [sys.executable, "-m", "raytl.cli", "doctor", *arguments]
    env = os.environ | {"RAY_ADDRESS": "local"}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.mark.nodes
def test_a_study_that_is_kept_in_a_bucket_needs_no_disk_that_all_share(
    tiny_study: Callable[..., Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_bucket(monkeypatch) as bucket:
        runs = bucket / "runs"
        study = tiny_study(resources={"storage_path": runs})
        (tmp_path / "study.yaml").write_text(dump_study(study))
        done = doctor(tmp_path, "study.yaml")
        assert done.returncode in (0, 1), done.stderr  # the disk may be full
        assert "ok       storage: s3://bucket/runs: every node writes, reads, lists" in done.stdout
        assert "ok       data: " in done.stdout
        assert "shared storage" not in done.stdout
        assert not (tmp_path / "runs").exists()
        assert not files_in(bucket)


@pytest.mark.nodes
def test_a_bucket_by_its_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_bucket(monkeypatch) as bucket:
        done = doctor(tmp_path, bucket / "runs")
        assert "ok       storage: s3://bucket/runs: every node" in done.stdout
        nowhere = bucket.replace("s3://bucket", "s3://nowhere")
        done = doctor(tmp_path, nowhere)
    assert done.returncode in (1, 2)
    assert "raytl: s3://nowhere: " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "somewhere:port"])
def test_where_there_is_no_cluster_it_says_so(address: str, tmp_path: Path) -> None:
    address = address.format(free_port())
    command = [sys.executable, "-m", "raytl.cli", "doctor", "--address", address]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"no cluster at {address}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "runs").iterdir())
