"""Prediction of a large split by a cluster: its shards in parallel, each a part of the output."""

import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raytl.config.source_model import model_here
from raytl.data.dataset import Dataset
from raytl.errors import RaytlError, UserError
from raytl.files import digest_of
from raytl.folders import make_folder
from raytl.models.source_spec import check_head, read_spec
from raytl.predictions import Predictions
from raytl.remote_files import files_in, opened, put, put_text, read_text
from raytl.sweeping.on_ray.data_tasks import Work
from raytl.training.predict import Predictor
from raytl.urls import Place, Url

PLAN, DONE = "plan.json", "predictions.json"
STATISTICS = "statistics"  # of a row, by which scores are made of all parts
PREDICTING = "prediction", "run the same command again, which goes on"


def predict_on_cluster(
    model: Place,
    dataset: Place,
    split: str,
    out: Place,
    *,
    workers: int,
    gpus: float = 0,
) -> dict[str, Any]:
    """Predict a split with `workers` processes at once, `gpus` of a GPU each, and write a Parquet
    file a shard under `out`: id, predicted, probability of classes, and target where rows are
    judged; or id and mask, a PNG. What an earlier run of the same wrote is kept;
    `predictions.json` comes last.

    Returns rows, metrics and where they are. Needs a Ray cluster to be connected to. Raises
    ModelError and DataError as `Predictor.open`, UserError where `out` holds something else,
    RaytlError where a part is not there, as on a disk that nodes do not share, and as
    `Work.by_actors`.
    """
    folder = model_here(model)
    spec = read_spec(folder)
    check_head(spec, folder)
    data = Dataset.open(dataset)
    shards = data.split(split).info.shards
    plan = {"model": digest_of(spec.model_dump(mode="json")), "split": split,
            "dataset": data.fingerprint, "parts": len(shards)}  # fmt: skip
    _begin(out, plan)
    missing = _missing(out, len(shards))
    if missing:
        writing = Writing(_anywhere(model), _anywhere(dataset), split, _anywhere(out))
        parts = Work(*PREDICTING).by_actors(
            writing.begin, [pickle.dumps(n) for n in missing], workers,
            cpus=None if gpus else 1, gpus=gpus or None,
        )  # fmt: skip
        for _ in parts:
            pass
        _check_there(out, len(shards))
    judged = Predictor.open(folder, dataset)
    found = _measured(judged, out, len(shards)) if judged.judged else {}
    facts = {"rows": data.split(split).rows, **found, "out": str(out)}
    put_text(json.dumps(facts | plan, indent=1), out / DONE)
    return facts


def _part(number: int, parts: int) -> str:
    return f"part-{number:05d}-of-{parts:05d}.parquet"


def _anywhere(place: Place) -> Place:
    """Return a place as processes find it that stand in other folders."""
    return place if isinstance(place, Url) else place.absolute()


def _files(out: Place) -> set[str]:
    """Return the names of the files that are there, but for what a killed process left of one."""
    if isinstance(out, Url):
        return set(files_in(out))
    names = {file.name for file in out.iterdir()}
    return {name for name in names if not (name.startswith(".") and name.endswith(".partial"))}


def _missing(out: Place, parts: int) -> list[int]:
    """Return the numbers of the parts that are not there."""
    held = _files(out)
    return [number for number in range(parts) if _part(number, parts) not in held]


def _check_there(out: Place, parts: int) -> None:
    missing = _missing(out, parts)
    if missing:
        raise RaytlError(
            f"{out}: {_part(missing[0], parts)} was written by another machine and is not here "
            f"({len(missing)} such); give a URL, or a folder that all nodes share"
        )


def _begin(out: Place, plan: Mapping[str, Any]) -> None:
    """Say of what plan the parts are; raises UserError where it is another one."""
    if not isinstance(out, Url):
        make_folder(out)
    found = _files(out)
    if not found:
        put_text(json.dumps(plan), out / PLAN)
    elif PLAN not in found or json.loads(read_text(out / PLAN)) != plan:
        raise UserError(
            f"{out}: holds something else than predictions of this model for this split; give "
            "another --out"
        )


@dataclass(frozen=True)
class Writing:
    """Predicts shards of a split, in a process of the cluster that has loaded the model once."""

    model: Place
    dataset: Place
    split: str
    out: Place

    def begin(self) -> Callable[[int], None]:
        """Return what writes the part of a shard; raises as `Predictor.open`."""
        import torch

        device = "cuda" if torch.cuda.is_available() else "cpu"
        return partial(self._write, Predictor.open(model_here(self.model), self.dataset, device))

    def _write(self, predictor: Predictor, number: int) -> None:
        split = predictor.domain.split(self.split)
        rows = split.info.shards[number].rows
        first = int(split.ends[number]) - rows
        found = predictor.predict(self.split, np.arange(first, first + rows))
        said, columns = found.predictions, predictor.table(found)
        if predictor.judged:
            columns["target"] = said.target_N.tolist()
            if said.statistics_NM is not None:
                columns[STATISTICS] = said.statistics_NM.tolist()
        name = _part(number, len(split.info.shards))
        with TemporaryDirectory(prefix="raytl-") as folder:
            pq.write_table(pa.table(columns), Path(folder) / name)
            put(Path(folder) / name, self.out / name)


def _measured(predictor: Predictor, out: Place, parts: int) -> dict[str, float]:
    """Return the metrics, from what the parts say of each row."""
    last = "predicted" if "numbers" in predictor.complete.task.gives else STATISTICS
    read = [
        pq.read_table(opened(out / _part(n, parts)), columns=["id", "target", last])
        for n in range(parts)
    ]
    id_N, target_N, predicted_N = (column.to_numpy() for column in pa.concat_tables(read).columns)
    if last == STATISTICS:
        said = Predictions(id_N, target_N, None, statistics_NM=np.stack(predicted_N))
        return dict(predictor.complete.task.measure(said, predictor.measured))
    classes = predictor.complete.spec.classes
    if classes is not None:
        order = np.argsort(classes)
        predicted_N = order[np.searchsorted(classes, predicted_N.astype(str), sorter=order)]
    said = Predictions(id_N, target_N, predicted_N)
    return dict(predictor.complete.task.measure(said, predictor.measured))
