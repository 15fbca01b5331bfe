"""What validators judge by: rows drawn by seed, and mixes of them, whatever the model reads."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from raytl.data.transforms import InputTransform

from raytl.config import Study, TrialConfig
from raytl.data.dataset import Dataset
from raytl.data.schema import ImageColumn
from raytl.data.views import MixedView
from raytl.data.writer import write_dataset
from raytl.scoring.validators import Evidence, class_clusters
from raytl.training import evidence
from raytl.training.evidence import drawn_rows, evidence_feeds, gather
from raytl.training.prefix import Prefix
from raytl.training.trial import TrialRun

MakeStudy = Callable[..., Study]
CLASSES, ROWS = 12, 25  # rows of each class, stored class after class


def sorted_by_class(path: Path, seed: int) -> Path:
    generator = np.random.default_rng(seed)
    y = np.repeat(np.arange(CLASSES), ROWS)
    images = generator.integers(0, 256, (len(y), 8, 8, 1), dtype=np.uint8)
    names = tuple(f"class {k}" for k in range(CLASSES))
    image = ImageColumn(shape=(8, 8, 1), dtype="uint8")
    write_dataset(path, image, names, {n: [(images, y)] for n in ("train", "held", "test")}, {})
    return path


@pytest.fixture
def study(
    tiny_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Study]:
    monkeypatch.setattr(evidence, "MOST_ROWS", 100)
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "cache"))
    source, target = (sorted_by_class(tmp_path / f"sorted {i}", i) for i in range(2))
    held = {"train": "train", "validation": "held"}

    def make(**train: Any) -> Study:
        budget = {"epochs": 1, "batch_size": 8, "steps_per_epoch": 50} | train
        return tiny_study(
            source_domain={"dataset": source, "splits": held},
            target_domain={"dataset": target, "splits": held, "labels": "none"},
            search={"trials": 40},
            train=budget,
        )

    return make


def evidence_of(study: Study, **flat: Any) -> Evidence:
    """Of a model that has the same weights, whatever is frozen."""
    trial = TrialConfig.from_flat({"source_model": "net", "recipe": "dann"} | flat)
    run = TrialRun(study, trial, seed=3)
    assert run._evidence is not None
    given = (run.parts.model, run._evidence, run.parts.transform, run.device)
    head = next(m for m in run.parts.model.head.modules() if isinstance(m, torch.nn.Linear))
    mean_D = torch.from_numpy(gather(*given).target_features_ND.mean(0)).float()
    with torch.no_grad():  # the mean image has no class: others have different ones
        head.bias.copy_(-head.weight @ mean_D)
    return gather(*given)


def test_every_class_is_among_the_rows_drawn(study: Callable[..., Study]) -> None:
    found = evidence_of(study())
    assert found.source_y_S is not None
    assert len(found.target_p_NK) == len(found.source_y_S) == 100
    assert len(set(found.source_y_S)) == CLASSES
    y = np.repeat(np.arange(12), 400)
    drawn = y[drawn_rows(np.arange(len(y)), seed=0)]
    right = Evidence(np.eye(12)[drawn], np.zeros((len(drawn), 1)))
    assert class_clusters(right) > 0.95  # of the first 100 rows it would be 0.29


def test_rows_are_drawn_by_seed_alone() -> None:
    rows = np.arange(0, 9000, 3)
    one, same, other = (drawn_rows(rows, seed) for seed in (1, 1, 2))
    assert len(one) == evidence.MOST_ROWS == 1000
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
    assert (np.diff(one) > 0).all() and np.isin(one, rows).all()
    assert np.array_equal(drawn_rows(rows[:500], 1), rows[:500])


@pytest.mark.parametrize(
    ("train", "flat"),
    [
        ({"reuse_prefix": False}, {"frozen_depth": 2}),
        ({}, {"frozen_depth": 1}),
        ({}, {"frozen_depth": 2}),
        ({}, {"frozen_depth": "100%"}),
        ({"feed": "streaming", "batch_size": 16}, {"frozen_depth": 2}),
        ({"augment": {"flip": True, "views": 2}}, {"frozen_depth": 2}),
    ],
)
def test_the_same_evidence_whatever_is_frozen_and_reused(
    study: Callable[..., Study], tmp_path: Path, train: dict[str, Any], flat: dict[str, Any]
) -> None:
    plain = evidence_of(study(), frozen_depth=0)
    assert plain.mixed_agreement is not None and 0.1 < plain.mixed_agreement < 0.9
    assert not list(tmp_path.glob("cache/prefix/*"))
    other = evidence_of(study(**train), **flat)
    reused = train == {} or "augment" in train
    assert bool(list(tmp_path.glob("cache/prefix/*"))) == reused
    assert other.mixed_agreement == pytest.approx(plain.mixed_agreement, abs=1e-9)
    assert other.target_p_NK == pytest.approx(plain.target_p_NK, abs=1e-5)
    assert other.target_features_ND == pytest.approx(plain.target_features_ND, abs=1e-4)
    assert other.source_p_SK == pytest.approx(plain.source_p_SK, abs=1e-5)
    assert np.array_equal(other.source_y_S, plain.source_y_S)  # type: ignore[arg-type]


def test_only_the_rows_drawn_are_mixed_and_only_once(
    study: Callable[..., Study], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    of_images = Prefix.of_images

    def counting(self: Prefix, images: np.ndarray) -> np.ndarray:
        if images.dtype == np.float32 and len(images) > 1:  # the stored images are uint8
            rows.append(len(images))
        return of_images(self, images)

    monkeypatch.setattr(Prefix, "of_images", counting)
    for _ in range(2):
        evidence_of(study(), frozen_depth=2)
    assert sum(rows) == 100


def test_no_prefix_is_run_on_mixes_that_nobody_asked_for(study: Callable[..., Study]) -> None:
    calls: list[bool] = []

    def make(*_: Any, view: Any, **__: Any) -> Any:
        calls.append(view is not None)
        return "a feed"

    feeds = evidence_feeds(study(), make, 0, with_source=True)
    assert calls == [False, False]
    feeds.mixed()
    assert calls == [False, False, True]


def test_mixes_by_hand(domains: tuple[Path, Path]) -> None:
    split = Dataset.open(domains[1]).split("train")
    chosen = np.array([3, 7, 20, 41, 79])
    view = MixedView.drawn(chosen, 0.55, seed=4)
    assert sorted(view.partners) == [0, 1, 2, 3, 4]
    assert (view.partners != np.arange(5)).all()
    seen = view.of(split)
    assert seen.rows == 5
    own, partner = split.images(chosen) / 255, split.images(chosen[view.partners]) / 255
    images = seen.images([4, 0])
    assert images.dtype == np.float32
    assert images == pytest.approx((0.55 * own + 0.45 * partner)[[4, 0]], abs=1e-6)
    assert np.array_equal(seen.ids(), split.ids()[chosen])
    assert np.array_equal(seen.labels(), split.labels()[chosen])
    others = [MixedView.drawn(chosen, 0.55, 5), MixedView.drawn(chosen[1:], 0.55, 4)]
    assert len({str(v.key) for v in (view, MixedView.drawn(chosen, 0.55, 4), *others)}) == 3


def test_mixed_pixels_are_mixed_inputs(domains: tuple[Path, Path]) -> None:
    split = Dataset.open(domains[1]).split("train")
    transform = InputTransform((3, 13, 13), (0.4, 0.5, 0.6), (0.2, 0.3, 0.1))
    view = MixedView.drawn(np.arange(80), 0.55, seed=0)
    x = transform(torch.from_numpy(split.images(range(80))))
    mixed = transform(torch.from_numpy(view.of(split).images(range(80))))
    torch.testing.assert_close(mixed, 0.55 * x + 0.45 * x[view.partners], rtol=1e-4, atol=1e-5)
