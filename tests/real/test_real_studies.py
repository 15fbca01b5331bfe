"""The studies of search_spaces/ on real data, with fewer and shorter trials.

The whole studies, with the figures that they reach, stand in the README.
"""

from pathlib import Path

import pytest
from tests_support import REAL_DATA, SEARCH_SPACES

import raytl
from raytl.config import load_study
from raytl.data.importers.base import ShardOptions
from raytl.data.shard import shard
from raytl.sweeping.study_run import StudyResult

pytestmark = [pytest.mark.real, pytest.mark.ray, pytest.mark.study]


def sweep(name: str, folder: Path, *overrides: str) -> StudyResult:
    study = load_study(SEARCH_SPACES / name, list(overrides))
    return raytl.verbs.sweep(study, folder / "run")


@pytest.mark.usefixtures("ray_cluster")
def test_mnist_to_usps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shard("mnist", str(REAL_DATA / "mnist"), tmp_path / "data/mnist", options=ShardOptions())
    options = ShardOptions(
        splits={"train": ("train/data", "train/target"), "test": ("test/data", "test/target")},
        image_shape="16x16",
        size=28,
    )
    usps = str(REAL_DATA / "usps/usps.h5")
    info = shard("arrays", usps, tmp_path / "data/usps", options=options).info
    assert {name: split.rows for name, split in info.splits.items()} == {
        "train": 7291,
        "test": 2007,
    }
    result = sweep(
        "mnist_to_usps.yaml", tmp_path, "search.trials=2", "search.control_tries=1",
        "defaults={recipe: dann, mapper: mlp, adversarial_lambda: 0.2, optimizer: sgd, "
        "optimizer.lr: 0.02}",
        "train={epochs: 3, batch_size: 32, steps_per_epoch: 250}", "confirm={top: 1, seeds: 3}",
    )  # fmt: skip
    assert result.confirmation is not None
    selected = result.confirmation.selected
    control = next(c for c in result.confirmation.candidates if c.control == "source_only")
    assert selected is not None and selected.mean is not None and control.mean is not None
    assert selected.config["recipe"] == "dann"
    assert selected.mean > control.mean + 0.03


@pytest.mark.usefixtures("ray_cluster")
def test_hymenoptera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    images = str(REAL_DATA / "hymenoptera/hymenoptera_data")
    options = ShardOptions(size=128)  # a third of the pixels of the whole study
    report = shard("image-folder", images, tmp_path / "data/hymenoptera", options=options)
    assert [Path(line.split(":")[0]).name for line in report.skipped] == ["imageNotFound.gif"]
    weights = REAL_DATA / "pretrained/squeezenet1_0_imagenet_deepcompression.pth"
    result = sweep(
        "hymenoptera.yaml", tmp_path, "search.trials=1", "search.control_tries=1",
        f"source_models.imagenet_squeezenet.weights={weights}",
        "train={epochs: 2, batch_size: 16, steps_per_epoch: 20}", "confirm={top: 1, seeds: 3}",
    )  # fmt: skip
    assert result.confirmation is not None
    selected = result.confirmation.selected
    assert selected is not None and selected.mean is not None
    assert result.confirmation.test_rows == 153
    scratch = next(c for c in result.confirmation.candidates if c.control == "scratch")
    assert scratch.mean is not None
    # The 90 % of the whole study take three times the steps, which scratch would pay as well.
    assert selected.mean >= 0.8
    assert selected.mean > scratch.mean + 0.15
