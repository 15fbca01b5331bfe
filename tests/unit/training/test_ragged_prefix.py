"""Prefix features of rows of unequal lengths: what is stored is what is computed on the fly."""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from several_columns import (
    BILSTM,
    CNN,
    GRU,
    parts_of,
    run_of,
    study_of,
    target_of,
    trained,
    write_rows,
)

from raytl.config import Study
from raytl.rows import Given, Padded, Rows, count
from raytl.training.cache_entries import cache_folder, progress
from raytl.training.entry_files import OFFSETS, VALUES
from raytl.training.prefix import Prefix
from raytl.training.prefix_cache import FeatureRows, Room
from raytl.training.readers import Prepared, Stored

sys.path.append(str(Path(__file__).parents[1] / "modalities" / "text"))
from text_support import save_folder

CPU = torch.device("cpu")
ROWS = 60
ROOM = Room(2**30)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_folder(tmp_path_factory.mktemp("hub") / "bert"))


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = {"image": "image", "text": "text", "series": "series"}
    return write_rows(tmp_path_factory.mktemp("ragged") / "target", names)


def study_for(target: Path, column: str, model: dict[str, Any], **train: Any) -> Study:
    plain = {"epochs": 2, "batch_size": 8, "steps_per_epoch": 6} | train
    domain = {"dataset": target, "inputs": [column], "labels": "all"}
    return study_of(target, {"net": model}, target_domain=domain, train=plain)


def prefix_of(study: Study, column: str, depth: int | str, **more: Any) -> Prefix:
    branch = parts_of(study, frozen_depth=depth).model.branch(column)
    return Prefix(branch, CPU, **more)


def stored(study: Study, column: str, prefix: Prefix) -> FeatureRows:
    rows = Stored(column, prefix, ROOM).rows(target_of(study), "train", column, None)
    assert isinstance(rows, FeatureRows)
    return rows


def on_the_fly(study: Study, column: str, prefix: Prefix, rows: np.ndarray) -> Rows:
    branch = prefix.branch
    prepared = Prepared(column, branch).rows(target_of(study), "train", column, None).given(rows)
    with torch.no_grad():
        h = branch.eval().backbone.run(branch.transform(prepared.rows), 0, prefix.depth)
        return branch.backbone.pool(h) if prefix.whole else h


def same(one: Rows, two: Rows) -> None:
    assert type(one) is type(two)
    if isinstance(one, Padded) and isinstance(two, Padded):
        assert torch.equal(one.sizes, two.sizes)
        one, two = one.values, two.values
    torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_what_is_stored_of_a_bilstm_is_what_is_computed(target: Path, depth: int) -> None:
    study = study_for(target, "text", BILSTM)
    prefix, rows = prefix_of(study, "text", depth), np.array([7, 3, 3, 41, 0])
    found = stored(study, "text", prefix).given(rows)
    assert found.done == (4 if depth == 3 else depth)  # three blocks and the pooling
    same(found.rows, on_the_fly(study, "text", prefix, rows))


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_what_is_stored_of_a_tiny_bert_is_what_is_computed(
    target: Path, bert: str, depth: int
) -> None:
    study = study_for(target, "text", {"huggingface": bert})
    prefix, rows = prefix_of(study, "text", depth), np.array([7, 3, 3, 41, 0])
    found = stored(study, "text", prefix).given(rows)
    same(found.rows, on_the_fly(study, "text", prefix, rows))


def test_bfloat16_is_what_is_computed_rounded(target: Path, bert: str) -> None:
    study, rows = study_for(target, "text", {"huggingface": bert}), np.arange(9)
    prefix = prefix_of(study, "text", 2, dtype="bfloat16")
    found, plain = stored(study, "text", prefix).given(rows).rows, prefix_of(study, "text", 2)
    exact = on_the_fly(study, "text", plain, rows)
    assert isinstance(found, Padded) and isinstance(exact, Padded)
    assert found.values.dtype == torch.float32
    torch.testing.assert_close(found.values, exact.values, atol=1e-2, rtol=2**-7)
    assert not torch.equal(found.values, exact.values)


NETS: dict[str, tuple[str, dict[str, Any]]] = {
    "bilstm": ("text", BILSTM),
    "gru": ("series", GRU),
    "cnn": ("image", CNN),
}


def close(one: list[dict[str, Any]], two: list[dict[str, Any]], rel: float = 1e-4) -> None:
    for a, b in zip(one, two, strict=True):
        for name, value in a.items():
            expected = value if name == "test/confusion" else pytest.approx(value, rel, 1e-5)
            assert b[name] == expected, name


@pytest.mark.parametrize("net", list(NETS))
@pytest.mark.parametrize("depth", [1, "100%"])
def test_losses_are_the_same_with_and_without_stored_features(
    target: Path, net: str, depth: int | str
) -> None:
    column, model = NETS[net]
    plain = study_for(target, column, model, reuse_prefix=False)
    expected = trained(plain, frozen_depth=depth)
    before = len(list(cache_folder().glob("*/features.npy")))
    close(expected, trained(study_for(target, column, model), frozen_depth=depth))
    assert len(list(cache_folder().glob("*/features.npy"))) > before


@pytest.mark.parametrize("depth", [1, 3])
def test_losses_of_a_tiny_bert_are_the_same(target: Path, bert: str, depth: int) -> None:
    model = {"huggingface": bert}
    expected = trained(study_for(target, "text", model, reuse_prefix=False), frozen_depth=depth)
    close(expected, trained(study_for(target, "text", model), frozen_depth=depth), rel=1e-3)


def test_losses_of_two_columns_are_the_same(target: Path) -> None:
    models = {"net": {"parts": {"image": CNN, "text": BILSTM}}}
    flat: dict[str, Any] = {"frozen_depth": "100%", "frozen_depth__text": 1, "fusion": "gated"}
    train = {"epochs": 1, "batch_size": 8, "steps_per_epoch": 6}
    plain = study_of(target, models, train=train | {"reuse_prefix": False})
    expected = trained(plain, **flat)
    close(expected, trained(study_of(target, models, train=train), **flat))
    run = run_of(study_of(target, models, train=train), **flat)
    batch = next(run.feeds["labelled"].train_batches())
    assert {name: given.done for name, given in batch.inputs.items()} == {"image": 5, "text": 1}


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What was computed: from what, and how many rows; the one row that tells the shape aside."""
    calls: list[tuple[str, int]] = []
    for name in ("of_prepared", "of_stored"):
        plain = getattr(Prefix, name)

        def counting(
            self: Prefix, x: Rows, *more: int, plain: Any = plain, name: str = name
        ) -> Any:
            if count(x) > 1:
                calls.append((name, count(x)))
            return plain(self, x, *more)

        monkeypatch.setattr(Prefix, name, counting)
    return calls


def test_a_longer_prefix_is_computed_from_a_shorter_one(
    target: Path, bert: str, computed: list[tuple[str, int]]
) -> None:
    study = study_for(target, "text", {"huggingface": bert})
    stored(study, "text", prefix_of(study, "text", 1))
    computed.clear()
    prefix = prefix_of(study, "text", 3)
    longer = stored(study, "text", prefix)
    assert {name for name, _ in computed} == {"of_stored"}
    assert sum(rows for _, rows in computed) == ROWS
    same(longer.given(np.arange(20)).rows, on_the_fly(study, "text", prefix, np.arange(20)))


def files(target: Path) -> list[Path]:
    return sorted(cache_folder().glob("*/" + OFFSETS))


DAMAGES = {
    "a byte of the offsets": lambda file: _flip(file),
    "the offsets cut off": lambda file: file.write_bytes(file.read_bytes()[:-8]),
    "no offsets": lambda file: file.unlink(),
    "a byte of the values": lambda file: _flip(file.with_name(VALUES)),
    "no values": lambda file: file.with_name(VALUES).unlink(),
    "no facts": lambda file: file.with_name("info.json").unlink(),
}


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-3] ^= 255
    file.write_bytes(content)
    os.utime(file, ns=(1, 1))


@pytest.mark.parametrize("damage", list(DAMAGES))
def test_a_damaged_entry_is_computed_again(
    target: Path, damage: str, computed: list[tuple[str, int]]
) -> None:
    study = study_for(target, "text", BILSTM)
    prefix = prefix_of(study, "text", 1)
    expected = stored(study, "text", prefix).given(np.arange(ROWS)).rows
    computed.clear()
    stored(study, "text", prefix)
    assert not computed
    (file,) = files(target)
    DAMAGES[damage](file)
    found = stored(study, "text", prefix).given(np.arange(ROWS)).rows
    assert sum(rows for _, rows in computed) == ROWS
    same(found, expected)
    assert not list(cache_folder().glob("*.draft"))


def test_waiting_processes_compute_chunks_of_their_own(
    target: Path, computed: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raytl.training.prefix_cache.LEAST_ROWS", 4)
    study = study_for(target, "text", BILSTM)
    prefixes = [prefix_of(study, "text", 1) for _ in range(4)]
    computed.clear()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda prefix: stored(study, "text", prefix), prefixes))
    assert sum(rows for _, rows in computed) == ROWS
    expected = on_the_fly(study, "text", prefixes[0], np.arange(ROWS))
    for features in found:
        same(features.given(np.arange(ROWS)).rows, expected)
    assert not list(cache_folder().glob("*-*.lock"))


def kill_at_fifth_chunk(patch: pytest.MonkeyPatch) -> None:
    plain, calls = Prefix.of_prepared, []

    def dies(self: Prefix, rows: Rows) -> Any:
        calls.append(count(rows))  # the first call tells the shape
        if len(calls) == 5:
            raise KeyboardInterrupt
        return plain(self, rows)

    patch.setattr(Prefix, "of_prepared", dies)


def kill_while_joining(patch: pytest.MonkeyPatch) -> None:
    plain = np.lib.format.open_memmap

    def dies(file: Path, *more: Any, **options: Any) -> Any:
        opened = plain(file, *more, **options)
        if Path(file).name == f".{VALUES}":
            opened[:1] = 7.0
            raise KeyboardInterrupt
        return opened

    patch.setattr("raytl.training.feature_store.np.lib.format.open_memmap", dies)


KILLS = {
    "between chunks": (kill_at_fifth_chunk, 3),
    "in the end": (kill_while_joining, 8),
}


@pytest.mark.parametrize("when", list(KILLS))
def test_what_a_killed_process_left_is_gone_on_with(
    target: Path, when: str, computed: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raytl.training.prefix_cache.LEAST_ROWS", 8)
    study = study_for(target, "text", BILSTM)
    prefix = prefix_of(study, "text", 1)
    kill, done = KILLS[when]
    with monkeypatch.context() as patch:
        kill(patch)
        with pytest.raises(KeyboardInterrupt):
            stored(study, "text", prefix)
    assert progress() == (done, 8)
    computed.clear()
    found = stored(study, "text", prefix).given(np.arange(ROWS)).rows
    assert sum(rows for _, rows in computed) == max(0, ROWS - done * 8)
    same(found, on_the_fly(study, "text", prefix, np.arange(ROWS)))
    assert progress() == (0, 0)
    (entry,) = (path for path in cache_folder().iterdir() if path.is_dir())
    assert {path.name for path in entry.iterdir()} == {VALUES, OFFSETS, "info.json"}


def test_the_facts_of_an_entry_tell_its_files(target: Path) -> None:
    study = study_for(target, "text", BILSTM)
    stored(study, "text", prefix_of(study, "text", 1))
    (file,) = files(target)
    info = json.loads(file.with_name("info.json").read_text())
    assert info["bytes"] == file.with_name(VALUES).stat().st_size
    assert len(info["sha256"]) == len(info["offsets"]) == 64


def test_given_rows_are_those_of_the_numbers_asked_for(target: Path) -> None:
    study = study_for(target, "text", BILSTM)
    prefix = prefix_of(study, "text", 1)
    rows = stored(study, "text", prefix)
    one, two = rows.given(np.array([5, 9])), rows.given(np.array([9]))
    cut: Given = one.cut(slice(1, 2))
    assert isinstance(cut.rows, Padded) and isinstance(two.rows, Padded)
    length = int(two.rows.sizes[0])
    assert torch.equal(cut.rows.values[:, :length], two.rows.values)
    assert not cut.rows.values[:, length:].any()
