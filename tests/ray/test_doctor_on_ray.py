"""The doctor on a cluster that is well, and where there is none."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from ray_processes import free_port

import raytl
from raytl.config import Study

pytestmark = pytest.mark.ray


@pytest.mark.usefixtures("ray_cluster")
def test_a_cluster_that_is_well(
    tiny_study: Callable[..., Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAYTL_ROOT", str(tmp_path))
    findings = raytl.doctor(tiny_study())
    levels = {finding.check: finding.level for finding in findings}
    checks = {"nodes", "versions", "GPUs", "shared storage", "data", "disk", "clock", "auth"}
    assert levels.keys() == checks
    assert {level for check, level in levels.items() if check not in ("disk", "auth")} == {"ok"}
    assert findings[0].text == "1 answered"
    assert not list((tmp_path / "runs").iterdir())


@pytest.mark.parametrize("address", ["127.0.0.1:{}", "ray://127.0.0.1:{}", "somewhere:port"])
def test_where_there_is_no_cluster_it_says_so(address: str, tmp_path: Path) -> None:
    address = address.format(free_port())
    command = [sys.executable, "-m", "raytl.cli", "doctor", "--address", address]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"no cluster at {address}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "runs").iterdir())
