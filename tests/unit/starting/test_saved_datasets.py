"""Folders as Hugging Face's `datasets` saves them, without the package: streams of Arrow."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from raytl.starting.looking import look
from raytl.starting.raw import Wanted

COUNT = 30


def saved(folder: Path, parts: int = 1, **columns: Any) -> Path:
    folder.mkdir(parents=True)
    for name in ("dataset_info.json", "state.json"):
        (folder / name).write_text("{}")
    table = pa.table(columns)
    size = len(table) // parts
    for part in range(parts):
        name = f"data-{part:05d}-of-{parts:05d}.arrow"
        with (
            pa.OSFile(str(folder / name), "wb") as file,
            pa.ipc.new_stream(file, table.schema) as s,
        ):
            s.write_table(table.slice(part * size, size))
    return folder


@pytest.mark.parametrize("parts", [1, 2])
def test_what_numbers_the_rows_of_saved_datasets_is_left_out(tmp_path: Path, parts: int) -> None:
    columns = {
        "idx": list(range(COUNT)), "id": [f"r{n}" for n in range(COUNT)],
        "size": [n % 7 for n in range(COUNT)], "words": ["a b"] * COUNT, "kind": [0, 1] * 15,
    }  # fmt: skip
    for split in ("train", "test"):
        saved(tmp_path / "h" / split, parts, **columns)
    (tmp_path / "h" / "dataset_dict.json").write_text("{}")
    for folder in (tmp_path / "h", tmp_path / "h" / "train"):
        raw = look(folder, Wanted("kind"))
        assert raw.options["drop"] == ("idx", "id")
        assert "column idx numbers the rows, so it is left out" in raw.notes
    assert look(tmp_path / "h", Wanted("idx")).options["drop"] == ("id",)


def test_saved_datasets_that_cannot_be_read_are_left_to_the_importer(tmp_path: Path) -> None:
    folder = saved(tmp_path / "h", idx=list(range(COUNT)), size=[2] * COUNT, kind=[0] * COUNT)
    (folder / "data-00000-of-00001.arrow").write_bytes(b"no Arrow")
    assert "drop" not in look(folder, Wanted("kind")).options
