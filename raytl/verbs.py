"""The verbs of the command line, for Python: `raytl.sweep(...)` and the others.

Importing this module loads neither torch nor Ray; each verb loads what it needs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from raytl.config import Study, load_study
from raytl.errors import UserError
from raytl.files import check_writable
from raytl.folders import rooted
from raytl.urls import Place, Url, place_of

if TYPE_CHECKING:
    from raytl.data.shard import ShardReport
    from raytl.models.source_spec import SourceSpec
    from raytl.sweeping.kept.trial_store import Entry
    from raytl.sweeping.on_ray.doctor import Finding
    from raytl.sweeping.ranking import Ranked
    from raytl.sweeping.study_run import StudyResult
    from raytl.training.loaded import LoadedModel


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


def export(
    model: Path | str,
    candidate: str | None = None,
    out: Path | str | None = None,
    *,
    to: str | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Take a model along: `export(best, to="onnx")`, `export(run, to="onnx")` of its best, and
    `export(run, "scratch control", out)` of another confirmed candidate.

    With `to` (torch, onnx, huggingface, timm) the folder `out`, by default MODEL-TO beside it, is
    one that other libraries load, see `exporting.formats.export_as`; without, it is a source model,
    see `sweeping.exporting.export`. Returns `out` and what there is to say of it.

    Raises UserError where these do not fit together, or the run has not been confirmed.
    """
    if to is None and (candidate is None or out is None):
        raise UserError(
            f"export {model}: say which format, --to torch, onnx, huggingface or timm, or which "
            "other confirmed candidate of a run and where to: RUN CANDIDATE OUT"
        )
    if to is None:
        _export_candidate(str(model), str(candidate), place_of(str(out)), force)
        return {"out": str(out)}

    from raytl.exporting.names import check_format
    from raytl.folders import refuse_existing

    check_format(to)
    source = _best_of(place_of(model)) if candidate is None else place_of(model)
    place = place_of(out) if out is not None else _beside(source, candidate, to)
    refuse_existing(place, force)

    from raytl.exporting.formats import export_as

    if candidate is None:
        return {"out": str(place)} | export_as(to, source, place, force=force)
    with TemporaryDirectory(prefix="raytl-") as folder:
        own = Path(folder) / "candidate"
        _export_candidate(str(model), candidate, own, force=False)
        return {"out": str(place)} | export_as(to, own, place, force=force)


def _beside(model: Place, candidate: str | None, to: str) -> Place:
    """Return where an export goes of which nothing is said: beside its model, or into its run."""
    if candidate is not None:
        return model / f"{candidate.replace(' ', '_')}-{to}"
    folder = model.folder if isinstance(model, Url) else Path(os.path.abspath(model)).parent
    return folder / f"{model.name if isinstance(model, Url) else model.absolute().name}-{to}"


def _best_of(model: Place) -> Place:
    """Return the source model of a run, or the one that is given."""
    if isinstance(model, Url) or (model / "source.json").exists():
        return model
    return model / "best" if (model / "study.yaml").exists() else model


def _export_candidate(run: str, candidate: str, out: Place, force: bool) -> None:
    from raytl.sweeping.exporting import export as write
    from raytl.sweeping.kept.storage import RunStorage
    from raytl.sweeping.verdict.confirmed import load_confirmation

    confirmation = load_confirmation(Path(run))
    study = load_study(Path(run) / "study.yaml")
    storage = RunStorage(Path(run), study.resources.storage_path)
    write(study, storage, confirmation, candidate, out, force=force)


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


def predict(
    model: Path | str,
    data: Path | str,
    *,
    split: str | None = None,
    out: Path | str | None = None,
    skip_bad: bool = False,
    workers: int | None = None,
    gpus: float = 0,
) -> dict[str, Any]:
    """Predict with a source model that has a head, such as a run's `best/`: a split of a dataset
    ("test"), or raw rows: an image, a .wav file or a folder of such, a text file with a line a row,
    a .ts file, or a table (CSV, Parquet, JSON lines) with the columns that the model reads.

    With `workers` so many processes of a Ray cluster, or of this machine where there is none,
    predict a split's shards, with `gpus` of a GPU each, and write Parquet files into the folder or
    behind the URL `out`; what an earlier run of the same wrote is kept.

    Where `out` is given, writes a CSV with id, file or row, predicted class and its probability,
    predicted value, or what else the task says; of a dataset in order of the ids, which is that of
    the files or arrays that were sharded; of masks a new folder with a PNG for each row. Returns
    the number of rows and, of a dataset's with a target, metrics; a "note" where there are targets
    but none to judge by. Of raw rows it returns those "left_out" with `skip_bad`, which else are a
    DataError, and without `out` the "columns" and "answers" themselves.
    """
    from raytl.config.source_model import here
    from raytl.data.dataset import Dataset
    from raytl.models.source_spec import check_head, read_spec
    from raytl.training.prediction_files import check_out, write

    place = place_of(data)
    raw = isinstance(place, Path) and not (place / "dataset.json").exists()
    if workers is not None and not raw:
        return _predict_on_cluster(model, data, split or "test", out, workers, gpus)
    folder = here(place_of(model))
    spec = read_spec(folder)
    check_head(spec, folder)
    assert spec.task is not None, "a head has a task"
    if raw:
        _check_raw(data, split, workers)
    else:
        Dataset.open(place).split(split or "test")
    if out is not None:
        check_out(spec.task["kind"], Path(out))
    if raw:
        return _predict_raw(folder, Path(place), spec.task["kind"], out, skip_bad)
    if skip_bad:
        raise UserError("predict: --skip-bad is about raw files, and a dataset has no bad rows")

    from raytl.training.predict import predict_split

    prediction = predict_split(folder, place, split or "test")
    if out is not None:
        write(prediction, Path(out))
    note = {} if prediction.note is None else {"note": prediction.note}
    return {"rows": len(prediction.rows), **prediction.metrics, **note, "out": out and str(out)}


def _check_raw(data: Path | str, split: str | None, workers: int | None) -> None:
    for flag, given in (("--split", split), ("--workers", workers)):
        if given is not None:
            raise UserError(
                f"predict: {flag} is about a dataset, and {data} is none (dataset.json is "
                "missing); leave it out, or give the dataset"
            )


def _predict_raw(
    model: Path, path: Path, task: str, out: Path | str | None, skip_bad: bool
) -> dict[str, Any]:
    from raytl.config import TASK_FACTS

    if out is None and any(name == task and facts.files for name, facts in TASK_FACTS.items()):
        raise UserError(f"predict: answers of a {task} are files; give --out, their folder")

    from raytl.training.answers import predict_raw
    from raytl.training.prediction_files import write_answers

    answers = predict_raw(model, path, skip_bad=skip_bad)
    found = {"rows": len(answers.rows), "left_out": answers.left_out, "notes": answers.notes}
    if out is None:
        return {**found, "columns": answers.columns, "answers": answers.rows, "out": None}
    write_answers(answers, Path(out))
    return {**found, "out": str(out)}


def load(model: Path | str, *, device: str = "cpu") -> LoadedModel:
    """Load a source model with a head, such as a run's `best/`, to be asked by a program:
    `load(…).predict(rows)`; see `training.loaded.LoadedModel`."""
    from raytl.training.loaded import LoadedModel

    return LoadedModel(place_of(model), device)


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
