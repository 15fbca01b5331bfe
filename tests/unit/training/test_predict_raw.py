"""`raytl predict` on raw files says what it says of the same rows as a dataset."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from complete_models import BAG, CNN, IMAGE, SOUND, TABLE, save_model
from PIL import Image
from scipy.io import wavfile

from raytl import verbs
from raytl.data.dataset import Dataset
from raytl.data.raw.stored_as import rows_facts
from raytl.errors import DataError, UserError
from raytl.tasks.base import Task
from raytl.tasks.mask_column import MaskColumn
from raytl.tasks.segmentation import Segmentation

Table = list[list[str]]
KINDS = (("RGB", "png"), ("L", "png"), ("RGB", "jpg"), ("RGBA", "png"))  # modes and types of files


def model_of(data: Path, out: Path, config: Mapping[str, Any], **more: Any) -> Path:
    """Save a model that was trained, so it says, on a dataset's rows."""
    dataset = Dataset.open(data)
    columns = {name: dataset.columns[name] for name in dataset.inputs}
    facts = rows_facts(dataset, columns)
    return save_model(out, columns, config, kind=facts["kind"], options=facts["options"], **more)


def table_of(file: Path) -> tuple[list[str], Table]:
    with file.open(encoding="utf-8", newline="") as lines:
        head, *rows = list(csv.reader(lines))
    return head, rows


def assert_same(model: Path, data: Path, raw: Path, tmp_path: Path, rows: int) -> Table:
    """Compare what is predicted of a dataset's split train and of raw files; return the latter."""
    verbs.predict(model, data, split="train", out=tmp_path / "stored.csv")
    found = verbs.predict(model, raw, out=tmp_path / "answers.csv")
    assert found["rows"] == rows and found["left_out"] == []
    (_, wanted), (head, got) = table_of(tmp_path / "stored.csv"), table_of(tmp_path / "answers.csv")
    assert head[1:] == ["predicted", "probability"]
    assert [row[1] for row in got] == [row[1] for row in wanted]
    shares = [[float(row[2]) for row in table] for table in (got, wanted)]
    np.testing.assert_allclose(shares[0], shares[1], atol=1e-6)
    return got


def write_pictures(folder: Path, count: int = 4) -> Path:
    """Write a folder a class of pictures of several sizes, modes and types."""
    random = np.random.default_rng(0)
    for name in ("ants", "bees", "wasps"):
        (folder / name).mkdir(parents=True)
        for number in range(count):
            shape = (20 + 3 * number, 30 - 2 * number, 3)
            image = Image.fromarray(random.integers(0, 256, shape, np.uint8))
            mode, suffix = (("RGB", "png"), ("L", "png"), ("RGB", "jpg"), ("RGBA", "png"))[
                number % 4
            ]
            image.convert(mode).save(folder / name / f"{number}.{suffix}")
    return folder


@pytest.mark.parametrize(
    "options", [{"size": 12}, {"size": 14, "fit": "crop"}, {"size": 14, "fit": "pad", "box": 10}]
)
def test_a_nested_folder_of_images(options: dict[str, Any], tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "raw")
    verbs.shard("image-folder", str(folder), tmp_path / "data", **options)
    model = model_of(tmp_path / "data", tmp_path / "best", CNN | {"input_size": 10})
    got = assert_same(model, tmp_path / "data", folder, tmp_path, 12)
    assert [row[0] for row in got][:5] == [
        "ants/0.png", "ants/1.png", "ants/2.jpg", "ants/3.png", "bees/0.png"
    ]  # fmt: skip
    (folder / "bees" / "notes.md").write_text("no image")
    flat = verbs.predict(model, folder / "bees")
    assert flat["notes"] == [f"left aside (1): {folder / 'bees' / 'notes.md'}: no image"]
    assert flat["columns"] == ("file", "predicted", "probability")
    assert [row[0] for row in flat["answers"]] == ["0.png", "1.png", "2.jpg", "3.png"]
    one = verbs.predict(model, folder / "bees" / "2.jpg")["answers"]
    assert one[0][1:] == pytest.approx(flat["answers"][2][1:])


def test_sounds_at_another_rate(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("one", "two", "three"):
        (tmp_path / "raw" / name).mkdir(parents=True)
        for number in range(3):
            sound = random.normal(0, 3000, 400 + 100 * number).astype(np.int16)
            wavfile.write(
                tmp_path / "raw" / name / f"{number}.wav", 800 + 400 * (number == 2), sound
            )
    verbs.shard("audio-folder", str(tmp_path / "raw"), tmp_path / "data")
    model = model_of(tmp_path / "data", tmp_path / "best", SOUND)
    assert_same(model, tmp_path / "data", tmp_path / "raw", tmp_path, 9)


def test_a_text_file_is_a_line_a_row(tmp_path: Path) -> None:
    lines = ["good film", "  bad film ", "the poor a", "nobody knows it", "bad bad good"] * 2
    labelled = "".join(f"{line}\t{'abc'[i % 3]}\n" for i, line in enumerate(lines))
    (tmp_path / "labelled.txt").write_text(labelled)
    (tmp_path / "raw.txt").write_text("".join(f"{line}\n" for line in lines))
    verbs.shard("text-lines", str(tmp_path / "labelled.txt"), tmp_path / "data")
    model = model_of(tmp_path / "data", tmp_path / "best", BAG)
    got = assert_same(model, tmp_path / "data", tmp_path / "raw.txt", tmp_path, 10)
    assert [row[0] for row in got] == [str(i) for i in range(10)]


HEAD = "age,town,mass,kind"
LINES = [
    "1,north,2.5,ants", "2,south,,bees", "?,north,1e1,wasps", "4.5,west,3,ants",
    "5,NA,4,bees", "6,south,5.25,wasps", "7,west,6,ants", "8,north,7,bees",
]  # fmt: skip


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl", ".csv.gz"])
def test_a_table_of_numbers_and_categories(suffix: str, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("\n".join([HEAD, *LINES]) + "\n")
    verbs.shard("table", str(tmp_path / "train.csv"), tmp_path / "data", target="kind")
    model = model_of(tmp_path / "data", tmp_path / "best", {"backbone": "mlp"})
    raw = tmp_path / f"raw{suffix}"
    write_table(raw)
    assert_same(model, tmp_path / "data", raw, tmp_path, 8)


def write_table(raw: Path) -> None:
    """Write the rows without their target, columns in another order, one more among them."""
    cells = [line.split(",") for line in LINES]
    ages = [None if c[0] == "?" else float(c[0]) for c in cells]
    towns = [None if c[1] == "NA" else c[1] for c in cells]
    masses = [float(c[2]) if c[2] else None for c in cells]
    table = pa.table({"mass": masses, "note": ["x"] * 8, "age": ages, "town": towns})
    if raw.suffix == ".parquet":
        pq.write_table(table, raw)
    elif raw.suffix == ".jsonl":
        raw.write_text("\n".join(json.dumps(row) for row in table.to_pylist()))
    else:
        import gzip

        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(table.column_names)
        writer.writerows(
            ["" if v is None else v for v in row.values()] for row in table.to_pylist()
        )
        content = text.getvalue().encode()
        raw.write_bytes(gzip.compress(content) if raw.suffix == ".gz" else content)


@pytest.mark.parametrize("out", ["raw.csv", "link.csv", "data/dataset.json", "m/source.json"])
def test_predictions_never_replace_what_they_were_made_of(out: str, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("\n".join([HEAD, *LINES]) + "\n")
    verbs.shard("table", str(tmp_path / "train.csv"), tmp_path / "data", target="kind")
    model = save_model(tmp_path / "m", {"table": TABLE}, {"backbone": "mlp"})
    (tmp_path / "raw.csv").write_text("age,mass,town\n1,2,north\n")
    (tmp_path / "link.csv").symlink_to(tmp_path / "raw.csv")
    data = tmp_path / ("data" if out.startswith("data") else "raw.csv")
    before = (tmp_path / out).read_bytes()
    with pytest.raises(UserError, match=f"{out}: is (in )?what is read here"):
        verbs.predict(model, data, out=tmp_path / out, split="train" if data.is_dir() else None)
    assert (tmp_path / out).read_bytes() == before


def test_predictions_beside_a_model_are_replaced_by_newer_ones(tmp_path: Path) -> None:
    model = save_model(tmp_path / "m", {"table": TABLE}, {"backbone": "mlp"})
    for rows in (1, 2):
        (tmp_path / "raw.csv").write_text("age,mass,town\n" + rows * "1,2,north\n")
        verbs.predict(model, tmp_path / "raw.csv", out=model / "answers.csv")
        assert len(table_of(model / "answers.csv")[1]) == rows


def test_a_category_that_training_rows_had_not_is_unknown_and_not_missing(tmp_path: Path) -> None:
    model = save_model(tmp_path / "best", {"table": TABLE}, {"backbone": "mlp"})
    for name, town in (("new", "east"), ("missing", "")):
        (tmp_path / f"{name}.csv").write_text(f"age,mass,town\n1,2,{town}\n")
    new, missing = (
        verbs.predict(model, tmp_path / f"{n}.csv")["answers"] for n in ("new", "missing")
    )
    assert new[0][2] != pytest.approx(missing[0][2], abs=1e-6)


def test_images_and_texts_in_the_columns_of_a_table(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pictures")
    files = [path.relative_to(tmp_path).as_posix() for path in sorted(folder.rglob("*.*"))]
    rows = [f"{file},good film {i % 3},{'abc'[i % 3]}" for i, file in enumerate(files)]
    (tmp_path / "train.csv").write_text("\n".join(["picture,the title,kind", *rows]))
    verbs.shard("table", str(tmp_path / "train.csv"), tmp_path / "data", target="kind",
                image="picture", text=("the title",), size=12)  # fmt: skip
    parts = {"parts": {"picture": CNN, "the_title": BAG}}
    model = model_of(tmp_path / "data", tmp_path / "best", parts)
    assert_same(model, tmp_path / "data", tmp_path / "train.csv", tmp_path, 12)
    with pytest.raises(DataError, match="the model does not read this; give a .csv, .parquet or"):
        verbs.predict(model, folder)


def test_a_ts_file_of_series(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    head = "@problemName x\n@timestamps false\n@univariate false\n@classLabel true a b c\n@data\n"
    rows = []
    for number in range(6):
        channels = random.normal(2, 1, (2, 5 + number)).round(3)
        rows.append(":".join(",".join(map(str, c)) for c in channels) + f":{'abc'[number % 3]}")
    (tmp_path / "x.ts").write_text(head + "\n".join(rows) + "\n")
    verbs.shard("series", str(tmp_path / "x.ts"), tmp_path / "data")
    model = model_of(tmp_path / "data", tmp_path / "best", {"backbone": "inception"})
    assert_same(model, tmp_path / "data", tmp_path / "x.ts", tmp_path, 6)


def test_masks_are_files_called_after_their_images(tmp_path: Path) -> None:
    task: Task = Segmentation(MaskColumn(classes=("sky", "road"), shape=(12, 12)))
    model = save_model(tmp_path / "best", {"image": IMAGE}, CNN, task=task,
                       head={"name": "unet", "hidden": 8}, options={"size": 12})  # fmt: skip
    folder = write_pictures(tmp_path / "raw")
    with pytest.raises(UserError, match="answers of a segmentation are files; give --out"):
        verbs.predict(model, folder)
    verbs.predict(model, folder, out=tmp_path / "masks")
    files = sorted(p.relative_to(tmp_path / "masks").as_posix()
                   for p in (tmp_path / "masks").rglob("*.png"))  # fmt: skip
    assert files[:4] == ["ants/0.png", "ants/1.png", "ants/2.jpg.png", "ants/3.png"]
    assert Image.open(tmp_path / "masks" / "ants" / "2.jpg.png").size == (26, 26)


def test_a_table_without_names_is_read_so_again(tmp_path: Path) -> None:
    (tmp_path / "bare.csv").write_text("\n".join(LINES) + "\n")
    verbs.shard("table", str(tmp_path / "bare.csv"), tmp_path / "data", target="c3", no_header=True)
    model = model_of(tmp_path / "data", tmp_path / "best", {"backbone": "mlp"})
    assert_same(model, tmp_path / "data", tmp_path / "bare.csv", tmp_path, 8)
    old = model_of(tmp_path / "data", tmp_path / "old", {"backbone": "mlp"}, rows=False)
    assert verbs.predict(old, tmp_path / "bare.csv")["rows"] == 8


def test_a_model_of_before_rows_were_kept_reads_them_too(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "raw")
    model = save_model(tmp_path / "best", {"image": IMAGE}, CNN, rows=False)
    found = verbs.predict(model, folder)
    assert found["rows"] == 12
    assert found["notes"] == [
        "column 'image': it is not known how its images were fitted; they are stretched"
    ]


def test_gpus_are_those_of_the_workers(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--gpus is about the workers, got 1; give --workers too"):
        verbs.predict(tmp_path / "best", tmp_path, gpus=1)


@pytest.mark.parametrize("workers", [None, 2])
def test_a_datasets_rows_are_never_bad(tmp_path: Path, workers: int | None) -> None:
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(UserError, match="--skip-bad is about raw files, and a dataset has no bad"):
        verbs.predict(tmp_path / "best", tmp_path, skip_bad=True, workers=workers, out="said")
