"""Tables become datasets: what columns are, what the target is, and what broken files are told."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from unit.data.importing import in_order, sharded, written
from unit.data.upright import photo

from raytl.data.dataset import Dataset
from raytl.data.importers.table_files import read_table_file
from raytl.data.importers.targets import target_of
from raytl.data.shard import shard_options
from raytl.errors import ConfigError, DataError
from raytl.modalities.table.column import TableColumn
from raytl.tasks.columns import NO_LABEL, LabelColumn, ValueColumn

ROWS = "age,city,note,out\n30,Rome,fine day,yes\n?,Oslo,,no\n41.5,Rome,bad,yes\n"


def table(tmp_path: Path, content: str | bytes, name: str = "a.csv", **options: Any) -> Dataset:
    source = written(tmp_path / name, content)
    out = tmp_path / f"d{len(list(tmp_path.glob('d*')))}"
    sharded("table", source, out, **({"target": "out"} | options))
    return Dataset.open(out)


def only(dataset: Dataset, column: str, split: str = "train") -> list[Any]:
    [values] = in_order(dataset.path, split, column)
    return list(values.tolist())


def test_numbers_and_categories_are_one_column_and_texts_their_own(tmp_path: Path) -> None:
    data = table(tmp_path, ROWS, text=["note"])
    assert set(data.columns) == {"table", "note", "out"}
    fields = data.columns["table"]
    assert isinstance(fields, TableColumn)
    assert [(f.name, f.kind) for f in fields.fields] == [("age", "number"), ("city", "category")]
    [rows] = in_order(data.path, "train", "table")
    assert np.array_equal(rows, [[30, 1], [np.nan, 0], [41.5, 1]], equal_nan=True)
    assert only(data, "note") == ["fine day", "", "bad"]
    assert data.columns["out"] == LabelColumn(classes=("no", "yes"))
    assert only(data, "out") == [1, 0, 1]


def test_csv_gzipped_csv_parquet_and_json_lines_hold_the_same(tmp_path: Path) -> None:
    content = "a,out\n1.5,x\n2,y\n"
    arrow = pa.table({"a": [1.5, 2.0], "out": ["x", "y"]})
    pq.write_table(arrow, tmp_path / "p.parquet")
    found = [
        table(tmp_path, content),
        table(tmp_path, gzip.compress(content.encode()), "b.csv.gz"),
        table(tmp_path, content.replace(",", "\t"), "c.tsv"),
        table(tmp_path, content.replace(",", ";"), "e.csv", delimiter=";"),
        table(tmp_path, '{"a": 1.5, "out": "x"}\n{"a": 2, "out": "y"}\n', "j.jsonl"),
        table(tmp_path, (tmp_path / "p.parquet").read_bytes(), "q.parquet"),
    ]
    assert len({data.fingerprint for data in found}) == 1


def test_without_a_header_columns_are_numbered_and_overrides_hold(tmp_path: Path) -> None:
    data = table(
        tmp_path, "1,5,x,0\n2,6,x,1\n", no_header=True, target="c3", category=["c0"], drop=["c2"]
    )
    fields = data.columns["table"]
    assert isinstance(fields, TableColumn)
    assert [(f.name, f.kind) for f in fields.fields] == [("c0", "category"), ("c1", "number")]


@pytest.mark.parametrize(
    ("words", "options", "classes", "labels"),
    [
        (["10", "9", "10"], {}, ("9", "10"), [1, 0, 1]),
        (["1.0", "0", "1"], {}, ("0", "1"), [1, 0, 1]),
        (["b", "a", "b"], {"classes": "b,a,c"}, ("b", "a", "c"), [0, 1, 0]),
        (["none", "a", "a"], {"classes": "none,a"}, ("none", "a"), [0, 1, 1]),
        (["0", "4", "1"], {"positive": ">0"}, ("no", "yes"), [0, 1, 1]),
        (["0", "4", "1"], {"positive": ">=4"}, ("no", "yes"), [0, 1, 0]),
        (["0", "4", "1"], {"positive": "== 1"}, ("no", "yes"), [0, 0, 1]),
        (["ok", "ill", "dead"], {"positive": "ill,dead"}, ("no", "yes"), [0, 1, 1]),
        (["0.5", "1.5", "0.5"], {"task": "classification"}, ("0.5", "1.5"), [0, 1, 0]),
    ],
)
def test_classes_have_an_order_of_their_own(
    tmp_path: Path, words: list[str], options: Any, classes: tuple[str, ...], labels: list[int]
) -> None:
    rows = "".join(f"{i},{word}\n" for i, word in enumerate(words))
    data = table(tmp_path, f"a,out\n{rows}", **options)
    assert data.columns["out"] == LabelColumn(classes=classes)
    assert only(data, "out") == labels


@pytest.mark.parametrize("named", [{"classes": "ill,well"}, {"positive": ">0"}])
def test_a_target_that_no_row_has_is_kept_where_its_classes_are_named(
    tmp_path: Path, named: dict[str, str]
) -> None:
    data = table(tmp_path, "a,out\n1,\n2,?\n3,\n", unlabelled=True, **named)
    classes = ("ill", "well") if "classes" in named else ("no", "yes")
    assert data.columns["out"] == LabelColumn(classes=classes, nulls=True)
    assert only(data, "out") == [NO_LABEL] * 3
    cut = table(tmp_path, "a,out\n1,\n2,?\n3,\n4,\n", unlabelled=True, test=0.5, **named)
    assert (cut.split("train").rows, cut.split("test").rows) == (2, 2)
    with pytest.raises(DataError, match="no value in any row.*--unlabelled and --classes"):
        table(tmp_path, "a,out\n1,\n2,?\n", **named)


def test_many_or_broken_numbers_are_values_unless_said_otherwise(tmp_path: Path) -> None:
    broken = table(tmp_path, "a,out\n1,0.5\n2,2\n")
    assert broken.columns["out"] == ValueColumn()
    assert only(broken, "out") == [0.5, 2.0]
    many = "a,out\n" + "".join(f"1,{i % 21}\n" for i in range(63))
    assert isinstance(table(tmp_path, many).columns["out"], ValueColumn)
    assert isinstance(table(tmp_path, many, task="classification").columns["out"], LabelColumn)
    few = table(tmp_path, "a,out\n1,1\n2,2\n", task="regression")
    assert isinstance(few.columns["out"], ValueColumn)


def test_rows_without_a_target_are_kept_where_that_is_said(tmp_path: Path) -> None:
    data = table(tmp_path, "a,out\n1,x\n2,?\n3,y\n", unlabelled=True)
    assert data.columns["out"] == LabelColumn(classes=("x", "y"), nulls=True)
    assert only(data, "out") == [0, NO_LABEL, 1]
    values = table(tmp_path, "a,out\n1,0.5\n2,\n3,1.5\n", unlabelled=True)
    assert np.isnan(only(values, "out")[1])


def test_files_are_splits_with_the_same_categories(tmp_path: Path) -> None:
    written(tmp_path / "a.csv", "c,out\np,x\nq,y\n")
    written(tmp_path / "b.csv", "out,c\ny,r\nx,p\n")
    splits = {"train": "a.csv", "test": "b.csv"}
    sharded("table", tmp_path, tmp_path / "d", splits=splits, target="out")
    [rows] = in_order(tmp_path / "d", "test", "table")
    assert rows.tolist() == [[2.0], [0.0]]


def test_a_column_names_the_splits_and_another_the_groups(tmp_path: Path) -> None:
    content = "a,s,who,out\n1,train,bo,x\n2,test,al,y\n3,train,cy,y\n4,train,bo,y\n"
    data = table(tmp_path, content, split_column="s", group="who")
    assert data.group == "who"
    assert only(data, "table") == [[1.0], [3.0], [4.0]]
    assert only(data, "who") == [1, 2, 1]
    assert only(data, "who", "test") == [0]


def test_some_rows_can_be_kept_by_a_column(tmp_path: Path) -> None:
    content = "a,h,out\n1,va,x\n2,la,x\n3,ny,y\n"
    data = table(tmp_path, content, where=["h=va", "h=ny"], drop=["h"])
    assert only(data, "table") == [[1.0], [3.0]]


def test_images_are_read_by_path_or_pattern(tmp_path: Path) -> None:
    (tmp_path / "pics").mkdir()
    for i in range(2):
        Image.new("RGB", (4, 4), (100 * i, 0, 0)).save(tmp_path / f"pics/{i}.png")
    data = table(tmp_path, "path,out\npics/1.png,x\npics/0.png,y\n", image="path", size=4)
    assert set(data.columns) == {"path", "out"}
    pattern = table(tmp_path, "row,out\n1,x\n0,y\n", image="pics/{row}.png", size=4)
    [images] = in_order(pattern.path, "train", "image")
    assert images[:, 0, 0, 0].tolist() == [100, 0]


def test_a_bad_image_is_told_or_left_out(tmp_path: Path) -> None:
    written(tmp_path / "0.png", b"no image")
    for i in (1, 2):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{i}.png")
    content = "row,out\n0,x\n1,x\n2,y\n"
    with pytest.raises(DataError, match=r"0\.png: does not decode .*--skip-bad"):
        table(tmp_path, content, image="{row}.png", size=4)
    report = sharded(
        "table", tmp_path / "a.csv", tmp_path / "o", target="out", image="{row}.png", size=4,
        skip_bad=True,
    )  # fmt: skip
    assert report.info.splits["train"].rows == 2
    assert "0.png" in report.skipped[0]


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("", {}, r"a\.csv: the file is empty"),
        ("a,out\n", {}, "there are no rows"),
        ("a,out\n1,x\n2\n", {}, r"a\.csv, line 3: 2 columns were expected.*, got 1"),
        (b"a,out\n1,x\n\xff,y\n", {}, r"a\.csv, line 3: byte 0 is no utf-8.*--encoding latin-1"),
        ("a,a,out\n1,2,x\n", {}, "two columns are called 'a'"),
        ("a,,out\n1,2,x\n", {}, "column 1 has no name"),
        ("a;out\n1;x\n", {}, "give --delimiter ';'"),
        ("a,out\n?,x\n,y\n", {}, "column 'a' has no value in any row"),
        ("a,out\n1,x\n2,x\n", {}, "one class alone, 'x'"),
        ("a,out\n1,x\n2,\n", {}, r"a\.csv, line 3: the target 'out' is missing.*--unlabelled"),
        ("a,out\n1,\n2,?\n", {"unlabelled": True}, "'out' has no value in any row"),
        ("a,out\n1,2.5\n2,2.5\n", {}, "is 2.5 in every row"),
        ("a,out\n1,0.5\n2,1e999\n", {}, "line 3: .* must be finite, got 1e999"),
        ("a,out\n1,0.5\n2,x\n", {"task": "regression"}, "line 3: .* must be a number"),
        ("a,out\n1,x\n2,y\n", {"positive": ">0"}, "line 2: .* must be a number for --positive"),
        ("a,out\n1,1\n2,2\n", {"positive": ">5"}, "every row would be 'no'"),
        ("a,out\n1,x\n2,y\n", {"classes": "x,z"}, "line 3: .*'y', which is none of those"),
        ("a,out\nx,x\n2,y\n", {"number": ["a"]}, "line 2: column 'a' has numbers, but"),
        ("a,out\n1,x\n2,y\n", {"test": 0.5}, "--test: a class needs two rows.*'x' has one"),
        ("a,g,out\n1,,x\n2,p,y\n", {"group": "g"}, r"line 2: column 'g' \(--group\) has no value"),
        (
            "a,g,s,out\n1,p,train,x\n2,p,test,y\n3,q,test,x\n",
            {"group": "g", "split_column": "s"},
            "'p' has rows in train and test",
        ),
        ("p,out\n../x.png,x\nq,y\n", {"image": "p"}, r"line 2: the path '\.\./x\.png' leaves"),
        ("p,out\n/etc/passwd,x\nq,y\n", {"image": "p"}, "line 2: the path .* leaves"),
        ("p,out\nx.png,x\nq,y\n", {"image": "p"}, r"line 2: no such file: .*x\.png"),
        ("p,out\n,x\nq,y\n", {"audio": "p"}, "line 2: column 'p' names no file"),
    ],
)
def test_tables_that_cannot_be_used(
    tmp_path: Path, content: str | bytes, options: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        table(tmp_path, content, **options)
    assert not list(tmp_path.glob("d*")) and not list(tmp_path.glob(".d*"))


GOOD = "a,b,out\n1,p,x\n2,q,y\n3,p,x\n4,q,y\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "ot"}, "--target: .* has no column 'ot'; did you mean 'out'"),
        ({"target": None}, r"--target: name the column .* a, b, out"),
        ({"text": ["c"]}, "--text: .* has no column 'c'"),
        ({"drop": ["out"]}, "'out' is both --target and --drop"),
        ({"drop": ["a", "b"]}, "no column to learn from"),
        ({"classes": "x"}, "name all classes by commas"),
        ({"positive": "=>1"}, "expected a comparison with a number"),
        ({"positive": "z"}, "'out' has no 'z'"),
        ({"positive": "x,y"}, "names all of the target's values"),
        ({"positive": "x", "task": "regression"}, "leave out --classes and --task"),
        ({"classes": "x,y", "task": "regression"}, "--classes names classes"),
        ({"where": ["a"]}, "expected COLUMN=VALUE"),
        ({"where": ["b=r"]}, "no row has it; known: p, q"),
        ({"where": ["z=r"]}, "no column 'z'"),
        ({"image": "{q}.png"}, "no column 'q'"),
        ({"image": "{a"}, "pattern '{a' does not hold"),
        ({"delimiter": ";;"}, "--delimiter: must be one character"),
        ({"encoding": "klingon"}, "--encoding: is no encoding"),
        ({"test": 1.0}, "--test: must be a share"),
        ({"test": 0.6, "validation": 0.4}, r"--test \+ --validation < 1 must hold"),
        ({"pattern": "{label}"}, "--pattern means nothing to this kind"),
        ({"splits": {"train": "a.csv"}}, "SOURCE is the folder of the files"),
    ],
)
def test_options_that_do_not_fit_the_table(tmp_path: Path, options: Any, message: str) -> None:
    given = {k: v for k, v in ({"target": "out"} | options).items() if v is not None}
    source = written(tmp_path / "a.csv", GOOD)
    with pytest.raises(ConfigError, match=message):
        sharded("table", source, tmp_path / "d", **given)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.xlsx", b"PK", "tables are read from"),
        ("a.parquet", b"junk", r"a\.parquet: "),
        ("a.csv.gz", b"junk", "no whole gzip file"),
        ("a.csv.gz", gzip.compress(GOOD.encode() * 99, mtime=0)[:40], "no whole gzip file"),
        ("a.json", b"[1]", "JSON is read as lines"),
        ("a.jsonl", b"", "the file is empty"),
        ("a.jsonl", b'{"a": 1}\n{"a": "x"}\n', "line 2: .*changed from number to string"),
    ],
)
def test_files_that_are_no_tables(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    with pytest.raises(DataError, match=message):
        table(tmp_path, content, name)


def test_splits_need_the_same_columns(tmp_path: Path) -> None:
    written(tmp_path / "a.csv", GOOD)
    written(tmp_path / "b.csv", "a,out\n1,x\n")
    splits = {"train": "a.csv", "test": "b.csv"}
    with pytest.raises(DataError, match=r"b\.csv lacks 'b', which .*a\.csv has"):
        sharded("table", tmp_path, tmp_path / "d", splits=splits, target="out")
    with pytest.raises(ConfigError, match="name a file"):
        sharded("table", None, tmp_path / "d", target="out")


def test_a_list_is_no_target(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1, 2], "out": [[1], [2]]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="column 'out' has list"):
        sharded("table", tmp_path / "a.parquet", tmp_path / "d", target="out")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["1,5", "2,5"], "line 2: column 'a'.*'1,5' in row 0; write them as 1234.5"),
        (["7", "1,234.50"], "line 3: column 'a'.*'1,234.50' in row 1"),
        (["12%", "5 %"], "column 'a'.*not written plainly"),
        (["$9.99", "-$5"], "column 'a'.*not written plainly"),
        (["1", "inf"], "line 3: column 'a': numbers must be finite, but row 1 has inf"),
    ],
)
def test_numbers_that_are_none_to_a_program_are_no_categories(
    tmp_path: Path, words: list[str], told: str
) -> None:
    content = "a;out\n" + "".join(f"{word};{k}x\n" for k, word in enumerate(words))
    with pytest.raises(DataError, match=told):
        table(tmp_path, content, delimiter=";")
    if "inf" not in words:
        said = table(tmp_path, content, delimiter=";", category=["a"]).columns["table"]
        assert said.describe()["categories"] == {"a": 2}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([f"{k},5" for k in range(30)] * 2, "line 2: the target 'out'.*'0,5'; write them as"),
        ([f"{k}.5" for k in range(30)] * 2 + ["abc"], "line 62: the target 'out' has numbers, but"),
        (["0.5", "1.5", "-inf"], "line 4: the target 'out' must be finite, got -inf"),
        (["1", "2", "Infinity"], "line 4: the target 'out' must be finite, got Infinity"),
    ],
)
def test_a_target_of_numbers_becomes_no_classes_by_a_slip(
    tmp_path: Path, words: list[str], told: str
) -> None:
    content = "a;out\n" + "".join(f"{k};{word}\n" for k, word in enumerate(words))
    with pytest.raises(DataError, match=told):
        table(tmp_path, content, delimiter=";")


def test_booleans_are_spelled_as_in_other_files(tmp_path: Path) -> None:
    fields = table(tmp_path, "a,out\nTrue,x\nFALSE,y\ntrue,y\n,x\n").columns["table"]
    assert fields.fields[0].categories == ("false", "true")  # type: ignore[attr-defined]
    fields = table(tmp_path, "a,out\nTrue,x\nmaybe,y\n").columns["table"]
    assert fields.fields[0].categories == ("True", "maybe")  # type: ignore[attr-defined]


def test_utf_16_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="save it as UTF-8, .*, e.g. --encoding utf-16"):
        table(tmp_path, ROWS.encode("utf-16"))


def test_the_index_that_pandas_writes_is_left_out(tmp_path: Path) -> None:
    data = table(tmp_path, ",a,out\n7,1.5,x\n0,2.5,y\n12,3.5,x\n")
    fields = data.columns["table"]
    assert isinstance(fields, TableColumn) and [field.name for field in fields.fields] == ["a"]
    with pytest.raises(DataError, match="column 0 has no name"):
        table(tmp_path, ",a,out\n7,1,x\n7,2,y\n")


def test_utf_16_without_its_name_is_told_by_its_mark(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 1: byte 0 is no utf-8; .* e.g. --encoding utf-16"):
        table(tmp_path, "a,out\n1,x\n2,y\n".encode("utf-16"))


@pytest.mark.parametrize("words", [("1,5", "-2,25", "3"), ("1,234", "12,345,678", "9")])
def test_numbers_with_a_comma_are_no_categories(tmp_path: Path, words: tuple[str, ...]) -> None:
    rows = "".join(f"{word};{'xy'[k % 2]}\n" for k, word in enumerate(words))
    with pytest.raises(
        DataError, match=f"line 2: column 'a' has numbers that are not written plainly.*'{words[0]}"
    ):
        table(tmp_path, f"a;out\n{rows}", delimiter=";")
    data = table(tmp_path, f"a;out\n{rows}", delimiter=";", category=["a"])
    fields = data.columns["table"]
    assert isinstance(fields, TableColumn) and fields.fields[0].kind == "category"


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.jsonl", "a.jsonl.gz"])
@pytest.mark.parametrize("first", [True, False])
def test_a_row_may_have_more_than_a_block(tmp_path: Path, name: str, first: bool) -> None:
    notes = ["x" * 3_000_000, "y"][:: 1 if first else -1]
    rows = [{"a": str(k), "note": note, "out": "pq"[k % 2]} for k, note in enumerate(notes)]
    if ".csv" in name:
        lines = ["a,note,out", *(",".join(row.values()) for row in rows)]
    else:
        lines = [json.dumps(row) for row in rows]
    content = "\n".join([*lines, ""]).encode()
    if name.endswith(".gz"):
        content = gzip.compress(content, 1)
    assert only(table(tmp_path, content, name, text=["note"]), "note") == notes


def test_a_long_row_does_not_hide_uneven_ones(tmp_path: Path) -> None:
    source = written(tmp_path / "a.csv", "a,out\n1,2,3\n4," + "x" * 3_000_000 + "\n5,y\n")
    read = read_table_file(source, shard_options(), uneven=True)
    assert list(read.uneven) == [0] and len(read.rows) == 2
    with pytest.raises(DataError, match=r"a\.csv, line 2: 2 columns were expected"):
        read_table_file(source, shard_options())


@pytest.mark.parametrize("column", ["file.name", "0", "a[b", "a:b!c"])
def test_a_pattern_names_columns_as_they_are_called(tmp_path: Path, column: str) -> None:
    for i in range(2):
        Image.new("RGB", (4, 4), (100 * i, 0, 0)).save(tmp_path / f"{i}x{{}}.png")
    content = f"{column},out\n1,x\n0,y\n"
    data = table(tmp_path, content, image=f"{{{column}}}x{{{{}}}}.png", size=4)
    [images] = in_order(data.path, "train", "image")
    assert images[:, 0, 0, 0].tolist() == [100, 0]


def test_whole_numbers_of_any_size_are_classes_of_their_own(tmp_path: Path) -> None:
    large = 2**53
    words = [str(large + 1), str(large), "7", "2.5", "7.0", f"+{large}"]
    content = "a,out\n" + "".join(f"{k},{word}\n" for k, word in enumerate(words))
    data = table(tmp_path, content, task="classification")
    assert data.columns["out"] == LabelColumn(classes=("2.5", "7", str(large), str(large + 1)))
    assert only(data, "out") == [3, 2, 1, 0, 1, 2]


def test_dates_are_categories_where_that_is_said(tmp_path: Path) -> None:
    rows = [
        {"day": "2020-01-09", "at": "2020-01-09T10:30:00", "out": "x"},
        {"day": "2020-01-10", "at": None, "out": "y"},
        {"day": "2020-01-09", "at": "2020-01-09T00:00:00", "out": "x"},
    ]
    content = "".join(json.dumps(row) + "\n" for row in rows)
    with pytest.raises(DataError, match="column 'day' has dates or times.*--category"):
        table(tmp_path, content, "a.jsonl")
    data = table(tmp_path, content, "a.jsonl", category=["day", "at"])
    fields = data.columns["table"]
    assert isinstance(fields, TableColumn)
    assert [field.categories for field in fields.fields] == [
        ("2020-01-09", "2020-01-10"), ("2020-01-09", "2020-01-09 10:30:00"),
    ]  # fmt: skip
    assert np.array_equal(only(data, "table"), [[0, 1], [1, np.nan], [0, 0]], equal_nan=True)


@pytest.mark.parametrize("kind", ["png", "jpeg", "tiff", "webp"])
def test_a_photo_is_stored_as_a_viewer_shows_it(tmp_path: Path, kind: str) -> None:
    for row in range(2):
        written(tmp_path / f"{row}.{kind}", photo(kind, size=(32, 32)))
    data = table(tmp_path, "row,out\n0,x\n1,y\n", image=f"{{row}}.{kind}", size=32)
    [images] = in_order(data.path, "train", "image")
    assert (images[:, :14] > 240).all() and (images[:, 18:] < 15).all()


def test_a_tag_that_is_broken_turns_nothing(tmp_path: Path) -> None:
    whole = photo("jpeg", size=(32, 32), tag=1)
    start = whole.index(b"Exif\0\0") + 6
    for row, header in enumerate((b"nonsense", b"MM\0\x2a\xff\xff\xff\xff")):
        written(tmp_path / f"{row}.jpeg", whole[:start] + header + whole[start + 8 :])
    data = table(tmp_path, "row,out\n0,x\n1,y\n", image="{row}.jpeg", size=32)
    [images] = in_order(data.path, "train", "image")
    assert (images[:, :14] > 240).all() and (images[:, 18:] < 15).all()


def test_named_numbers_may_be_spelled_otherwise(tmp_path: Path) -> None:
    words = ["0.0", "1.0", "1", "+0", "1e0", "01", "", None]
    place = "row {}".format
    options = shard_options(classes="0,1,01", unlabelled=True)
    found = target_of("y", words, options, place)
    assert found.values.tolist() == [0, 1, 1, 0, 1, 2, -1, -1]
    with pytest.raises(DataError, match=r"row 2: the target 'y' has the class '1\.5'"):
        target_of("y", ["0", "1", "1.5"], shard_options(classes="0,1"), place)
