"""Prepared rows are kept: a transform prepares each row once, over all trials that read it."""

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from several_columns import BILSTM, CNN, GRU, run_of, study_of, target_of, trained, write_rows

from raytl.config import Study
from raytl.modalities.series.transform import SeriesTransform
from raytl.modalities.text.transform import VocabularyTransform
from raytl.ranks import Share
from raytl.rows import Padded, Rows
from raytl.training.cache_entries import cache_folder
from raytl.training.readers import Prepared, Stored

SPLITS = {"train": 48, "test": 24}
TRANSFORMS: dict[str, Any] = {"text": VocabularyTransform, "series": SeriesTransform}
NETS: dict[str, dict[str, Any]] = {"text": BILSTM, "series": GRU}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = {"image": "image", "text": "text", "series": "series"}
    return write_rows(tmp_path_factory.mktemp("prepared") / "target", names, rows=SPLITS)


def study_for(target: Path, column: str, **train: Any) -> Study:
    plain = {"epochs": 2, "batch_size": 8, "steps_per_epoch": 6} | train
    domain = {"dataset": target, "inputs": [column], "labels": "all"}
    return study_of(target, {"net": NETS[column]}, target_domain=domain, train=plain)


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each row was prepared, by its content."""
    seen: Counter[str] = Counter()
    for kind in TRANSFORMS.values():
        plain = kind.prepare

        def counting(self: Any, values: np.ndarray, plain: Any = plain) -> Rows:
            seen.update(str(value) for value in values)
            return plain(self, values)

        monkeypatch.setattr(kind, "prepare", counting)
    return seen


@pytest.mark.parametrize("column", ["text", "series"])
def test_each_row_is_prepared_once_over_several_trials(
    target: Path, column: str, prepared: Counter[str]
) -> None:
    study = study_for(target, column)
    trained(study, seed=1)
    once = prepared.total()
    # All rows of both splits, and few more: those by which sizes are known.
    assert sum(SPLITS.values()) <= once <= sum(SPLITS.values()) + 2 * 32 + 2
    trained(study, seed=1)
    prepared.clear()
    for lr in (0.01, 0.1):
        trained(study, seed=1, optimizer__lr=lr, head="mlp")
    # Only those by which it is decided what is stored.
    assert prepared.total() <= 2 * 32


def test_a_row_that_is_not_kept_is_prepared_in_every_epoch(
    target: Path, prepared: Counter[str]
) -> None:
    trained(study_for(target, "text", prefix_cache_bytes=1))
    assert prepared.total() > 2 * 6 * 8
    assert not cache_folder().exists()


@pytest.mark.parametrize("column", ["text", "series"])
def test_what_is_trained_is_the_same_with_and_without_kept_rows(
    target: Path, column: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only of kept rows the lengths are known, by which batches may be drawn.
    monkeypatch.setattr("raytl.data.order.PADDED_TOO_MUCH", 1e9, raising=False)
    kept = trained(study_for(target, column))
    assert list(cache_folder().glob("*/features.npy"))
    assert trained(study_for(target, column, prefix_cache_bytes=1)) == kept
    assert trained(study_for(target, column, feed="streaming")) == kept


@pytest.mark.parametrize("column", ["text", "series"])
def test_kept_rows_are_what_the_transform_prepares_bit_by_bit(target: Path, column: str) -> None:
    run = run_of(study_for(target, column))
    batch = next(run.feeds["labelled"].train_batches())
    given = batch.inputs[column]
    assert given.done == 0 and isinstance(given.rows, Padded)
    domain = run.material.domains.target
    rows = Prepared(column, run.parts.model.branch(column)).rows(domain, "train", column, None)
    places = np.searchsorted(domain.split("train").ids(), batch.id.numpy())
    fresh = rows.given(places).rows
    assert isinstance(fresh, Padded) and fresh.values.dtype == given.rows.values.dtype
    assert torch.equal(fresh.values, given.rows.values)
    assert torch.equal(fresh.sizes, given.rows.sizes)


def test_what_is_prepared_for_nothing_is_not_kept(target: Path) -> None:
    domain = {"dataset": target, "inputs": ["image"], "labels": "all"}
    run = run_of(study_of(target, {"net": CNN}, target_domain=domain))
    reader = run._readers.by_branch["image"]
    assert isinstance(reader, Prepared) and not cache_folder().exists()


def test_rows_that_take_too_much_room_are_not_kept(target: Path) -> None:
    study = study_for(target, "series")
    assert isinstance(run_of(study)._readers.by_branch["series"], Stored)
    # Series have 4 steps of 2 numbers on average: 32 bytes, of 72 rows.
    for room, kind in ((2 * 72 * 64, Stored), (2 * 72 * 16, Prepared)):
        tight = study_for(target, "series", prefix_cache_bytes=room)
        assert isinstance(run_of(tight)._readers.by_branch["series"], kind)


def test_how_much_room_rows_take_is_asked_of_each_dataset(target: Path, tmp_path: Path) -> None:
    from several_columns import COLUMNS

    from raytl.data.writer import Chunk, write_dataset
    from raytl.modalities.ragged import as_rows

    long = as_rows(np.ones((200, 2), dtype=np.float32) * (i % 5) for i in range(48))
    chunk = Chunk({"series": long, "label": np.arange(48) % 2}, np.arange(48))
    columns = {name: COLUMNS[name] for name in ("series", "label")}
    write_dataset(tmp_path / "long", columns, {"train": [chunk], "test": [chunk]}, {})
    room = {"prefix_cache_bytes": 2 * 72 * 64}
    per_row = {"backbone": "gru", "args": {"width": 4}, "transform": {"per_row": True}}
    for dataset, kind in ((target, Stored), (tmp_path / "long", Prepared)):
        domain = {"dataset": dataset, "inputs": ["series"], "labels": "all"}
        train = {"epochs": 1, "batch_size": 8, "steps_per_epoch": 3} | room
        study = study_of(dataset, {"net": per_row}, target_domain=domain, train=train)
        # The very same transform and network, in one process.
        assert isinstance(run_of(study)._readers.by_branch["series"], kind)


@pytest.mark.parametrize("feed", ["resident", "streaming"])
@pytest.mark.parametrize("column", ["text", "series"])
def test_shares_of_rows_of_unequal_lengths_make_up_the_batch(
    target: Path, column: str, feed: Any
) -> None:
    run = run_of(study_for(target, column))
    domain = run.material.domains.target

    def batches(share: Share) -> Any:
        return run._readers.feed(
            domain, "train", indices=None, labelled=True, batch_size=7, seed=1, kind=feed,
            share=share,
        ).train_batches(11)  # fmt: skip

    streams = [batches(share) for share in (Share(), Share(0, 3), Share(2, 3))]
    for _ in range(4):
        whole, *shares = (next(stream) for stream in streams)
        rows = whole.inputs[column].rows
        for rank, batch in zip((0, 2), shares, strict=True):
            own = batch.inputs[column].rows
            assert isinstance(rows, Padded) and isinstance(own, Padded)
            assert torch.equal(own.sizes, rows.sizes[rank::3])
            length = int(own.sizes.max())  # padded to its own longest row
            assert own.values.shape[1] == length
            assert torch.equal(own.values, rows.values[rank::3, :length])
            assert torch.equal(batch.id, whole.id)


def test_columns_are_kept_each_for_itself(target: Path, prepared: Counter[str]) -> None:
    models = {"net": {"parts": {"image": CNN, "text": BILSTM, "series": GRU}}}
    study = study_of(target, models)
    run = run_of(study)
    kinds = {name: type(reader) for name, reader in run._readers.by_branch.items()}
    assert kinds == {"image": Prepared, "text": Stored, "series": Stored}
    prepared.clear()
    trained(study, inputs="text")
    trained(study, inputs="series")
    splits = SPLITS["test"] * 2  # the test split was not read before
    assert prepared.total() <= splits + 4 * 33


def test_branches_share_the_room_of_a_trial(target: Path) -> None:
    models = {"net": {"parts": {"text": BILSTM, "series": GRU}}}

    def kinds(room: int) -> list[type]:
        train = {"epochs": 1, "batch_size": 8, "steps_per_epoch": 3, "prefix_cache_bytes": room}
        readers = run_of(study_of(target, models, train=train))._readers.by_branch
        return [type(readers[name]) for name in ("text", "series")]

    sizes = {}
    for name in ("text", "series"):
        reader = run_of(study_of(target, models))._readers.by_branch[name]
        assert isinstance(reader, Stored)
        sizes[name] = entry_bytes(reader, target)
    both = 2 * sum(sizes.values())
    assert kinds(2 * both) == [Stored, Stored]
    one = int(2.5 * max(sizes.values()))  # each would fit half of it alone
    assert kinds(one) == [Stored, Prepared]


def entry_bytes(reader: Stored, target: Path) -> float:
    """What is stored of both splits of a column takes, by the rows that tell it."""
    rows = reader.prefix.branch.transform
    values = target_of(study_of(target, {"net": CNN})).split("train").all(reader.column)
    return sum(SPLITS.values()) * reader.prefix.of_prepared(rows.prepare(values)).nbytes / 48


def test_an_entry_of_a_trial_makes_no_room_for_another_of_its_own(
    target: Path, prepared: Counter[str]
) -> None:
    models = {"net": {"parts": {"text": BILSTM, "series": GRU}}}
    trained(study_of(target, models))
    undisturbed = prepared.total()
    entries = sorted(cache_folder().glob("*/info.json"))
    assert len(entries) == 4  # two columns of two splits
    whole = sum(json.loads(file.read_text())["bytes"] for file in entries)
    # Another study's, dear to compute: whoever needs room would rather delete cheap ones.
    dear = cache_folder() / "dear"
    for file in entries:
        shutil.rmtree(file.parent)
    room = 3 * whole
    dear.mkdir()
    info = {"bytes": room - whole // 2, "seconds": 1e9, "sha256": "", "offsets": None}
    (dear / "info.json").write_text(json.dumps(info))
    train = {"epochs": 1, "batch_size": 8, "steps_per_epoch": 3, "prefix_cache_bytes": room}
    prepared.clear()
    trained(study_of(target, models, train=train))
    assert sorted(cache_folder().glob("*/info.json")) == entries and not dear.exists()
    assert prepared.total() == undisturbed  # nothing was prepared a second time


@pytest.mark.parametrize("column", ["text", "series"])
def test_prepared_rows_are_kept_whether_prefixes_are_reused_or_not(
    target: Path, column: str
) -> None:
    for reuse in (True, False):
        reader = run_of(study_for(target, column, reuse_prefix=reuse))._readers.by_branch[column]
        assert isinstance(reader, Stored) and reader.prefix.depth == 0


def test_without_reuse_a_frozen_prefix_is_run_on_kept_rows(target: Path) -> None:
    depths = {}
    for reuse in (True, False):
        run = run_of(study_for(target, "text", reuse_prefix=reuse), frozen_depth=1)
        reader = run._readers.by_branch["text"]
        assert isinstance(reader, Stored)
        depths[reuse] = reader.prefix.depth
    assert depths == {True: 1, False: 0}
