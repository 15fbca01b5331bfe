"""Features of few rows of a split: computed of these alone, the same as among all, one entry a
draw."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import stripes
from several_columns import BILSTM, study_of, write_rows
from tests_support import write_images

from raytl.config import Study, TrialConfig
from raytl.data.branch_rows import FewRows
from raytl.data.domain import Domain
from raytl.modalities.image.column import ImageColumn
from raytl.recipes import RECIPES
from raytl.rows import Given, Padded, Rows, count
from raytl.training import rows_read as reading
from raytl.training.building import build_trial
from raytl.training.cache_entries import cache_folder
from raytl.training.material import Material
from raytl.training.prefix import Prefix
from raytl.training.prefix_cache import Room
from raytl.training.readers import Prepared, Stored
from raytl.training.rows_read import StoredRows, rows_read
from raytl.training.trial import TrialRun, run_trial
from raytl.training.trial_feeds import reuse_pays, stored_rows

MakeStudy = Callable[..., Study]
TRAIN = {"epochs": 2, "batch_size": 8, "steps_per_epoch": 12}
TRAIN_ROWS, TEST_ROWS = 80, 40  # of either domain
LABELS = 4  # of each of 2 classes, of which a row is held out


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def few_labels(tiny_study: MakeStudy, domains: tuple[Path, Path]) -> MakeStudy:
    """Make a study with LABELS of each class; keyword arguments are of `train`."""

    def make(labels: int | str = LABELS, **train: Any) -> Study:
        target = {"dataset": domains[1], "labels": labels}
        return tiny_study(target_domain=target, train=TRAIN | train)

    return make


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows were computed at once; the one row that tells the shape aside."""
    calls: list[int] = []
    of_prepared = Prefix.of_prepared

    def spied(self: Prefix, rows: Rows) -> Any:
        if count(rows) > 1:
            calls.append(count(rows))
        return of_prepared(self, rows)

    monkeypatch.setattr(Prefix, "of_prepared", spied)
    return calls


def trial_of(recipe: str, **flat: Any) -> TrialConfig:
    plain = {"source_model": "net", "recipe": recipe, "frozen_depth": 2}
    return TrialConfig.from_flat(plain | flat)


def ran(study: Study, recipe: str, *, test: bool = False, **seeds: int) -> list[dict[str, Any]]:
    reported: list[dict[str, Any]] = []

    def report(metrics: dict[str, Any], save: Any) -> None:
        reported.append({k: v for k, v in metrics.items() if k != "train/seconds"})

    material = Material.of(study)
    run_trial(material, trial_of(recipe), seed=1, report=report, test=test, **seeds)
    return reported


def entries() -> set[str]:
    return {file.parent.name for file in cache_folder().glob("*/info.json")}


def test_a_recipe_of_labelled_rows_has_theirs_computed_and_no_others(
    few_labels: MakeStudy, computed: list[int]
) -> None:
    ran(few_labels(), "linear_probe")
    assert computed == [2 * LABELS] and len(entries()) == 1  # those held out among them
    ran(few_labels(), "linear_probe", test=True)
    assert computed == [2 * LABELS, 32, 8] and len(entries()) == 2


def test_a_recipe_of_the_whole_split_reads_its_labelled_rows_there(
    few_labels: MakeStudy, computed: list[int]
) -> None:
    ran(few_labels(), "dann")
    assert sum(computed) == 2 * TRAIN_ROWS and len(entries()) == 2  # of both domains


def test_many_labels_are_read_among_all_rows(few_labels: MakeStudy, computed: list[int]) -> None:
    ran(few_labels(labels=10), "linear_probe")  # 20 of 80
    assert sum(computed) == TRAIN_ROWS


def test_each_draw_has_an_entry_of_its_own_which_its_trials_share(
    few_labels: MakeStudy, computed: list[int]
) -> None:
    for rows_seed in (5, 6, 5):
        ran(few_labels(), "linear_probe", rows_seed=rows_seed)
    assert computed == [2 * LABELS] * 2 and len(entries()) == 2
    found = [ran(few_labels(), "linear_probe", rows_seed=seed) for seed in (5, 6)]
    assert len(computed) == 2 and found[0] != found[1]


@pytest.mark.parametrize("recipe", ["linear_probe", "finetune"])
@pytest.mark.parametrize("augment", [{}, {"augment": {"flip": True, "views": 2}}])
def test_answers_are_those_of_the_whole_splits_features_bit_by_bit(
    few_labels: MakeStudy, monkeypatch: pytest.MonkeyPatch, recipe: str, augment: dict[str, Any]
) -> None:
    few = ran(few_labels(**augment), recipe, test=True)
    made = entries()
    monkeypatch.setattr(reading, "FEW", 0)
    assert ran(few_labels(**augment), recipe, test=True) == few
    assert len(entries() - made) >= 1, "whole splits' features are others' entries"


def test_validators_judge_by_some_of_the_few(
    few_labels: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def judged() -> list[dict[str, Any]]:
        study = few_labels()
        search = study.search.model_copy(update={"objective": "bnm"})
        return ran(study.model_copy(update={"search": search}), "linear_probe")

    few = judged()
    assert "target/validator/bnm" in few[0]
    monkeypatch.setattr(reading, "FEW", 0)
    assert judged() == few


def prefix_of(study: Study, column: str = "image", depth: int = 2) -> tuple[Prefix, Domain]:
    material = Material.of(study)
    branch = build_trial(material, trial_of("finetune", frozen_depth=depth), 0).model.branch(column)
    return Prefix(branch, torch.device("cpu")), material.domains.target


def both_ways(study: Study, column: str, numbers: list[int]) -> tuple[Any, Any]:
    """The rows `numbers` as the reader gives them that stores these alone, and the other."""
    prefix, domain = prefix_of(study, column)
    few = StoredRows(None, {(False, "train", False): np.sort(numbers)})
    found = []
    for stored in (few, StoredRows()):
        reader = Stored(column, prefix, Room(2**30), stored=stored)
        found.append(reader.rows(domain, "train", column, None))
    return found[0], found[1]


def test_stored_rows_are_those_of_the_whole_split_bit_by_bit(few_labels: MakeStudy) -> None:
    numbers = np.array([61, 3, 17, 40])
    few, every = both_ways(few_labels(), "image", numbers.tolist())
    assert torch.equal(few.given(numbers).rows, every.given(numbers).rows)
    assert len(few.rows.stored.values) == 4 and len(every.stored.values) == TRAIN_ROWS


def test_rows_of_unequal_lengths_keep_theirs(tmp_path: Path) -> None:
    write_rows(tmp_path / "texts", {"text": "text"}, rows={"train": 48, "test": 24})
    domain = {"dataset": tmp_path / "texts", "inputs": ["text"], "labels": "all"}
    study = study_of(tmp_path / "texts", {"net": BILSTM}, target_domain=domain)
    numbers = np.array([30, 2, 9])
    prefix, _ = prefix_of(study, "text", 1)
    assert prefix.depth == 1
    few, every = both_ways(study, "text", numbers.tolist())
    one, two = few.given(numbers).rows, every.given(numbers).rows
    assert isinstance(one, Padded) and torch.equal(one.sizes, two.sizes)
    torch.testing.assert_close(one.values, two.values)
    assert few.lengths[numbers].tolist() == every.lengths[numbers].tolist()
    assert few.lengths.shape == every.lengths.shape and few.lengths[0] == 0


def test_other_rows_than_those_there_are_are_never_given() -> None:
    class Numbers:
        lengths = None

        def given(self, rows: np.ndarray) -> Given:
            return Given(torch.from_numpy(rows))

    rows = FewRows(Numbers(), np.array([2, 5, 7]), 10)
    assert rows.given(np.array([7, 2, 2])).rows.tolist() == [2, 0, 0]  # type: ignore[union-attr]
    assert rows.lengths is None
    for other in (3, 9):
        with pytest.raises(AssertionError, match="none but these"):
            rows.given(np.array([2, other]))


def stored_by(study: Study, recipe: str) -> StoredRows:
    material = Material.of(study)
    streams = RECIPES[recipe].streams(study.labelled, study.source_domain is not None)
    parts = build_trial(material, trial_of(recipe), 0)
    read = rows_read(material, streams, study.search.seed)
    return stored_rows(material, parts, "image", read)


VIEWS = {"augment": {"flip": True, "views": 3}}


@pytest.mark.parametrize(
    ("recipe", "labels", "train", "rows"),
    [
        ("linear_probe", LABELS, {}, 2 * LABELS + TEST_ROWS),
        ("linear_probe", 10, {}, TRAIN_ROWS + TEST_ROWS),
        ("joint", LABELS, {}, 2 * LABELS + TRAIN_ROWS + TEST_ROWS),
        ("dann", LABELS, {}, 2 * TRAIN_ROWS + TEST_ROWS),
        ("dann", "all", {}, 2 * TRAIN_ROWS + TEST_ROWS),
        # Learnt from in views, judged by as they are: 6 and 2 rows.
        ("linear_probe", LABELS, VIEWS, 3 * 6 + 2 + TEST_ROWS),
        # Of the source domain a fifth is held out: not few.
        ("dann", LABELS, VIEWS, 3 * 2 * TRAIN_ROWS + 2 + TRAIN_ROWS + TEST_ROWS),
    ],
)
def test_as_many_rows_are_counted_as_are_stored(
    few_labels: MakeStudy,
    recipe: str,
    labels: int | str,
    train: Mapping[str, Any],
    rows: int,
    computed: list[int],
) -> None:
    study = few_labels(labels, **train)
    assert stored_by(study, recipe).count == rows
    ran(study, recipe, test=True)
    assert sum(computed) == rows


def test_few_rows_of_a_named_validation_split_are_few_too(
    tiny_study: MakeStudy, tmp_path: Path
) -> None:
    pixels = ImageColumn(shape=(8, 8, 1), dtype="uint8")
    splits = {name: [stripes(40, seed, 40.0)] for seed, name in enumerate(("train", "val", "test"))}
    write_images(tmp_path / "three", pixels, ("rows", "columns"), splits)

    def count_of(labels: int | str) -> int:
        target = {"dataset": tmp_path / "three", "labels": labels, "splits": {"validation": "val"}}
        return stored_by(tiny_study(target_domain=target, train=TRAIN), "linear_probe").count

    assert count_of(2) == 2 * 1 + 2 * 1 + 40  # of each class one to learn from, one to judge by
    assert count_of("all") == 3 * 40


def test_of_a_teachers_branch_what_is_learnt_from_is_stored_alone(
    few_labels: MakeStudy,
) -> None:
    study = few_labels()
    trial = trial_of("relational_distillation", student="net", frozen_depth=0)
    material = Material.of(study)
    parts = build_trial(material, trial, 0)
    streams = RECIPES[trial.recipe].streams(study.labelled, True)
    read = rows_read(material, streams, study.search.seed)
    counts = {name: stored_rows(material, parts, name, read).count for name in parts.branches}
    assert {part.split for part in read.values() if part.learns} == {"train"}
    assert counts == {"image": TRAIN_ROWS + TEST_ROWS, "teacher/image": TRAIN_ROWS}


def test_the_budget_is_that_of_the_few(few_labels: MakeStudy) -> None:
    def reader(num_bytes: int) -> Any:
        study = few_labels(prefix_cache_bytes=num_bytes)
        run = TrialRun(Material.of(study), trial_of("linear_probe"), 0)
        return run._readers.by_branch["image"]

    prefix = reader(2**30).prefix
    row_bytes = prefix.row_bytes(prefix.branch.transform.example(1))
    need = 2 * (2 * LABELS + TEST_ROWS) * int(row_bytes)  # half of the cache is a trial's
    assert isinstance(reader(need), Stored)
    assert isinstance(reader(need - 1), Prepared)


def test_reuse_pays_by_what_is_computed(few_labels: MakeStudy) -> None:
    # 6 rows are drawn by a trial, 48 by those that count: as many as are stored, if these are few.
    study = few_labels(epochs=1, steps_per_epoch=3, batch_size=2)
    prefix, _ = prefix_of(study)
    assert reuse_pays(study.train, prefix, stored_by(study, "linear_probe").count)
    assert not reuse_pays(study.train, prefix, stored_by(study, "dann").count)
