"""Tables in pieces, as Hugging Face's folders of Parquet have them."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from starting_support import table

from raytl.data.dataset import Dataset
from raytl.errors import DataError
from raytl.starting.looking import look
from raytl.starting.raw import Raw, Wanted
from raytl.starting.sharding import sharded

NAMES = {"label": {"_type": "ClassLabel", "names": ["worse", "better"]}}


def said(first: int, rows: int = 60) -> dict[str, Any]:
    every = range(first, first + rows)
    return {
        "text": [f"the film no {row} is {'better' if row % 2 else 'worse'}" for row in every],
        "kind": [("play", "film")[row % 3 == 0] for row in every],
        "label": [row % 2 for row in every],
    }


def picture(row: int) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.fromarray(np.full((20, 24, 3), row, np.uint8)).save(buffer, "png")
    return {"bytes": buffer.getvalue(), "path": f"{row}.png"}


def write(path: Path, columns: dict[str, Any], features: dict[str, Any] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    strings = {
        name: {"_type": "Value", "dtype": "string"}
        for name, values in columns.items()
        if isinstance(values[0], str)
    }
    held = {"huggingface": json.dumps({"info": {"features": strings | NAMES | (features or {})}})}
    pq.write_table(pa.table(columns).replace_schema_metadata(held), path)
    return path


def dataset(raw: Raw, out: Path) -> Dataset:
    sharded(raw, out, force=False, say=lambda text: None)
    return Dataset.open(out)


def counts(found: Dataset) -> dict[str, int]:
    return {name: split.rows for name, split in found.info.splits.items()}


def test_pieces_of_a_split_are_read_together(tmp_path: Path) -> None:
    for number in range(2):
        write(
            tmp_path / "repo" / "data" / f"train-0000{number}-of-00002.parquet", said(60 * number)
        )
    write(tmp_path / "repo" / "data" / "test-00000-of-00001.parquet", said(120, 40))
    raw = look(tmp_path / "repo", Wanted())
    assert raw.options == {
        "splits": {"train": "train-*.parquet", "test": "test-*.parquet"},
        "target": "label", "text": ("text",),
    }  # fmt: skip
    found = dataset(raw, tmp_path / "out")
    assert counts(found) == {"train": 120, "test": 40}
    assert found.info.columns["label"].model_dump()["classes"] == ("worse", "better")
    assert {name: column.kind for name, column in found.columns.items()} == {
        "text": "text", "table": "table", "label": "label",
    }  # fmt: skip


def test_one_piece_keeps_the_names_of_its_classes(tmp_path: Path) -> None:
    write(tmp_path / "repo" / "train-00000-of-00001.parquet", said(0))
    raw = look(tmp_path / "repo", Wanted())
    assert raw.options["splits"] == {"train": "train-*.parquet"}
    found = dataset(raw, tmp_path / "out")
    assert counts(found) == {"train": 48, "test": 12}
    assert found.info.columns["label"].model_dump()["classes"] == ("worse", "better")


def test_strings_that_are_no_texts_stay_fields(tmp_path: Path) -> None:
    columns = said(0) | {"size": [f"{row}.5" for row in range(60)]}
    for split in ("train", "test"):
        write(tmp_path / f"{split}-00000-of-00001.parquet", columns | {"text": ["x", "y"] * 30})
    raw = look(tmp_path, Wanted())
    assert raw.options["category"] == ("text", "kind") and raw.options["number"] == ("size",)
    assert dataset(raw, tmp_path / "out").inputs == ("table",)


@pytest.mark.parametrize("bare", [False, True])
def test_pictures_in_a_column_are_read(tmp_path: Path, bare: bool) -> None:
    cells = [picture(row) for row in range(40)]
    columns = {
        "image": [cell["bytes"] for cell in cells] if bare else cells,
        "boxes": [[row] for row in range(40)],
        "label": [row % 2 for row in range(40)],
    }
    for split in ("train", "test"):
        write(tmp_path / "repo" / f"{split}.parquet", columns)
    raw = look(tmp_path / "repo", Wanted())
    assert (raw.options["image"], raw.options["size"]) == ("image", 24)
    assert raw.options["drop"] == ("boxes",)
    found = dataset(raw, tmp_path / "out")
    assert {name: column.kind for name, column in found.columns.items()} == {
        "image": "image", "label": "label",
    }  # fmt: skip


def test_pieces_that_are_not_read_together_are_refused(tmp_path: Path) -> None:
    for name in ("train-1", "train-2", "test"):
        table(tmp_path / f"{name}.csv")
    with pytest.raises(DataError, match=r"train-1\.csv and train-2\.csv .* the split train"):
        look(tmp_path, Wanted())
