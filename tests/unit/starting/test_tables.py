"""What the columns of a table are taken for."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starting_support import table

from raytl.errors import ConfigError, DataError
from raytl.starting.looking import look
from raytl.starting.raw import Wanted


def options_of(path: Path, content: str, target: str | None = None) -> dict[str, Any]:
    path.write_text(content, encoding="utf-8")
    return look(path, Wanted(target)).options


def test_a_table_without_names_learns_its_last_column(tmp_path: Path) -> None:
    raw = look(table(tmp_path / "t.csv", header=None), Wanted())
    assert raw.options == {"no_header": True, "target": "c2", "test": 0.2}
    assert "the last one, c2, has few different words" in raw.notes[0]


@pytest.mark.parametrize(
    ("header", "target"),
    [
        ("0,1,2,target", None),
        ("0,1,2,3", "3"),
        ("land,2001,2002,label", None),
        ("0,1,2,kind", "kind"),
    ],
)
def test_names_that_are_numbers_are_names(tmp_path: Path, header: str, target: str | None) -> None:
    rows = "".join(f"{n % 5},{n}.5,{n % 3},{'ab'[n % 2]}\n" for n in range(20))
    found = options_of(tmp_path / "t.csv", f"{header}\n{rows}", target)
    assert "no_header" not in found and found["target"] == header.rpartition(",")[2]


def test_a_long_text_is_read(tmp_path: Path) -> None:
    rows = "".join(f"{'good or bad ' * (20_000 if n == 3 else 4)}{n},{n % 2}\n" for n in range(20))
    assert options_of(tmp_path / "t.csv", f"text,label\n{rows}")["target"] == "label"


def test_rows_are_kept_together_by_one_column(tmp_path: Path) -> None:
    rows = "".join(f"p{n // 4},s{n % 5},{n + 20},{n % 2}\n" for n in range(40))
    raw_file = tmp_path / "t.csv"
    found = options_of(raw_file, f"patient,speaker,age,label\n{rows}")
    assert (found["group"], found["drop"]) == ("patient", ("speaker",))
    notes = look(raw_file, Wanted(None)).notes
    assert "column speaker is left out, as rows of one patient stay together" in notes


def test_a_target_that_cannot_be_told_names_the_columns(tmp_path: Path) -> None:
    path = table(tmp_path / "t.csv", header="age,job,paid")
    with pytest.raises(ConfigError, match="name it with --target, one of age, job, paid"):
        look(path, Wanted())
    assert look(path, Wanted("paid")).options["target"] == "paid"
    with pytest.raises(ConfigError, match="no column 'pay'; known: age, job, paid"):
        look(path, Wanted("pay"))


def test_texts_numbers_of_rows_and_empty_columns_are_told(tmp_path: Path) -> None:
    rows = "".join(f"{n},the film no {n} is {n % 7},,{n % 2}\n" for n in range(80))
    found = options_of(tmp_path / "t.csv", f"id,review,nothing,label\n{rows}")
    assert found == {"target": "label", "text": ("review",), "drop": ("id", "nothing"), "test": 0.2}


@pytest.mark.parametrize("text", ["ภาพยนตร์เรื่องนี้ดีมาก", "这部电影非常好看", "この映画はとても良い"])
def test_texts_without_spaces_are_told(tmp_path: Path, text: str) -> None:
    rows = "".join(f"{text}{n},{n % 2}\n" for n in range(80))
    assert options_of(tmp_path / "t.csv", f"review,label\n{rows}")["text"] == ("review",)


def test_a_column_of_splits_and_one_of_groups_have_their_parts(tmp_path: Path) -> None:
    parts = ["train"] * 31 + ["test"] * 9
    rows = "".join(f"{n + 20},p{n // 4},{part},{n % 2}\n" for n, part in enumerate(parts))
    found = options_of(tmp_path / "t.csv", f"age,patient,split,label\n{rows}")
    assert found == {"target": "label", "group": "patient", "split_column": "split"}


def test_another_delimiter_is_seen(tmp_path: Path) -> None:
    rows = "".join(f"{n};{n % 3};{n % 2}\n" for n in range(20))
    assert options_of(tmp_path / "t.csv", f"a;b;label\n{rows}")["delimiter"] == ";"


def test_pictures_that_a_column_names_are_found(tmp_path: Path) -> None:
    (tmp_path / "drawn").mkdir()
    for number in range(12):
        Image.new("RGB", (24, 20)).save(tmp_path / "drawn" / f"{number:03}.png")
    rows = "".join(f"{n:03},{n % 2}\n" for n in range(12))
    found = options_of(tmp_path / "t.csv", f"row,label\n{rows}")
    assert (found["image"], found["size"]) == ("drawn/{row}.png", 24)


def test_files_of_splits_are_one_table(tmp_path: Path) -> None:
    for split in ("train", "test"):
        table(tmp_path / f"{split}.csv")
    raw = look(tmp_path, Wanted())
    assert raw.options == {
        "splits": {"test": "test.csv", "train": "train.csv"},
        "target": "target",
    }


def test_dates_and_codes_of_rows_are_left_out(tmp_path: Path) -> None:
    rows = "".join(f"2020-01-{n % 28 + 1:02},x{n}q,{n + 20},{n % 2}\n" for n in range(120))
    path = tmp_path / "t.csv"
    path.write_text(f"day,code,age,label\n{rows}")
    raw = look(path, Wanted())
    assert raw.options["drop"] == ("day", "code")
    assert raw.notes == (
        "column day has dates, so it is left out",
        "column code has a word of its own in most rows, so it is left out",
    )


def test_names_that_stand_twice_are_names(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,a,label\n1,2,3\n")
    with pytest.raises(DataError, match="two columns are called 'a'"):
        look(tmp_path / "t.csv", Wanted())


def test_other_encodings_are_seen(tmp_path: Path) -> None:
    text = "a,label\n" + "".join(f"caf\u00e9{n % 3},{n % 2}\n" for n in range(20))
    for encoding, named in (("utf-16", "utf-16"), ("latin-1", "latin-1"), ("utf-8", None)):
        (tmp_path / "t.csv").write_bytes(text.encode(encoding))
        assert look(tmp_path / "t.csv", Wanted()).options.get("encoding") == named


def test_text_that_is_taken_for_latin_1_is_told(tmp_path: Path) -> None:
    said = "is no UTF-8 and is read as latin-1; shard it by hand with --encoding where it is "
    said += "another"
    rows = "".join(f"привет{n % 3},{n % 2}\n" for n in range(20))
    (tmp_path / "t.csv").write_bytes(f"a,label\n{rows}".encode("cp1251"))
    assert look(tmp_path / "t.csv", Wanted()).notes[-1] == f"t.csv {said}"
    (tmp_path / "t.txt").write_bytes(rows.replace(",", "\t").encode("cp1251"))
    assert look(tmp_path / "t.txt", Wanted()).notes == (f"t.txt {said}",)
    for name in ("a.good", "a.bad"):
        (tmp_path / name).write_bytes(rows.encode("cp1251" if name == "a.good" else "utf-8"))
    assert look(tmp_path / "a.bad", Wanted()).notes == (f"a.good {said}",)
    for encoding in ("utf-8", "utf-16"):
        (tmp_path / "t.csv").write_bytes(f"a,label\n{rows}".encode(encoding))
        assert not look(tmp_path / "t.csv", Wanted()).notes


def test_lines_without_labels_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("some text\nand more\n")
    with pytest.raises(DataError, match="its lines have no label; a text, a tab and a label"):
        look(tmp_path / "t.txt", Wanted())
    (tmp_path / "t.txt").write_bytes("text\t1\n".encode("utf-16"))
    with pytest.raises(DataError, match="is UTF-16; save it as UTF-8"):
        look(tmp_path / "t.txt", Wanted())


def test_a_column_of_few_numbers_names_no_files(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / "photos").mkdir(exist_ok=True)
        Image.new("L", (8, 8)).save(tmp_path / "photos" / f"{number}.png")
    rows = "".join(f"{n / 7:.3f},{n % 4},{'xy'[n % 2]}\n" for n in range(60))
    found = options_of(tmp_path / "t.csv", f"size,rooms,target\n{rows}")
    assert found == {"target": "target", "test": 0.2}


@pytest.mark.parametrize("name", ["idx", "Idx", "sample_id", "nr"])
@pytest.mark.parametrize("first", [0, 1])
def test_a_column_that_counts_the_rows_is_left_out(tmp_path: Path, name: str, first: int) -> None:
    rows = "".join(f"{n + first},{n / 7:.3f},{'xy'[n % 2]}\n" for n in range(60))
    assert options_of(tmp_path / "t.csv", f"{name},size,target\n{rows}")["drop"] == (name,)
    notes = look(tmp_path / "t.csv", Wanted()).notes
    assert f"column {name} numbers the rows, so it is left out" in notes


@pytest.mark.parametrize("change", [(0, 7), (1950, 1)])
def test_other_whole_numbers_are_learnt_from(tmp_path: Path, change: tuple[int, int]) -> None:
    start, step = change
    rows = "".join(f"{start + step * n},{n / 7:.3f},{'xy'[n % 2]}\n" for n in range(60))
    assert "drop" not in options_of(tmp_path / "t.csv", f"year,size,target\n{rows}")


def test_a_count_that_is_all_there_is_is_learnt_from(tmp_path: Path) -> None:
    rows = "".join(f"{n},{'xy'[n > 30]}\n" for n in range(60))
    assert "drop" not in options_of(tmp_path / "t.csv", f"x,target\n{rows}")


def test_the_index_that_pandas_writes_is_no_column(tmp_path: Path) -> None:
    rows = "".join(f"{n},{n / 7:.3f},{'xy'[n % 2]}\n" for n in range(60))
    found = options_of(tmp_path / "t.csv", f",size,target\n{rows}")
    assert found == {"target": "target", "test": 0.2}


def test_numbers_with_a_comma_are_not_left_out(tmp_path: Path) -> None:
    rows = "".join(f"{n // 7},{n % 7}5;{n + 20};{'xy'[n % 2]}\n" for n in range(60))
    found = options_of(tmp_path / "t.csv", f"size;n;target\n{rows}")
    assert "drop" not in found  # so that the importer says what is wrong with them


def notes_of(path: Path, header: str, rows: list[str], target: str) -> str:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return " ".join(look(path, Wanted(target)).notes)


def test_times_of_their_own_point_to_a_forecast(tmp_path: Path) -> None:
    path, days = tmp_path / "t.csv", [f"2020-01-{day:02d}" for day in range(1, 29)]
    beside = [f"{day},{k}.5,{k % 7}" for k, day in enumerate(days)]
    told = notes_of(path, "date,close,volume", beside, "close")
    assert "to forecast them as a series, `raytl shard series" in told
    assert "OUT --time date --target close --horizon 5 --window 60 --test 0.2`" in told
    assert look(path, Wanted("close")).options == {
        "target": "close",
        "drop": ("date",),
        "test": 0.2,
    }
    moods = [f"{day},{'xy'[k % 2]},{k}" for k, day in enumerate(days)]
    assert "forecast" not in notes_of(path, "date,mood,volume", moods, "mood")
    alone = [f"{day},{k}.5" for k, day in enumerate(days)]
    with pytest.raises(ConfigError, match="beside close there are times alone; .*--time date"):
        notes_of(path, "date,close", alone, "close")
