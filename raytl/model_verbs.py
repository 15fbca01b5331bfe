"""The verbs about a trained model: taken along, trained again, asked about rows. See `raytl.verbs`.

Importing this module loads neither torch nor Ray.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from raytl.config import TaskName, load_study
from raytl.errors import UserError
from raytl.urls import Place, Url, place_of

if TYPE_CHECKING:
    from raytl.sweeping.refitting import Refitted


def export(
    model: Path | str,
    candidate: str | None = None,
    out: Path | str | None = None,
    *,
    to: str | None = None,
    force: bool = False,
) -> dict[str, Any]:
    """Take a model along, for programs without raytl or as another source model.

    Args:
        model: A run's `best/`, another source model with a head, or a run, which stands for its
            best; with `candidate` a run.
        candidate: A confirmed one as `raytl.results(run).confirmations` calls it, such as
            "scratch control".
        out: The new folder or URL; by default MODEL-TO beside the model.
        to: What it is written for: torch, onnx, huggingface or timm, see
            `exporting.formats.export_as`. None: a source model of the candidate.
        force: Replace what stands there.

    Returns:
        `out`, and what there is to say of it.

    Raises:
        UserError: These do not fit together, the run has not been confirmed or has no such
            candidate, `out` exists, the format cannot hold the model, or of a candidate the data or
            the source model are others now than those of the run.
        CorruptError: The weights are not as they were written.

    Examples:
        >>> found = raytl.export("runs/stripes", "scratch control", "sources/scratch")
        >>> raytl.inspect("sources/scratch")["kind"]
        'source model'
    """
    if to is None and (candidate is None or out is None):
        raise UserError(
            f"export {model}: say which format, --to torch, onnx, huggingface or timm, or which "
            "other confirmed candidate of a run and where to: RUN CANDIDATE OUT"
        )
    if to is None:
        _export_candidate(str(model), str(candidate), place_of(str(out)), force)
        return {"out": str(out)}

    from raytl.exporting.names import TOLD_BY, check_format
    from raytl.folders import refuse_existing

    check_format(to)
    source = _best_of(place_of(model)) if candidate is None else place_of(model)
    place = place_of(out) if out is not None else _beside(source, candidate, to)
    refuse_existing(place, force, TOLD_BY[to])

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
    if isinstance(model, Url):
        return model.folder / f"{model.name}-{to}"
    place = Path(os.path.abspath(model))
    return place.parent / f"{place.name}-{to}"


def _best_of(model: Place) -> Place:
    """Return the source model of a run, or the one that is given."""
    if isinstance(model, Url) or (model / "source.json").exists():
        return model
    return model / "best" if (model / "study.yaml").exists() else model


def _export_candidate(run: str, candidate: str, out: Place, force: bool) -> None:
    from raytl.sweeping.made_with import check_made_with
    from raytl.sweeping.verdict.confirmed import load_confirmation

    confirmation = load_confirmation(Path(run))
    study = load_study(Path(run) / "study.yaml")
    check_made_with(Path(run), study, confirmation.trained(candidate).config)

    from raytl.sweeping.exporting import export as write
    from raytl.sweeping.kept.storage import RunStorage

    storage = RunStorage(Path(run), study.resources.storage_path)
    write(study, storage, confirmation, candidate, out, force=force)


def refit(
    run: Path | str,
    candidate: str | None = None,
    out: Path | str | None = None,
    *,
    force: bool = False,
    progress: Callable[[dict[str, Any]], None] = lambda metrics: None,
) -> Refitted:
    """Train a run's candidate once more, on all rows whose label is known: those that were held out
    for validation and, but with `labels: N`, the test split's are learnt from, too.

    For use, when all is decided: what the new model is worth cannot be measured any more. What the
    run measured is of the same training on fewer rows.

    Args:
        run: The run's folder.
        candidate: A confirmed one as `raytl.results(run).confirmations` calls it; by default what
            `best/` holds, which of a run without test labels is all there is.
        out: Folder or URL of the new source model; `refit` in the run's folder by default.
        force: Replace what stands there.
        progress: Takes the metrics of each epoch.

    Returns:
        What was written: its `.spec`, the `.candidate`, the number of labelled `.rows`, the score
        that the run measured `.before`, with fewer.

    Raises:
        UserError: The run has not been confirmed or has no such candidate, `out` exists, or the
            data or the source model are others now than those of the run.
        ConfigError: The study has `labels: none`, so that no label was held out.
        TrainingError: A loss is not finite.

    Examples:
        >>> raytl.refit("runs/stripes").rows
        20
    """
    from raytl.folders import refuse_existing
    from raytl.models.source_spec import SPEC_FILE
    from raytl.sweeping.chosen import chosen_of

    place = place_of(out) if out is not None else Path(run) / "refit"
    refuse_existing(place, force, SPEC_FILE)
    chosen = chosen_of(Path(run), candidate)

    from raytl.sweeping.made_with import check_made_with
    from raytl.sweeping.opening import open_study

    study = load_study(Path(run) / "study.yaml")
    check_made_with(Path(run), study, chosen.config)
    opened = open_study(study)

    from raytl.sweeping.refitting import refit as train

    return train(opened.study, opened.domains, chosen, place, force=force, progress=progress)


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
    """Predict a split of a dataset, or raw rows, with a source model that has a head.

    Args:
        model: The source model's folder or URL, such as a run's `best/`.
        data: A dataset's folder or URL; or an image, a .wav file or a folder of such, a text file
            with a line a row, a .ts file, or a table (CSV, Parquet, JSON lines) with the columns
            that the model reads.
        split: Which split of a dataset, "test" by default.
        out: A CSV file with id, file or row, predicted class and its probability, predicted value,
            or what else the task says; of a dataset in order of the ids, which is that of the files
            or arrays that were sharded; of masks a new folder with a PNG for each row; with
            `workers` a folder or URL.
        skip_bad: Leave out raw rows that cannot be read, which else are a DataError.
        workers: So many processes of a Ray cluster, or of this machine where there is none, predict
            a split's shards and write Parquet files; what an earlier run of the same wrote is kept.
        gpus: Of each of these.

    Returns:
        The number of `rows` and, of a dataset's with a target, metrics; a "note" where there are
        targets but none to judge by. Of raw rows those "left_out", and without `out` the "columns"
        and "answers" themselves.

    Raises:
        ModelError: The model has no head, or reads columns that the data has not.
        DataError: There is no such data or split, or a row cannot be read.
        UserError: `out` cannot be written or is what is read, or the options do not fit the data.

    Examples:
        >>> found = raytl.predict("sources/lenet", "data/digits", split="test")
        >>> found["rows"], 0 <= found["accuracy"] <= 1
        (797, True)
    """
    from raytl.config.source_model import model_here
    from raytl.data.dataset import Dataset
    from raytl.models.source_spec import SPEC_FILE, WEIGHTS_FILE, check_head, read_spec
    from raytl.training.prediction_files import check_out, write

    place, named = place_of(data), "test" if split is None else split
    raw = isinstance(place, Path) and not (place / "dataset.json").exists()
    if gpus and workers is None:
        raise UserError(f"predict: --gpus is about the workers, got {gpus:g}; give --workers too")
    if skip_bad and not raw:
        raise UserError("predict: --skip-bad is about raw files, and a dataset has no bad rows")
    if workers is not None and not raw:
        return _predict_on_cluster(model, data, named, out, workers, gpus)
    folder = model_here(place_of(model))
    spec = read_spec(folder)
    check_head(spec, folder)
    assert spec.task is not None, "a head has a task"
    if raw:
        _check_raw(data, split, workers)
    else:
        Dataset.open(place).split(named)
    if out is not None:
        read = [place] if isinstance(place, Path) and (place.is_file() or not raw) else []
        model_files = [folder / SPEC_FILE, folder / WEIGHTS_FILE]
        check_out(spec.task["kind"], Path(out), [*model_files, *read])
    if raw:
        return _predict_raw(folder, Path(place), spec.task["kind"], out, skip_bad)

    from raytl.training.predict import predict_split

    prediction = predict_split(folder, place, named)
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
    model: Path, path: Path, task: TaskName, out: Path | str | None, skip_bad: bool
) -> dict[str, Any]:
    from raytl.config import TASK_FACTS

    if out is None and TASK_FACTS[task].files:
        raise UserError(f"predict: answers of a {task} are files; give --out, their folder")

    from raytl.training.answers import predict_raw
    from raytl.training.prediction_files import write_answers

    answers = predict_raw(model, path, skip_bad=skip_bad)
    found = {"rows": len(answers.rows), "left_out": answers.left_out, "notes": answers.notes}
    if out is None:
        return {**found, "columns": answers.columns, "answers": answers.rows, "out": None}
    write_answers(answers, Path(out))
    return {**found, "out": str(out)}


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
