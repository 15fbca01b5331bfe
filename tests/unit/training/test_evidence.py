"""What validators judge by: rows drawn by seed, and mixes of them, whatever the model reads."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests_support import write_images

from raytl.config import Study, TrialConfig
from raytl.data.branch_rows import ColumnRows
from raytl.data.dataset import Dataset
from raytl.data.views import MixedView
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.image.transform import ImageTransform
from raytl.modalities.registry import MODALITIES
from raytl.rows import Rows
from raytl.scoring.validators import Evidence, class_clusters
from raytl.training import evidence
from raytl.training.building import build_trial
from raytl.training.evidence import drawn_rows, evidence_feeds, gather
from raytl.training.material import Material
from raytl.training.prefix import Prefix
from raytl.training.readers import Prepared, Readers
from raytl.training.trial import TrialRun

MakeStudy = Callable[..., Study]
CLASSES, ROWS = 12, 25  # rows of each class, stored class after class


def sorted_by_class(path: Path, seed: int) -> Path:
    generator = np.random.default_rng(seed)
    y = np.repeat(np.arange(CLASSES), ROWS)
    images = generator.integers(0, 256, (len(y), 8, 8, 1), dtype=np.uint8)
    names = tuple(f"class {k}" for k in range(CLASSES))
    image = ImageColumn(shape=(8, 8, 1), dtype="uint8")
    write_images(path, image, names, {n: [(images, y)] for n in ("train", "held", "test")})
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
    run = TrialRun(Material.of(study), trial, seed=3)
    assert run._evidence is not None
    given = (run.parts.model, run.parts.task, run._evidence, run.device)
    head = next(m for m in run.parts.model.head.modules() if isinstance(m, torch.nn.Linear))
    mean_D = torch.from_numpy(gather(*given).target_features_ND.mean(0)).float()
    with torch.no_grad():  # the mean image has no class: others have different ones
        head.bias.copy_(-head.weight @ mean_D)
    return gather(*given)


def test_every_class_is_among_the_rows_drawn(study: Callable[..., Study]) -> None:
    found = evidence_of(study())
    assert found.source_y_S is not None
    assert found.target_p_NK is not None
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
    of_prepared = Prefix.of_prepared

    def counting(self: Prefix, images: Rows) -> Any:
        assert isinstance(images, torch.Tensor)
        if images.dtype == torch.float32 and len(images) > 1:  # the stored images are uint8
            rows.append(len(images))
        return of_prepared(self, images)

    monkeypatch.setattr(Prefix, "of_prepared", counting)
    for _ in range(2):
        evidence_of(study(), frozen_depth=2)
    assert sum(rows) == 100


def test_no_prefix_is_run_on_mixes_that_nobody_asked_for(study: Callable[..., Study]) -> None:
    calls: list[bool] = []

    class Noting:
        mixes = True

        def feed(self, *_: Any, view: Any, **__: Any) -> Any:
            calls.append(view is not None)
            return "a feed"

    readers: Any = Noting()
    feeds = evidence_feeds(Material.of(study()), readers, 0, with_source=True)
    assert calls == [False, False]
    assert feeds.mixed is not None
    feeds.mixed()
    assert calls == [False, False, True]


def seen_through(view: MixedView, path: Path, transform: ImageTransform) -> ColumnRows:
    split = Dataset.open(path).split("train")
    return ColumnRows(split, "image", MODALITIES["image"], transform, view)


AS_THEY_ARE = ImageTransform((1, 8, 8), [0.0], [1.0])


def test_mixes_by_hand(domains: tuple[Path, Path]) -> None:
    chosen = np.array([3, 7, 20, 41, 79])
    view = MixedView.drawn(chosen, 0.55, seed=4)
    assert sorted(view.partners) == [0, 1, 2, 3, 4]
    assert (view.partners != np.arange(5)).all()
    seen = seen_through(view, domains[1], AS_THEY_ARE)
    assert seen.count == 5
    split = seen.split
    own, partner = (split.read("image", rows) / 255 for rows in (chosen, chosen[view.partners]))
    images = seen.values(np.array([4, 0]))
    assert images.dtype == np.float32
    assert images == pytest.approx((0.55 * own + 0.45 * partner)[[4, 0]], abs=1e-6)
    others = [MixedView.drawn(chosen, 0.55, 5), MixedView.drawn(chosen[1:], 0.55, 4)]
    assert len({str(v.key) for v in (view, MixedView.drawn(chosen, 0.55, 4), *others)}) == 3


def test_a_mixed_row_has_its_own_rows_id_and_label(tiny_study: MakeStudy) -> None:
    material = Material.of(tiny_study())
    target, trial = material.domains.target, TrialConfig(source_model="net", recipe="finetune")
    branch = build_trial(material, trial, 0).model.branch("image")
    readers = Readers(material.domains, {"image": Prepared("image", branch)})
    chosen = np.array([3, 7, 20, 41, 79])
    view = MixedView.drawn(chosen, 0.55, seed=4)
    feed = readers.feed(
        target, "train", indices=None, labelled=True, batch_size=2, seed=0, view=view
    )
    (batch,) = feed.eval_batches()
    split = target.split("train")
    assert batch.target is not None
    assert np.array_equal(batch.id, split.ids()[chosen])
    assert np.array_equal(batch.target, split.read("label", chosen))


def test_mixed_pixels_are_mixed_inputs(domains: tuple[Path, Path]) -> None:
    transform = ImageTransform((3, 13, 13), (0.4, 0.5, 0.6), (0.2, 0.3, 0.1))
    view = MixedView.drawn(np.arange(80), 0.55, seed=0)
    seen = seen_through(view, domains[1], transform)
    x = transform(torch.from_numpy(seen.split.all("image")))
    mixed = transform(seen.given(np.arange(80)).rows)  # type: ignore[arg-type]
    torch.testing.assert_close(mixed, 0.55 * x + 0.45 * x[view.partners], rtol=1e-4, atol=1e-5)
