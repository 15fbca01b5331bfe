"""Features that a cluster computed shard by shard: trials read what they would have computed."""

from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import stripes
from pool_support import computed, pooled_material, tasks_of
from s3_server import s3_bucket
from several_columns import BILSTM, study_of, write_rows
from tests_support import write_images

from raytl.config import Study, TrialConfig
from raytl.errors import CorruptError
from raytl.modalities.image.column import ImageColumn
from raytl.rows import Padded, Rows, count
from raytl.training.cache_entries import cache_folder
from raytl.training.material import Material
from raytl.training.pooled import FILE, FeatureColumn, Pooled
from raytl.training.pooled_rows import PooledRows
from raytl.training.prefix import Prefix
from raytl.training.pretrain import pretrain
from raytl.training.trial import TrialRun, run_trial
from raytl.urls import Place, Url

MakeStudy = Callable[..., Study]
TRAIN = {"epochs": 2, "batch_size": 8, "steps_per_epoch": 12}
SHARD_ROWS = 20


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "cache"))


@pytest.fixture(params=["a folder", "a folder that nodes share", "a bucket"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    if request.param == "a folder":
        yield tmp_path / "run" / "prefix"
    elif request.param == "a folder that nodes share":
        yield Url(f"file://{tmp_path}/run") / "prefix"
    else:
        with s3_bucket(monkeypatch) as bucket:
            yield bucket / "run" / "prefix"


@pytest.fixture
def sharded(tmp_path: Path) -> dict[str, Any]:
    """Domains of several shards each, and a source model whose weights no trial draws."""
    image = ImageColumn(shape=(8, 8, 1), dtype="uint8")
    for name, seed in (("from", 0), ("to", 1)):
        splits = {"train": [stripes(80, seed, 40.0)], "test": [stripes(40, seed + 9, 40.0)]}
        write_images(tmp_path / name, image, ("rows", "columns"), splits,
                     shard_bytes=64 * SHARD_ROWS)  # fmt: skip
    pretrain(tmp_path / "from", "small_cnn", tmp_path / "net", epochs=1, args={"width": 4})
    return {
        "source_models": {"net": {"path": tmp_path / "net"}},
        "source_domain": {"dataset": tmp_path / "from"},
        "target_domain": {"dataset": tmp_path / "to", "labels": 10},
    }


def ran(material: Material, **flat: Any) -> TrialRun:
    trial = TrialConfig.from_flat({"source_model": "net", "optimizer.lr": 0.05} | flat)
    return TrialRun(material, trial, seed=1)


def metrics(material: Material, **flat: Any) -> list[dict[str, Any]]:
    reported: list[dict[str, Any]] = []
    trial = TrialConfig.from_flat({"source_model": "net", "optimizer.lr": 0.05} | flat)

    def report(values: dict[str, Any], save: Any) -> None:
        reported.append({k: v for k, v in values.items() if k != "train/seconds"})

    run_trial(material, trial, seed=1, report=report, test=True)
    return reported


def close(one: list[dict[str, Any]], two: list[dict[str, Any]]) -> None:
    for a, b in zip(one, two, strict=True):
        for name, value in a.items():
            expected = value if name == "test/confusion" else pytest.approx(value, 1e-4, 1e-5)
            assert b[name] == expected, name


def inputs_of(run: TrialRun) -> PooledRows:
    (rows,) = run.feeds["source"]._source.inputs.values()
    assert isinstance(rows, PooledRows)
    return rows


@pytest.mark.parametrize("recipe", ["finetune", "linear_probe"])
def test_a_trial_reads_pooled_features_and_trains_as_on_its_own(
    tiny_study: MakeStudy, sharded: dict[str, Any], place: Place, recipe: str
) -> None:
    own = metrics(Material.of(tiny_study(train=TRAIN, **sharded)), recipe=recipe, frozen_depth=2)
    study = tiny_study(train=TRAIN | {"feed": "streaming"}, **sharded)
    depths = [2, "100%"]
    pooled = computed(study, tasks_of(study, "image", depths), place)
    (before,) = {len(list(cache_folder().glob("*/info.json")))}
    material = pooled_material(study, pooled)
    assert inputs_of(ran(material, recipe="joint", frozen_depth=2)).done == 2
    found = metrics(material, recipe=recipe, frozen_depth=2)
    close(own, found)
    assert len(list(cache_folder().glob("*/info.json"))) == before  # stored none itself


def test_no_frozen_block_is_run(
    tiny_study: MakeStudy, sharded: dict[str, Any], tmp_path: Path
) -> None:
    study = tiny_study(train=TRAIN | {"feed": "streaming"}, **sharded)
    pooled = computed(study, tasks_of(study, "image", ["100%"]), tmp_path / "prefix")
    run = ran(pooled_material(study, pooled), recipe="linear_probe", frozen_depth="100%")
    assert run.reads_features
    assert not ran(Material.of(study), recipe="linear_probe").reads_features
    # Of another depth there is nothing: rows are read as they are.
    other = ran(pooled_material(study, pooled), recipe="finetune", frozen_depth=1)
    batch = next(other.feeds["labelled"].train_batches())
    assert batch.inputs["image"].done == 0


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_each_row_has_the_features_that_its_image_gives(
    tiny_study: MakeStudy, sharded: dict[str, Any], tmp_path: Path, dtype: str
) -> None:
    study = tiny_study(train=TRAIN | {"prefix_dtype": dtype}, **sharded)
    tasks = tasks_of(study, "image", [1, 3])
    pooled, material = computed(study, tasks, tmp_path / "prefix"), Material.of(study)
    assert [task.split for task in tasks] == ["train", "test", "train"]
    rows = np.array([61, 3, 3, 79, 20, 19])
    for depth in (1, 3):
        run = ran(pooled_material(study, pooled), frozen_depth=depth, recipe="joint")
        prefix = Prefix(run.parts.model.branch("image"), torch.device("cpu"))
        values = material.domains.source.split("train").read("image", rows)
        exact = prefix._run(prefix.branch.transform(prefix.branch.transform.prepare(values)), 0)
        given = inputs_of(run).given(rows)
        assert given.done == depth
        rounding = {} if dtype == "float32" else {"rtol": 2**-7, "atol": 1e-2}
        torch.testing.assert_close(given.rows, exact.detach(), **rounding)


def test_steps_have_the_rows_that_they_have_without(
    tiny_study: MakeStudy, sharded: dict[str, Any], tmp_path: Path
) -> None:
    study = tiny_study(train=TRAIN | {"feed": "streaming"}, **sharded)
    pooled = computed(study, tasks_of(study, "image", [2]), tmp_path / "prefix")
    flat = {"recipe": "joint", "frozen_depth": 2}
    ours, theirs = ran(pooled_material(study, pooled), **flat), ran(Material.of(study), **flat)
    for stream, feed in ours.feeds.items():
        pairs = zip(feed.train_batches(5), theirs.feeds[stream].train_batches(5), strict=False)
        for one, two in islice(pairs, 20):
            assert torch.equal(one.id, two.id)
            assert (one.inputs["image"].done, two.inputs["image"].done) == (2, 0)


def test_what_validators_mix_is_computed_by_the_trial(
    tiny_study: MakeStudy, sharded: dict[str, Any], tmp_path: Path
) -> None:
    target = sharded["target_domain"] | {"labels": "none"}
    search = {"sampler": "grid", "trials": 2, "scheduler": "none", "objective": "mixval"}
    more = sharded | {"target_domain": target, "search": search}
    own = metrics(Material.of(tiny_study(train=TRAIN, **more)), recipe="dann", frozen_depth=2)
    study = tiny_study(train=TRAIN | {"feed": "streaming"}, **more)
    pooled = computed(study, tasks_of(study, "image", [2]), tmp_path / "prefix")
    close(own, metrics(pooled_material(study, pooled), recipe="dann", frozen_depth=2))
    assert any("mixval" in name for name in own[0])


def test_each_shard_of_data_has_one_of_features(
    tiny_study: MakeStudy, sharded: dict[str, Any], tmp_path: Path
) -> None:
    study = tiny_study(**sharded)
    (task, *_) = tasks_of(study, "image", [2])
    computed(study, [task], tmp_path / "prefix")
    names = sorted(file.name for file in (tmp_path / "prefix" / task.taps[0].key).iterdir())
    shards = [f"train-{n:05d}-of-00004.arrow" for n in range(4)]
    assert names == sorted([FILE, *shards, *(f"{name}.json" for name in shards)])


def test_rows_of_unequal_lengths_come_as_they_are_stored_elsewhere(tmp_path: Path) -> None:
    write_rows(tmp_path / "rows", {"text": "text"})
    train = {"epochs": 1, "batch_size": 8, "steps_per_epoch": 6}
    domain = {"dataset": tmp_path / "rows", "labels": "all"}
    pretrain(tmp_path / "rows", BILSTM["backbone"], tmp_path / "net", epochs=1,
             args=BILSTM["args"])  # fmt: skip
    model = {"path": tmp_path / "net"}
    study = study_of(tmp_path / "rows", {"net": model}, target_domain=domain, train=train)
    pooled = computed(study, tasks_of(study, "text", [1, 2, 3]), tmp_path / "prefix")
    for depth in (1, 2, 3):
        flat = {"frozen_depth": depth}
        ours, theirs = ran(pooled_material(study, pooled), **flat), ran(Material.of(study), **flat)
        own, its = (run.feeds["labelled"]._source.inputs["text"] for run in (ours, theirs))
        for rows in (np.array([5, 0, 41, 5]), np.array([], dtype=np.int64)):
            same(own.given(rows).rows, its.given(rows).rows)
        if depth < 3:
            assert own.lengths.tolist() == its.lengths.tolist()
        else:
            assert own.lengths is None
    close(metrics(Material.of(study), frozen_depth=2),
          metrics(pooled_material(study, pooled), frozen_depth=2))  # fmt: skip


def same(one: Rows, two: Rows) -> None:
    assert type(one) is type(two)
    if isinstance(one, Padded) and isinstance(two, Padded):
        assert torch.equal(one.sizes, two.sizes)
        one, two = one.values, two.values
    torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)


def test_few_rows_of_a_split_that_is_not_pooled_are_computed_beside_it(
    tiny_study: MakeStudy, sharded: dict[str, Any], tmp_path: Path
) -> None:
    few = sharded | {"target_domain": sharded["target_domain"] | {"labels": 4}}  # 8 rows of 80
    study = tiny_study(train=TRAIN | {"feed": "streaming"}, **few)
    own = metrics(Material.of(tiny_study(train=TRAIN, **few)), recipe="linear_probe")
    tasks = [task for task in tasks_of(study, "image", ["100%"]) if task.split == "test"]
    material = pooled_material(study, computed(study, tasks, tmp_path / "run" / "prefix"))
    (cache_folder()).rename(tmp_path / "aside")
    close(own, metrics(material, recipe="linear_probe"))
    (entry,) = cache_folder().glob("*/features.npy")
    assert len(np.load(entry)) == 8
    run = ran(material, recipe="dann", frozen_depth="100%")  # which reads splits that lack
    assert not run.reads_features


def test_several_depths_take_one_pass_over_the_rows(
    tiny_study: MakeStudy, sharded: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = list[int]()
    of_prepared = Prefix.of_prepared
    monkeypatch.setattr(
        Prefix, "of_prepared", lambda of, x: (rows.append(count(x)), of_prepared(of, x))[1]
    )
    study = tiny_study(**sharded)
    (task, *_) = tasks_of(study, "image", [1, 2, 3])
    computed(study, [task], tmp_path / "prefix")
    assert rows == [1, SHARD_ROWS] * 4


def test_where_memory_runs_out_shards_are_the_same_but_for_rounding(
    tiny_study: MakeStudy, sharded: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = tiny_study(**sharded)
    (task, *_) = tasks_of(study, "image", [1, 2])
    expected = features(computed(study, [task], tmp_path / "one"), task.taps[1].key)
    of_prepared, room = Prefix.of_prepared, [6]

    def little(self: Prefix, prepared: Rows) -> Any:
        if count(prepared) > room[0]:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return of_prepared(self, prepared)

    monkeypatch.setattr(Prefix, "of_prepared", little)
    found = features(computed(study, [task], tmp_path / "two"), task.taps[1].key)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def features(pooled: Pooled, key: str) -> np.ndarray:
    split, _ = pooled.open(key)
    return np.asarray(split.all("features"))


def test_a_shard_that_is_not_what_was_written_is_refused(
    tiny_study: MakeStudy, sharded: dict[str, Any], tmp_path: Path
) -> None:
    study = tiny_study(**sharded)
    (task, *_) = tasks_of(study, "image", [2])
    pooled = computed(study, [task], tmp_path / "prefix")
    file = tmp_path / "prefix" / task.taps[0].key / "train-00002-of-00004.arrow"
    broken = bytearray(file.read_bytes())
    broken[len(broken) // 2] ^= 255
    file.write_bytes(broken)
    with pytest.raises(CorruptError, match="train-00002-of-00004.arrow: SHA-256"):
        features(pooled, task.taps[0].key)


def test_features_that_are_not_whole_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CorruptError, match="prefix features are not whole.*--resume"):
        Pooled(tmp_path, frozenset({"key"})).open("key")


def test_a_column_of_features_comes_back_as_it_went() -> None:
    values = np.random.default_rng(0).normal(size=(6, 2, 3)).astype(np.float32)
    plain = FeatureColumn(shape=(2, 3), dtype="float32")
    assert plain.to_arrow(values).type == plain.arrow_type and plain.row_bytes == 24
    assert np.array_equal(plain.reader([plain.to_arrow(values)])(np.array([5, 0])), values[[5, 0]])
    ragged = FeatureColumn(shape=(2, 3), dtype="float32", ragged=True)
    array = ragged.to_arrow(values, np.array([0, 4, 4, 6]))
    assert array.type == ragged.arrow_type and len(array) == 3
    found = ragged.reader([array])(np.array([2, 1, 0]))
    for got, (start, stop) in zip(found, [(4, 6), (4, 4), (0, 4)], strict=True):
        assert np.array_equal(got, values[start:stop])
