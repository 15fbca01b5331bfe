"""The verbs of the command line, for Python: `raytl.sweep(...)` and the others.

Importing this module loads neither torch nor Ray; each verb loads what it needs.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raytl.config import TASK_FACTS, Study, load_study
from raytl.errors import CorruptError, UserError
from raytl.files import check_writable, write_atomically
from raytl.folders import new_folder, refuse_existing, rooted
from raytl.urls import Place, Url, place_of

if TYPE_CHECKING:
    from raytl.data.shard import ShardReport
    from raytl.models.source_spec import SourceSpec
    from raytl.sweeping.kept.trial_store import Entry
    from raytl.sweeping.on_ray.doctor import Finding
    from raytl.sweeping.ranking import Ranked
    from raytl.sweeping.study_run import StudyResult
    from raytl.training.predict import Prediction


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
    from raytl.data.shard import check, shard_options
    from raytl.data.shard import shard as write_shards

    run = {name: options.pop(name) for name in ("force", "progress") if name in options}
    checked, place = shard_options(**options), place_of(out)
    if workers is None:
        return write_shards(kind, source, place, options=checked, **run)
    if workers < 1:
        raise UserError(f"shard: --workers >= 1 must hold, got {workers}; leave it out for one")
    check(kind, source, place, checked, bool(run.get("force")), in_parts=True)

    # What is wrong is said before Ray is imported and started, which takes seconds.
    from raytl.sweeping.on_ray.sharding import on_cluster
    from raytl.sweeping.on_ray.tuning import ray_session

    with ray_session():
        return write_shards(kind, source, place, options=checked, each=on_cluster(workers), **run)


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
    from raytl.reporting.tensorboard import TensorBoard, write_confirmation, write_images
    from raytl.sweeping.kept.storage import RunStorage
    from raytl.sweeping.search.objective import objective_metric
    from raytl.sweeping.study_run import run_study

    board = TensorBoard(run, objective_metric(judged))
    result = run_study(checked, run, resume=resume, store=store, listeners=[board])
    write_images(run, _sample_images(checked))
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


def _sample_images(study: Study) -> dict[str, Any]:
    """Return the first training images of each domain, as the shards hold them."""
    from raytl.data.domain import Domain
    from raytl.modalities.image.column import ImageColumn

    domains = {"source domain": study.source_domain, "target domain": study.target_domain}
    images = {}
    for name, domain in domains.items():
        if domain is not None:
            opened = Domain.open(domain)
            split = opened.split(domain.splits.train)
            for column, of in opened.columns.items():
                if isinstance(of, ImageColumn):
                    images[f"{name} {column}"] = split.read(column, range(min(16, split.rows)))
    return images


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


def export(run: Path | str, candidate: str, out: Path | str, *, force: bool = False) -> None:
    """Write a confirmed candidate of a run as a source model; see `sweeping.study_run.export`.

    Raises UserError where the run has not been confirmed.
    """
    from raytl.sweeping.kept.storage import RunStorage
    from raytl.sweeping.study_run import export as write
    from raytl.sweeping.verdict.confirmed import load_confirmation

    confirmation = load_confirmation(Path(run))
    study = load_study(Path(run) / "study.yaml")
    storage = RunStorage(Path(run), study.resources.storage_path)
    write(study, storage, confirmation, candidate, place_of(out), force=force)


def report(run: Path | str) -> Path:
    """Write `report.html` of a run folder again and return its path."""
    if not (Path(run) / "leaderboard.json").exists():
        raise UserError(f"{run}: not a run folder with a leaderboard; run `raytl sweep` first")
    _describe_run(Path(run))

    from raytl.reporting.html import write_report

    return write_report(Path(run))


def inspect(path: Path | str) -> dict[str, Any]:
    """Return what a dataset, source model or run holds, its checksums verified."""
    from raytl.remote_files import there

    place = place_of(path)
    if there(place / "dataset.json"):
        from raytl.data.dataset import Dataset
        from raytl.data.inspect_dataset import describe

        return {"kind": "dataset"} | describe(Dataset.open(place), verify=True)
    path = _fetched(place)
    if (path / "source.json").exists():
        from raytl.models.source_spec import verify_source_model

        verify_source_model(path)

        from raytl.models.source_folder import inspect_source_model

        return {"kind": "source model"} | inspect_source_model(path)
    if (path / "leaderboard.json").exists():
        return {"kind": "run"} | _describe_run(path)
    if (path / "study.yaml").exists():
        return {"kind": "run", "path": str(path), "state": "no trial has ended yet"}
    raise UserError(
        f"{path}: neither a dataset (dataset.json), a source model (source.json) nor a run "
        "(leaderboard.json)"
    )


def _fetched(place: Place) -> Path:
    """Return what lies behind a URL as a folder of this machine, and a path as it is."""
    from raytl.node_cache import local_copy

    try:
        return local_copy(place)
    except FileNotFoundError as error:
        raise UserError(str(error)) from None


def _describe_run(run: Path) -> dict[str, Any]:
    board, confirmation = run / "leaderboard.json", run / "confirmation.json"
    try:
        found = json.loads(board.read_text(encoding="utf-8"))
        statuses = [row["status"] for row in found["trials"]]
        facts = {
            "path": str(run),
            "study": found["study"],
            "state": found["state"],
            "objective": found["objective"]["label"],
            "trials": {status: statuses.count(status) for status in sorted(set(statuses))},
            "verdict": found.get("unconfirmed"),
        }
        if confirmation.exists():
            board = confirmation
            text = confirmation.read_text(encoding="utf-8")
            facts["verdict"] = json.loads(text)["verdict"]["sentence"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptError(
            f"{board}: not as `raytl sweep` writes it ({error!r:.100}); "
            "copy the run again, or go on with `raytl sweep … --resume`"
        ) from None
    return facts


def predict(
    model: Path | str,
    dataset: Path | str,
    *,
    split: str = "test",
    out: Path | str | None = None,
    workers: int | None = None,
    gpus: float = 0,
) -> dict[str, Any]:
    """Predict a split with a source model that has a head, such as a run's `best/`.

    With `workers` so many processes of a Ray cluster, or of this machine where there is none,
    predict its shards, with `gpus` of a GPU each, and write Parquet files into the folder or behind
    the URL `out`; what an earlier run of the same wrote is kept.

    Writes a CSV with id, predicted class and its probability, or predicted value, where `out` is
    given, in order of the ids, which is that of the files or arrays that were sharded; of boxes a
    JSON list of them; of masks a new folder with ID.png for each row. Returns the
    number of rows and, of those with a label, the accuracy, or RMSE and R² of values; a "note"
    where there are targets but none to judge by.
    """
    from raytl.data.dataset import Dataset
    from raytl.models.source_spec import check_head, read_spec

    if workers is not None:
        return _predict_on_cluster(model, dataset, split, out, workers, gpus)
    folder = _fetched(place_of(model))
    spec = read_spec(folder)
    check_head(spec, folder)
    Dataset.open(place_of(dataset)).split(split)
    if out is not None:
        _check_out(spec, Path(out))

    from raytl.training.predict import predict_split

    prediction = predict_split(folder, place_of(dataset), split)
    if out is not None:
        (_write_files if prediction.files else _write_csv)(prediction, Path(out))
    note = {} if prediction.note is None else {"note": prediction.note}
    return {"rows": len(prediction.rows), **prediction.metrics, **note, "out": out and str(out)}


def _check_out(spec: SourceSpec, out: Path) -> None:
    assert spec.task is not None
    if TASK_FACTS[spec.task["kind"]].files:
        refuse_existing(out, force=False)
    else:
        check_writable(out)


def _write_csv(prediction: Prediction, out: Path) -> None:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(prediction.columns)
    writer.writerows(sorted(prediction.rows))
    write_atomically(out, buffer.getvalue())


def _write_files(prediction: Prediction, out: Path) -> None:
    with new_folder(out, force=False) as folder:
        for number, content in prediction.rows:
            (folder / f"{number:06d}.png").write_bytes(content)


def _predict_on_cluster(
    model: Path | str,
    dataset: Path | str,
    split: str,
    out: Path | str | None,
    workers: int,
    gpus: float,
) -> dict[str, Any]:
    if out is None or workers < 1:
        raise UserError(
            f"predict: workers >= 1 and a folder or URL to write to must be given, got {workers} "
            f"and {out}; give --out"
        )
    from raytl.sweeping.on_ray.predicting import predict_on_cluster
    from raytl.sweeping.on_ray.tuning import ray_session

    with ray_session():
        return predict_on_cluster(
            place_of(model), place_of(dataset), split, place_of(out), workers=workers, gpus=gpus
        )
