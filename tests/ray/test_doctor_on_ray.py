"""The doctor on a cluster that is well, and where there is none."""

from collections.abc import Callable
from pathlib import Path

import pytest

import raytl
from raytl.config import Study

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]


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
