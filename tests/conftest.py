"""Shared fixtures. Tests with Ray share one local cluster a process, which its session stops."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests_support import CREDENTIALS, REAL_DATA, write_images

from raytl.config import Study
from raytl.modalities.image.column import ImageColumn


def pytest_configure() -> None:
    """Give each process one thread, before torch reads it: on tiny tensors threads only wait for
    each other, ten times as long as the work takes where other processes want the cores."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests with Ray first, which wait more than they work, and skip what lacks its data."""
    items.sort(key=lambda item: item.get_closest_marker("ray") is None)
    for item in items:
        if item.get_closest_marker("real") and not REAL_DATA.exists():
            item.add_marker(pytest.mark.skip(reason=f"the test data {REAL_DATA} is absent"))


@pytest.fixture(scope="session", autouse=True)
def prefix_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the tests' prefix features out of the user's cache."""
    os.environ["RAYTL_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def ray_cluster(prefix_cache: None) -> Iterator[None]:
    import ray

    os.environ.setdefault("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")
    os.environ.update(CREDENTIALS)  # its processes have the environment of now
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def stripes(rows: int, seed: int, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Return 8 × 8 images of two classes, horizontal and vertical stripes, and their labels."""
    generator = np.random.default_rng(seed)
    labels = np.arange(rows) % 2
    base = np.zeros((rows, 8, 8))
    base[labels == 0, ::2] = 200
    base[labels == 1, :, ::2] = 200
    images = (base + generator.normal(0, noise, base.shape)).clip(0, 255).astype(np.uint8)
    return images[..., None], labels


@pytest.fixture
def domains(tmp_path: Path) -> tuple[Path, Path]:
    """A source and a target domain, two classes, 8 × 8 pixels."""
    for name, seed, noise in [("source", 0, 10.0), ("target", 1, 60.0)]:
        splits = {"train": [stripes(80, seed, noise)], "test": [stripes(40, seed + 9, noise)]}
        image = ImageColumn(shape=(8, 8, 1), dtype="uint8")
        write_images(tmp_path / name, image, ("rows", "columns"), splits)
    return tmp_path / "source", tmp_path / "target"


@pytest.fixture
def tiny_study(domains: tuple[Path, Path]) -> Callable[..., Study]:
    """Make a study of a few seconds on `domains`; keyword arguments replace its keys."""
    source, target = domains

    def make(**more: Any) -> Study:
        plain = {
            "study": "tiny",
            "source_domain": {"dataset": source},
            "target_domain": {"dataset": target, "labels": 10},
            "source_models": {"net": {"backbone": "small_cnn", "args": {"width": 4}}},
            "space": {"recipe": {"choice": ["finetune", "dann"]}},
            "search": {"sampler": "grid", "trials": 2, "scheduler": "none", "control_tries": 1},
            "train": {"epochs": 2, "batch_size": 8, "steps_per_epoch": 3},
            "confirm": {"top": 1, "seeds": 3},
        }
        return Study.model_validate(plain | more)

    return make
