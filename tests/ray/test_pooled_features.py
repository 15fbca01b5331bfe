"""Prefix features that a pool of actors computes: the answer of trials that compute them, nothing
computed twice, and errors that are raytl's own."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import stripes
from pool_support import pooled_material, tasks_of
from s3_server import put, s3_bucket
from tests_support import write_images

from raytl.config import Study, TrialConfig
from raytl.data.ray_feed import RayDataFeed
from raytl.errors import CorruptError, DataError, RaytlError
from raytl.modalities.image.column import ImageColumn
from raytl.remote_files import delete, files_in
from raytl.sweeping import pool_plan
from raytl.sweeping.on_ray.pooling import Pool, _writer
from raytl.sweeping.study_run import run_study
from raytl.training.material import Material, open_domains
from raytl.training.pooled import FILE, VALUES, Pooled
from raytl.training.pretrain import pretrain
from raytl.training.trial import TrialRun
from raytl.urls import Url

MakeStudy = Callable[..., Study]

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]
SHARD_ROWS, SHARDS = 20, 4 + 2 + 4  # of the target's train and test, the source's train


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of two domains of several shards each, `from` and `to`, and a source model `net`."""
    image = ImageColumn(shape=(8, 8, 1), dtype="uint8")
    for name, seed in (("from", 0), ("to", 1)):
        splits = {"train": [stripes(80, seed, 60.0)], "test": [stripes(40, seed + 9, 60.0)]}
        write_images(tmp_path / "data" / name, image, ("rows", "columns"), splits,
                     shard_bytes=64 * SHARD_ROWS)  # fmt: skip
    pretrain(tmp_path / "data" / "from", "small_cnn", tmp_path / "data" / "net", epochs=1)
    return tmp_path / "data"


def study_on(tiny_study: MakeStudy, place: Path | Url, feed: str, **more: Any) -> Study:
    plain = {
        "source_domain": {"dataset": place / "from"},
        "target_domain": {"dataset": place / "to", "labels": 10},
        "source_models": {"net": {"path": place / "net"}},
        "space": {
            "recipe": {"choice": ["joint", "linear_probe"]}, "frozen_depth": {"choice": [1, 2]},
        },
        "search": {"sampler": "grid", "trials": 4, "scheduler": "none", "control_tries": 1},
        "train": {"epochs": 2, "batch_size": 8, "steps_per_epoch": 12, "feed": feed},
    }  # fmt: skip
    return tiny_study(**(plain | more))


def answers(run: Path) -> dict[str, Any]:
    """Return each trial's objective, and what was confirmed."""
    board = json.loads((run / "leaderboard.json").read_text())
    confirmed = json.loads((run / "confirmation.json").read_text())
    trials = {row["trial"]: row["objective"] for row in board["trials"]}
    assert {row["status"] for row in board["trials"]} == {"completed"}
    return trials | {f"confirmed {c['name']}": c["mean"] for c in confirmed["candidates"]}


def losses(run: Path) -> dict[str, float]:
    """Return the last training loss of each trial, which tells more than an accuracy."""
    found = {}
    for file in run.glob("*/record.json"):
        metrics = json.loads(file.read_text())["curve"][-1]
        found[file.parent.name] = metrics["train/loss/total"]
    return found


@pytest.mark.slow
def test_a_study_by_the_pool_says_what_one_without_says(
    tiny_study: MakeStudy, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(pool_plan, "MOST_TIMES", 1000)  # of these few pixels
    monkeypatch.setattr(pool_plan, "worth_fetching", lambda num_bytes, seconds: True)
    run_study(study_on(tiny_study, data, "resident"), tmp_path / "alone", store=False)
    assert not (tmp_path / "alone" / "prefix").exists()
    capsys.readouterr()
    with s3_bucket(monkeypatch) as bucket:
        put(data, bucket / "data")
        runs = bucket / "runs"
        study = study_on(tiny_study, bucket / "data", "streaming", resources={"storage_path": runs})
        run_study(study, tmp_path / "pooled", store=False)
        assert f"features of {SHARDS} shards are computed first" in capsys.readouterr().err
        found = files_in(runs / "pooled" / "prefix")
        # Depths 1, 2 and all, of the source domain's split 1 and 2: no linear probe reads that.
        assert sum(name.endswith(FILE) for name in found) == 2 * 3 + 2
        assert sum(name.endswith(".arrow") for name in found) == (4 + 2) * 3 + 4 * 2
        assert not (tmp_path / "pooled" / "prefix").exists()  # nor copied when the run is resumed
        run_study(study, tmp_path / "pooled", resume=True, store=False)
        assert "are computed first" not in capsys.readouterr().err
        assert files_in(runs / "pooled" / "prefix") == found
    assert answers(tmp_path / "pooled") == pytest.approx(answers(tmp_path / "alone"), abs=1e-6)
    assert losses(tmp_path / "pooled") == pytest.approx(losses(tmp_path / "alone"), rel=1e-3)


def pool_of(study: Study, place: Path | Url) -> Pool:
    return Pool(study, open_domains(study), tasks_of(study, "image", [1, "100%"]), place)


def test_what_was_stopped_goes_on_shard_by_shard(
    tiny_study: MakeStudy, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_bucket(monkeypatch) as bucket:
        pool = pool_of(study_on(tiny_study, data, "streaming"), bucket / "prefix")
        assert len(pool.missing()) == SHARDS
        pool.compute(pool.missing(), workers=2)
        assert pool.missing() == []
        deep = pool.place / pool.tasks[0].taps[1].key
        lost = "train-00002-of-00004.arrow"
        delete(deep / f"{lost}.json")  # of a shard that was written in part
        before = files_in(bucket / "prefix")
        assert pool.missing() == [(0, 2)]
        pool.compute(pool.missing(), workers=2)
        changed = {n for n, of in files_in(bucket / "prefix").items() if before.get(n) != of}
        assert {name.split("/")[1].removesuffix(".json") for name in changed} == {lost}
        pool.finish([(0, 2)])
        assert pool.missing() == []
        delete(deep / f"{lost}.json")  # whole is whole
        assert pool.missing() == []


@pytest.mark.parametrize("broken", ["manifest", "shard"])
def test_what_is_not_whole_any_more_is_made_whole_again(
    tiny_study: MakeStudy, data: Path, tmp_path: Path, broken: str
) -> None:
    pool = pool_of(study_on(tiny_study, data, "streaming"), tmp_path / "prefix")
    pool.compute(pool.missing(), workers=2)
    pool.finish([])
    tap = pool.tasks[0].taps[1]
    features = Pooled(pool.place, frozenset([tap.key]))
    folder = tmp_path / "prefix" / tap.key
    if broken == "manifest":
        (folder / FILE).write_text('{"split":')
        with pytest.raises(CorruptError, match="prefix features are not whole; go on with --resu"):
            features.open(tap.key)
    else:
        (folder / "train-00002-of-00004.arrow").write_bytes(b"ARROW1")
        manifest = json.loads((folder / FILE).read_text())
        manifest["shards"][2]["sha256"] = "0" * 64  # as another GPU's last digits would give
        (folder / FILE).write_text(json.dumps(manifest))
    missing = pool.missing()
    assert missing == ([] if broken == "manifest" else [(0, 2)])
    if missing:
        pool.compute(missing, workers=1)
    pool.finish(missing)
    assert pool.missing() == []
    split, _ = features.open(tap.key)
    assert len(split.read(VALUES, np.arange(split.rows))) == split.rows


def test_features_that_no_node_keeps_are_read_by_ray_data(
    tiny_study: MakeStudy, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with s3_bucket(monkeypatch) as bucket:
        study = study_on(tiny_study, data, "ray_data")
        pool = pool_of(study, bucket / "prefix")
        pool.compute(pool.missing(), workers=2)
        pool.finish([])
        keys = frozenset(tap.key for task in pool.tasks for tap in task.taps)
        monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("RAYTL_SHARD_CACHE_BYTES", "20000")
        trial = TrialConfig.from_flat({"source_model": "net", "recipe": "joint", "frozen_depth": 1})
        run = TrialRun(pooled_material(study, Pooled(pool.place, keys)), trial, 0)
        feed = run.feeds["source"]
        assert isinstance(feed, RayDataFeed)
        plain = study.decided(feed="resident")
        alone = TrialRun(Material.of(plain), trial, 0).feeds["source"]
        pairs = zip(feed.train_batches(3), alone.train_batches(3), strict=False)
        for one, two in islice(pairs, 20):
            ours, theirs = one.inputs["image"], two.inputs["image"]
            assert torch.equal(one.id, two.id) and ours.done == theirs.done == 1
            torch.testing.assert_close(ours.rows, theirs.rows)


def test_an_actor_computes_as_the_study_asks_of_torch(
    tiny_study: MakeStudy, data: Path, tmp_path: Path
) -> None:
    """A process with `train.deterministic` refuses what has no such algorithm, as a trial does."""
    study = study_on(tiny_study, data, "streaming", train={"deterministic": True})
    pool = pool_of(study, tmp_path / "prefix")
    write = _writer(study, pool.tasks, pool.place)
    seen: list[bool] = []

    def looked(*_: Any) -> None:
        seen.append(torch.are_deterministic_algorithms_enabled())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("raytl.training.pool_writing.PoolWriter.write", looked)
        write((0, 0))
    assert seen == [True] and not torch.are_deterministic_algorithms_enabled()


def test_what_an_actor_meets_is_said_as_raytls_own(
    tiny_study: MakeStudy, data: Path, tmp_path: Path
) -> None:
    pool = pool_of(study_on(tiny_study, data, "streaming"), tmp_path / "prefix")
    unknown = replace(pool, tasks=[replace(pool.tasks[0], branch="sound")])
    with pytest.raises(RaytlError, match="features failed: KeyError: 'sound'.*--resume") as strange:
        unknown.compute([(0, 0)], workers=1)
    assert len(str(strange.value).splitlines()) <= 3
    shard = data / "from" / "train-00001-of-00004.arrow"
    broken = bytearray(shard.read_bytes())
    broken[len(broken) // 2] ^= 255
    shard.write_bytes(broken)
    of_source = next(n for n, task in enumerate(pool.tasks) if task.of_source)
    with pytest.raises(CorruptError, match="train-00001-of-00004.arrow: SHA-256") as raised:
        pool.compute([(of_source, 0), (of_source, 1)], workers=1)
    assert len(str(raised.value).splitlines()) <= 3
    for file in (data / "from").iterdir():
        file.unlink()
    with pytest.raises(DataError, match="no dataset here"):  # as an actor starts
        pool.compute([(0, 0)], workers=1)
    assert not list((tmp_path / "prefix").rglob(FILE))
