"""The verbs of the command line, for Python: `raytl.sweep(...)` and the others.

Importing this module loads neither torch nor Ray; each verb loads what it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raytl.config import Study, load_study
from raytl.errors import UserError
from raytl.files import check_writable
from raytl.folders import rooted
from raytl.model_verbs import export as export
from raytl.model_verbs import load as load
from raytl.model_verbs import predict as predict
from raytl.urls import Url, place_of

if TYPE_CHECKING:
    from raytl.data.shard import ShardReport
    from raytl.models.source_spec import SourceSpec
    from raytl.sweeping.kept.trial_store import Entry
    from raytl.sweeping.on_ray.doctor import Finding
    from raytl.sweeping.ranking import Ranked
    from raytl.sweeping.study_run import StudyResult


def shard(
    kind: str,
    source: str | None,
    out: Path | str,
    *,
    workers: int | None = None,
    **options: Any,
) -> ShardReport:
    """Write a dataset's Arrow shards; `options` are those of `raytl shard`.

    With `workers` so many processes of a Ray cluster, or of this machine where there is none, read
    and write shards, the same bytes; what the same call wrote before it was stopped is kept.
    """
    from raytl.data.shard import check, shard_checked, shard_options

    run = {name: options.pop(name) for name in ("force", "progress") if name in options}
    checked, place = shard_options(**options), place_of(out)
    if workers is not None and workers < 1:
        raise UserError(f"shard: --workers >= 1 must hold, got {workers}; leave it out for one")
    check(kind, source, place, checked, bool(run.get("force")), in_parts=workers is not None)
    if workers is None:
        return shard_checked(kind, source, place, options=checked, **run)

    # What is wrong is said before Ray is imported and started, which takes seconds.
    from raytl.sweeping.on_ray.sharding import on_cluster
    from raytl.sweeping.on_ray.tuning import ray_session

    with ray_session():
        return shard_checked(kind, source, place, options=checked, each=on_cluster(workers), **run)


def pretrain(dataset: Path | str, backbone: str, out: Path | str, **options: Any) -> SourceSpec:
    """Pretrain a source model; `options` are those of `training.pretrain.pretrain`."""
    from raytl.training.pretrain import pretrain as train

    return train(place_of(dataset), backbone, place_of(out), **options)


def sweep(
    study: Study | Path | str,
    out: Path | str | None = None,
    *,
    resume: bool = False,
    store: bool = True,
    overrides: list[str] | None = None,
) -> StudyResult:
    """Run a study and write its report; see `sweeping.study_run.run_study`."""
    checked = study if isinstance(study, Study) else load_study(study, overrides)
    run = Path(out) if out is not None else rooted("runs") / checked.study

    # What is wrong is said before torch and Ray are imported, which takes seconds.
    from raytl.sweeping.opening import open_study
    from raytl.sweeping.run_folder import check_run_folder

    if checked.resources.storage_path is None:
        check_run_folder(checked, run, resume)
    judged = open_study(checked).study

    from raytl.reporting.html import write_report
    from raytl.reporting.samples import sample_images
    from raytl.reporting.tensorboard import TensorBoard, write_confirmation, write_images
    from raytl.sweeping.kept.storage import RunStorage
    from raytl.sweeping.search.objective import objective_metric
    from raytl.sweeping.study_run import run_study

    board = TensorBoard(run, objective_metric(judged))
    result = run_study(checked, run, resume=resume, store=store, listeners=[board])
    write_images(run, sample_images(checked))
    if result.confirmation is not None:
        write_confirmation(run, result.confirmation)
    write_report(run)
    RunStorage(run, checked.resources.storage_path).push()
    return result


def stored_trials() -> list[Entry]:
    """Return the trials that later studies need not train again, the last used first."""
    from raytl.sweeping.kept.trial_store import entries

    return entries()


def clear_store() -> int:
    """Delete all of them; return how many there were."""
    from raytl.sweeping.kept.trial_store import clear

    return clear()


def rank(
    study: Study | Path | str, *, overrides: list[str] | None = None, out: Path | str | None = None
) -> list[Ranked]:
    """Score the study's source models on the labelled target rows, before any training; with
    `out` the scores are also written there as JSON."""
    from raytl.sweeping.opening import open_study

    checked = study if isinstance(study, Study) else load_study(study, overrides)
    if out is not None:
        check_writable(Path(out))
    open_study(checked)

    from raytl.sweeping.preflight import preflight
    from raytl.sweeping.ranking import rank_source_models, save_ranking

    ranking = rank_source_models(preflight(checked))
    if out is not None:
        save_ranking(ranking, Path(out))
    return ranking


def doctor(
    study: Study | Path | str | None = None,
    *,
    address: str | None = None,
    room: bool = False,
    say: Callable[[str], None] = print,
) -> list[Finding]:
    """Look on every node of a cluster for what usually goes wrong; see `on_ray.doctor`.

    `study` may also be the URL where runs are to be kept.
    """
    from raytl.sweeping.on_ray.doctor import examine_cluster

    place = place_of(study) if isinstance(study, str | Path) else None
    storage = place if isinstance(place, Url) else None
    if isinstance(place, Path):
        study = load_study(place)
    checked = study if isinstance(study, Study) else None
    return examine_cluster(checked, address, storage=storage, room=room, say=say)


def watch_spot(
    cloud: str = "auto",
    *,
    node_id: str | None = None,
    metadata: str | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Watch over this machine's Ray node and drain it when the cloud announces that it takes the
    machine away; see `sweeping.on_ray.spot_watch`."""
    from raytl.sweeping.on_ray.spot_notices import ADDRESS
    from raytl.sweeping.on_ray.spot_watch import watch_spot as watch

    watch(cloud, node_id, say, metadata or ADDRESS)


def report(run: Path | str) -> Path:
    """Write `report.html` of a run folder again and return its path."""
    if not (Path(run) / "leaderboard.json").exists():
        raise UserError(f"{run}: not a run folder with a leaderboard; run `raytl sweep` first")
    from raytl.reporting.run_facts import describe_run

    describe_run(Path(run))

    from raytl.reporting.html import write_report

    return write_report(Path(run))


def inspect(path: Path | str) -> dict[str, Any]:
    """Return what a dataset, source model or run holds, its checksums verified."""
    from raytl.node_cache import local_copy
    from raytl.remote_files import there
    from raytl.reporting.run_facts import describe_run

    place = place_of(path)
    if there(place / "dataset.json"):
        from raytl.data.dataset import Dataset
        from raytl.data.inspect_dataset import describe

        return {"kind": "dataset"} | describe(Dataset.open(place), verify=True)
    try:
        path = local_copy(place)
    except FileNotFoundError as error:
        raise UserError(str(error)) from None
    if (path / "source.json").exists():
        from raytl.models.source_spec import verify_source_model

        verify_source_model(path)

        from raytl.models.source_folder import inspect_source_model

        return {"kind": "source model"} | inspect_source_model(path)
    if (path / "leaderboard.json").exists():
        return {"kind": "run"} | describe_run(path)
    if (path / "study.yaml").exists():
        return {"kind": "run", "path": str(path), "state": "no trial has ended yet"}
    raise UserError(
        f"{path}: neither a dataset (dataset.json), a source model (source.json) nor a run "
        "(leaderboard.json)"
    )
