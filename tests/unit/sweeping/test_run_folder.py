"""Where a run may be started, and where it may be gone on with."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from raytl.config import Study, dump_study
from raytl.errors import CorruptError, UserError
from raytl.folders import refuse_existing
from raytl.models.source_spec import SPEC_FILE, WEIGHTS_FILE
from raytl.sweeping.environment import environment
from raytl.sweeping.kept.storage import LEASE
from raytl.sweeping.preflight import preflight
from raytl.sweeping.resolving import resolved
from raytl.sweeping.run_folder import (
    check_run_folder,
    check_same,
    clear_broken,
    continued,
    rounding,
)

MakeStudy = Callable[..., Study]


@pytest.fixture
def started(tiny_study: MakeStudy) -> Study:
    """A study as it is kept in its run."""
    return resolved(tiny_study(resources={"max_concurrent": 2}), num_bytes=1000)


def changed(study: Study, key: str, value: Any) -> Study:
    """Return the study with another value under a dotted key."""
    plain = yaml.safe_load(dump_study(study))
    *sections, name = key.split(".")
    section = plain
    for part in sections:
        section = section.setdefault(part, {})
    section[name] = value
    return Study.model_validate(plain)


def test_a_run_is_gone_on_with_as_it_was_started(
    tiny_study: MakeStudy, started: Study, tmp_path: Path
) -> None:
    run, study = tmp_path / "run", tiny_study(resources={"max_concurrent": 2})
    assert check_run_folder(study, run, resume=False) == study
    run.mkdir()
    assert check_run_folder(study, run, resume=False) == study
    (run / "study.yaml").write_text(dump_study(started))
    with pytest.raises(UserError, match="the run folder exists; go on with --resume"):
        check_run_folder(study, run, resume=False)
    assert check_run_folder(study, run, resume=True) == started
    with pytest.raises(UserError, match=f"{run}: this run was started with another study: train"):
        check_run_folder(changed(study, "train.epochs", 3), run, resume=True)
    with pytest.raises(UserError, match="is a file, not a run folder"):
        check_run_folder(study, run / "study.yaml", resume=True)


def test_a_run_that_never_began_is_started_with_resume_too(
    tiny_study: MakeStudy, tmp_path: Path
) -> None:
    run, study = tmp_path / "run", tiny_study()
    assert check_run_folder(study, run, resume=True) == study
    run.mkdir()
    assert check_run_folder(study, run, resume=True) == study
    (run / ".study.yaml.tmp").touch()  # killed while it was written
    (run / LEASE).touch()
    assert check_run_folder(study, run, resume=True) == study
    assert check_run_folder(study, run, resume=False) == study


def test_what_is_no_run_is_not_gone_on_with(tiny_study: MakeStudy, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").touch()
    with pytest.raises(UserError, match=r"photos: holds cat\.png, but no study\.yaml, so it is no"):
        check_run_folder(tiny_study(), tmp_path / "photos", resume=True)


def test_lag_and_feed_stay_as_they_were_decided(tiny_study: MakeStudy) -> None:
    open_to_raytl = tiny_study(search={"trials": 32, "seed": 3})
    assert (open_to_raytl.search.parallel, open_to_raytl.train.feed) == (None, "auto")
    then = changed(resolved(open_to_raytl, num_bytes=1000), "train.feed", "streaming")
    assert then.search.parallel == 4
    more = changed(open_to_raytl, "search.trials", 64)  # alone it would have a lag of 8
    going = continued(then, more)
    assert (going.search.parallel, going.train.feed) == (4, "streaming")
    assert going == changed(then, "search.trials", 64)
    assert continued(then, then) == then


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("search.trials", 5), ("resources.max_concurrent", 7), ("resources.wait_s", 1),
        ("resources.trial_store_bytes", 5), ("resources.cpus_per_worker", 2),
        ("resources.gpus_per_worker", 0.5), ("resources.workers_per_trial", [1, 2]),
        ("resources.storage_path", "s3://bucket/runs"),
    ],
)  # fmt: skip
def test_what_changes_no_number_may_change(started: Study, key: str, value: Any) -> None:
    other = changed(started, key, value)
    assert other != started
    assert continued(started, other) == other


def test_where_other_resources_change_the_last_digits_that_is_said(started: Study) -> None:
    assert rounding(started, changed(started, "resources.max_concurrent", 7)) == []
    (said,) = rounding(started, changed(started, "resources.cpus_per_worker", 2))
    assert said.startswith("resources.cpus_per_worker was 1 and is 2 now: what is trained from now")
    (said,) = rounding(started, changed(started, "resources.workers_per_trial", [1, 2]))
    assert said.startswith("resources.workers_per_trial was 1 and is [1, 2] now: ")


def test_trials_are_not_taken_away(started: Study) -> None:
    with pytest.raises(UserError, match=r"search\.trials: .* started with 2, .* got 1; give anoth"):
        continued(started, changed(started, "search.trials", 1))


@pytest.mark.parametrize(
    ("key", "then", "now"),
    [
        ("study", "tiny", "other"),
        ("search.seed", 0, 1),
        ("search.parallel", 2, 3),
        ("search.objective", "auto", "target_entropy"),
        ("train.feed", "resident", "streaming"),
        ("train.batch_size", 8, 4),
        ("train.prefix_cache_bytes", 4 * 2**30, 1),
        ("target_domain.labels", 10, "all"),
        ("source_domain.splits.train", "train", "test"),
        ("source_models.net.args.width", 4, 2),
        ("source_models.more", None, {"backbone": "small_cnn"}),
        ("defaults.mapper", None, "mlp"),
        ("confirm.level", 0.95, 0.9),
        ("confirm.top", 1, 2),
    ],
)
def test_any_other_key_that_differs_is_named(started: Study, key: str, then: Any, now: Any) -> None:
    place = f"{key}.backbone" if isinstance(now, dict) else key
    value = now["backbone"] if isinstance(now, dict) else now
    with pytest.raises(UserError) as caught:
        continued(started, changed(started, key, now))
    assert str(caught.value).startswith(
        f"this run was started with another study: {place} was {then} and is {value} now; "
    )


def test_another_space_is_another_study(started: Study) -> None:
    other = changed(started, "space", {"recipe": {"choice": ["finetune"]}})
    with pytest.raises(UserError, match=r"space\.recipe\.choice was \['finetune', 'dann'\] and is"):
        continued(started, other)


Facts = dict[str, Any]


@pytest.fixture
def facts(started: Study) -> Facts:
    """The environment of a run that starts now."""
    return environment(preflight(started), "cpu x86_64 AVX2")


def keep(facts: Facts, run: Path) -> None:
    (run / "environment.json").write_text(json.dumps(facts, default=str))


def test_a_run_that_was_killed_before_it_began_is_gone_on_with(
    facts: Facts, tmp_path: Path
) -> None:
    check_same(tmp_path, facts)


@pytest.mark.parametrize(
    ("place", "was"),
    [
        ("python", "3.0.1"),
        ("versions.torch", "0.1"),
        ("versions.numpy", "0.2"),
        ("versions.older", "1.0"),
        ("raytl_source", "0" * 64),
        ("device", "cuda A100"),
        ("datasets.target.fingerprint", "f" * 64),
        ("datasets.source.rows.train", 79),
        ("source_models.net.loaded", "w" * 64),
        ("source_models.net.feature_dim", 7),
    ],
)
def test_what_numbers_hang_on_is_named_where_it_differs(
    facts: Facts, tmp_path: Path, place: str, was: Any
) -> None:
    then = json.loads(json.dumps(facts, default=str))
    *sections, name = place.split(".")
    section = then
    for part in sections:
        section = section[part]
    is_now, section[name] = section.get(name), was
    keep(then, tmp_path)
    with pytest.raises(UserError) as caught:
        check_same(tmp_path, facts)
    assert f": {place} was {was} when this run was started and is {is_now} now; " in str(
        caught.value
    )


def test_a_dataset_or_model_that_is_gone_is_named(facts: Facts, tmp_path: Path) -> None:
    keep(facts, tmp_path)
    for key, name in (("datasets", "source"), ("source_models", "net")):
        less = {k: v for k, v in facts[key].items() if k != name}
        with pytest.raises(UserError, match=f"{key}.{name} was "):
            check_same(tmp_path, facts | {key: less})


def test_data_and_machine_may_be_elsewhere(facts: Facts, tmp_path: Path) -> None:
    datasets = {
        role: data | {"path": f"/elsewhere/{role}"} for role, data in facts["datasets"].items()
    }
    moved = facts | {
        "datasets": datasets, "command": "raytl sweep other.yaml", "cpus": 1000,
        "platform": "another kernel", "started": "then",
    }  # fmt: skip
    keep(moved, tmp_path)
    check_same(tmp_path, facts)


def test_a_run_of_an_earlier_version_is_told(facts: Facts, tmp_path: Path) -> None:
    keep({key: value for key, value in facts.items() if key != "raytl_source"}, tmp_path)
    with pytest.raises(UserError, match="was started by an earlier version of raytl"):
        check_same(tmp_path, facts)


@pytest.mark.parametrize("content", ["", "{", "null", "[1]"])
def test_an_environment_that_is_cut_off_is_told(facts: Facts, tmp_path: Path, content: str) -> None:
    (tmp_path / "environment.json").write_text(content)
    with pytest.raises(CorruptError, match=r"environment\.json: cannot be read"):
        check_same(tmp_path, facts)


def test_a_broken_best_model_gives_way_and_what_is_no_part_of_one_does_not(tmp_path: Path) -> None:
    """A run that was gone on with ended there: what --force replaces must be a source model."""
    best = tmp_path / "best"
    best.mkdir()
    for name in (SPEC_FILE, WEIGHTS_FILE):
        (best / name).touch()
    clear_broken(best)
    assert (best / WEIGHTS_FILE).exists()
    (best / SPEC_FILE).unlink()
    clear_broken(best)
    refuse_existing(best, force=True, told_by=SPEC_FILE)
    (best / "mine.txt").touch()
    clear_broken(best)
    with pytest.raises(UserError, match="--force replaces what an earlier run of the command"):
        refuse_existing(best, force=True, told_by=SPEC_FILE)
    assert (best / "mine.txt").exists()
