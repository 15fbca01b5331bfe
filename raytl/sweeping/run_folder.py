"""The folder of a run, before anything is written there."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raytl.config import Study, load_study
from raytl.config.resources import ResourcesConfig
from raytl.errors import CorruptError, UserError
from raytl.folders import check_place
from raytl.models.source_spec import SPEC_FILE, WEIGHTS_FILE
from raytl.sweeping.kept.storage import LEASE

# Of environment.json: what a run's numbers hang on, besides its study.
SAME = ("python", "versions", "raytl_source", "device", "datasets", "source_models")

# What may differ where a run is gone on with: how fast it goes, not what it comes to, but for
# rounding (see ROUNDS).
FREE = (
    "search.trials",
    "source_domain.dataset",  # moved, say: what it holds is compared by its fingerprint
    "target_domain.dataset",
    *(f"resources.{name}" for name in ResourcesConfig.model_fields),
)
# Of these: what the arithmetic's order hangs on, and so the last digits of what is trained from now
# on; with several workers also the masks of dropout.
ROUNDS = ("resources.cpus_per_worker", "resources.workers_per_trial")


def check_run_folder(study: Study, run: Path, resume: bool) -> Study:
    """Return the study as it runs in the folder `run`: with `resume`, what was decided there when
    it first started is kept; one that never began is started.

    Raises UserError where a run would be overwritten or cannot be written, and where what is to be
    resumed is no run or another study's.
    """
    if run.exists() and not run.is_dir():
        raise UserError(f"{run}: is a file, not a run folder; give another --out")
    check_place(run)
    held = _held(run)
    if held and not resume:
        raise UserError(f"{run}: the run folder exists; go on with --resume, or give another --out")
    if not held:
        return study
    try:
        started = started_as(run)
        if started is None:
            raise UserError(
                f"holds {held[0]}, but no study.yaml, so it is no run; give another --out"
            )
        return continued(started, study)
    except UserError as error:
        raise type(error)(f"{run}: {error}") from None


def started_as(run: Path) -> Study | None:
    """Return the study that a run goes on with; None where it has not begun."""
    return load_study(run / "study.yaml") if (run / "study.yaml").exists() else None


def _held(run: Path) -> list[str]:
    """Return what a folder holds but for what a driver leaves that is killed before it begins."""
    names = sorted(path.name for path in run.iterdir()) if run.exists() else []
    return [name for name in names if not name.startswith(".") and name != LEASE]


def clear_broken(best: Path) -> None:
    """Delete the weights of a run's best model that has lost its source.json, so that another may
    take its place; what is no part of a source model stays, and is in the way."""
    if best.is_dir() and not (best / SPEC_FILE).exists():
        (best / WEIGHTS_FILE).unlink(missing_ok=True)


def check_same(run: Path, now: Mapping[str, Any]) -> None:
    """Raise UserError where a run that is gone on with was started with other data, source models,
    versions or another kind of device than those of the environment `now`."""
    file = run / "environment.json"
    if not file.exists():
        return  # killed before it began
    try:
        then = dict(json.loads(file.read_text(encoding="utf-8")))
    except (ValueError, TypeError) as error:
        raise CorruptError(
            f"{file}: cannot be read: {error}; start anew in another --out"
        ) from None
    present = json.loads(json.dumps(now, default=str))
    for datasets in (then.get("datasets", {}), present["datasets"]):
        for dataset in datasets.values():
            dataset.pop("path", None)  # they may lie elsewhere
    for key in SAME:
        if key not in then:
            raise UserError(
                f"{run}: this run was started by an earlier version of raytl; resume it with that "
                "one, or give another --out to start anew"
            )
        for place, was, is_now in _differences(then[key], present[key], key):
            raise UserError(
                f"{run}: its numbers would not go together: {place} was {was} when this run was "
                f"started and is {is_now} now; go back to that, or give another --out"
            )


def _differences(then: Any, now: Any, place: str) -> list[tuple[str, Any, Any]]:
    if isinstance(then, dict) and isinstance(now, dict):
        found = []
        for key in {**then, **now}:
            found += _differences(then.get(key), now.get(key), f"{place}.{key}")
        return found
    return [] if then == now else [(place, then, now)]


def continued(started: Study, study: Study) -> Study:
    """Return `study` as it goes on in a run that was started as `started`, with the lag, feed and
    metric that were decided then.

    Raises UserError that names the first key in which they differ and must not.
    """
    lag = study.search.parallel or started.search.parallel
    feed = started.train.feed if study.train.feed == "auto" else study.train.feed
    metric = started.search.metric if study.search.metric == "auto" else study.search.metric
    going = study.decided(parallel=lag, feed=feed, metric=metric)
    then, now = (_flat(of.model_dump(mode="json")) for of in (started, going))
    for key in {**then, **now}:
        if then.get(key) != now.get(key) and key not in FREE:
            raise UserError(
                f"this run was started with another study: {key} was {then.get(key)} and is "
                f"{now.get(key)} now; resume with the same file and --set, or give another --out"
            )
    if study.search.trials < started.search.trials:
        raise UserError(
            f"search.trials: this run was started with {started.search.trials}, and trials can be "
            f"added but not taken away, got {study.search.trials}; give another --out"
        )
    return going


def rounding(started: Study, study: Study) -> list[str]:
    """Return what to say of a study that goes on with other resources than it was started with,
    where the last digits of numbers hang on them."""
    then, now = (_flat(of.model_dump(mode="json")) for of in (started, study))
    return [
        f"{key} was {then[key]} and is {now[key]} now: what is trained from now on may differ in "
        "rounding from what an undisturbed study would train"
        for key in ROUNDS
        if then[key] != now[key]
    ]


def _flat(content: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(content, dict):
        return {prefix: content}
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return found
