"""From a folder of pictures to a verdict with two commands."""

from pathlib import Path

import pytest
from starting_support import pictures

import raytl
from raytl.config import load_study
from raytl.starting import measuring

pytestmark = pytest.mark.ray


@pytest.mark.usefixtures("ray_cluster")
def test_from_a_folder_of_pictures_to_a_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "no-cache"))
    monkeypatch.setattr(measuring, "SECONDS", 0.0)
    pictures(tmp_path / "pets", count=24)
    written = raytl.new("pets", minutes=1, say=lambda text: None)
    assert written == Path("pets.yaml")
    # The smallest study is enough: what the minutes allow is tested elsewhere
    small = ["search.trials=2", "search.control_tries=1", "train.epochs=3", "confirm.top=1",
             "train.steps_per_epoch=4", "confirm.seeds=3"]  # fmt: skip
    result = raytl.sweep(load_study(written, small), store=False)
    assert result.verdict.kind != "none" and result.verdict.text
    assert (tmp_path / "runs" / "pets" / "report.html").exists()
    assert raytl.inspect(tmp_path / "runs" / "pets" / "best")["task"]["classes"] == ["cats", "dogs"]
