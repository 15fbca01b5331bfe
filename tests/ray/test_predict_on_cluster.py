"""Prediction by several processes: the rows and metrics of one, and none predicted twice."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from s3_server import put, s3_bucket

import raytl
from raytl.errors import UserError
from raytl.remote_files import files_in, opened
from raytl.training.pretrain import pretrain

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


def test_parts_behind_a_url_hold_what_one_process_predicts(
    domains: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretrain(domains[0], "small_cnn", tmp_path / "net", epochs=1, batch_size=16)
    alone = raytl.predict(tmp_path / "net", domains[1], split="train", out=tmp_path / "one.csv")
    with s3_bucket(monkeypatch) as bucket:
        put(domains[1], bucket / "data")
        put(tmp_path / "net", bucket / "net")
        out = bucket / "said"

        def predict() -> dict[str, object]:
            return raytl.predict(
                str(bucket / "net"), str(bucket / "data"), split="train", out=str(out), workers=2
            )

        found = predict()
        assert (found["rows"], found["accuracy"]) == (alone["rows"], alone["accuracy"])
        part = "part-00000-of-00001.parquet"
        rows = pq.read_table(opened(out / part)).to_pylist()
        lines = (tmp_path / "one.csv").read_text().splitlines()[1:]
        assert [f"{r['id']},{r['predicted']}" for r in sorted(rows, key=lambda r: r["id"])] == [
            ",".join(line.split(",")[:2]) for line in lines
        ]
        stamp = files_in(out)[part].stamp
        assert predict() == found
        assert files_in(out)[part].stamp == stamp
        assert (
            json.loads((opened(out / "predictions.json")).read())["accuracy"] == found["accuracy"]
        )


def test_a_folder_that_holds_something_else_is_left_alone(
    domains: tuple[Path, Path], tmp_path: Path
) -> None:
    pretrain(domains[0], "small_cnn", tmp_path / "net", epochs=1, batch_size=16)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds something else than predictions"):
        raytl.predict(tmp_path / "net", domains[1], out=tmp_path / "out", workers=1)
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["notes.txt"]


def test_workers_need_a_place_to_write_to(domains: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give --out"):
        raytl.predict(tmp_path, domains[1], workers=2)
