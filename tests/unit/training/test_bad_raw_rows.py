"""Raw rows that cannot be read: named, or with `--skip-bad` left out and counted."""

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from complete_models import AUDIO, BAG, CNN, GREY, IMAGE, SERIES, SOUND, TABLE, save_model
from PIL import Image
from scipy.io import wavfile

import raytl
from raytl import cli, verbs
from raytl.errors import DataError, ModelError, UserError
from raytl.modalities.text.column import TextColumn


def bad_files(tmp_path: Path) -> dict[str, tuple[Path, Path, str]]:
    """Return models, paths with one bad row among good ones, and what is to be said."""
    image = save_model(tmp_path / "image", {"image": IMAGE}, CNN, options={"size": 12})
    grey = save_model(tmp_path / "grey", {"image": GREY}, CNN, options={"size": 12})
    text = save_model(tmp_path / "text", {"text": TextColumn()}, BAG)
    table = save_model(tmp_path / "table", {"table": TABLE}, {"backbone": "mlp"})
    series = save_model(tmp_path / "series", {"series": SERIES}, {"backbone": "inception"})
    audio = save_model(tmp_path / "audio", {"audio": AUDIO}, SOUND)
    folder = tmp_path / "files"
    for name in ("cut", "colour", "sounds", "nan"):
        (folder / name).mkdir(parents=True)
    good = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8))
    for name in ("cut", "colour"):
        (good if name == "cut" else good.convert("L")).save(folder / name / "a.png")
    whole = (folder / "cut" / "a.png").read_bytes()
    (folder / "cut" / "b.png").write_bytes(whole[: len(whole) // 2])
    good.save(folder / "colour" / "b.png")
    wavfile.write(folder / "sounds" / "a.wav", 800, np.ones(300, np.int16))
    (folder / "sounds" / "b.wav").write_bytes((folder / "sounds" / "a.wav").read_bytes()[:200])
    wavfile.write(folder / "nan" / "a.wav", 800, np.ones(300, np.float32))
    wavfile.write(folder / "nan" / "b.wav", 800, np.full(300, np.nan, np.float32))
    (folder / "t.txt").write_text("good film\n\n")
    (folder / "bytes.txt").write_bytes(b"good film\n\xff\xfe\n")
    (folder / "words.csv").write_text("age,mass,town\n1,2,north\n3,heavy,south\n")
    (folder / "short.csv").write_text("age,mass,town\n1,2,north\n3,4\n")
    (folder / "far.csv").write_text("age,mass,town\n1,2,north\n3,1e999,south\n")
    (folder / "text.csv").write_text('text\ngood film\n" "\n')
    of_size = save_model(tmp_path / "of size", {"image": IMAGE}, CNN, kind="arrays")
    (folder / "sizes").mkdir()
    good.resize((12, 12)).save(folder / "sizes" / "a.png")
    good.save(folder / "sizes" / "b.png")
    pq.write_table(pa.table({"image": [whole, None]}), folder / "shots.parquet")
    (folder / "x.ts").write_text("@data\n1,2:3,4\n1,?:3,4\n")
    (folder / "y.ts").write_text("@data\n1,2:3,4\n1,x:3,4\n")
    steps = save_model(tmp_path / "steps", {"series": SERIES}, {"backbone": "inception"},
                       kind="series", options={"series_id": "who"})  # fmt: skip
    (folder / "steps.csv").write_text("who,dim_0,dim_1\nann,1,2\nbob,3,\nann,5,6\n")
    return {
        "a truncated image": (image, folder / "cut", "b.png: does not decode as an image"),
        "wrong channels": (grey, folder / "colour",
                           "b.png: has 3 channels (mode RGB), but the model reads 1; make it grey"),
        "another size": (of_size, folder / "sizes", "b.png: is 40 x 40 pixels, but the model was "
                         "trained on images of 12 x 12 as they were; scale it"),
        "no file": (image, folder / "shots.parquet", "row 1: column 'image' has no file"),
        "a truncated sound": (audio, folder / "sounds", "b.wav: is truncated"),
        "a sound with NaN": (audio, folder / "nan", "b.wav: samples must be finite"),
        "an empty line": (text, folder / "t.txt", "t.txt, line 2: has no text"),
        "no utf-8": (text, folder / "bytes.txt", "bytes.txt, line 2: byte 0 is no utf-8"),
        "an empty text": (text, folder / "text.csv", "text.csv, line 3: column 'text' has no text"),
        "a word": (table, folder / "words.csv", "line 3: column 'mass' has 'heavy' where a number"),
        "a short row": (table, folder / "short.csv", "line 3: 3 columns were expected, as in the"),
        "an infinity": (table, folder / "far.csv", "line 3: column 'mass' has an infinite number"),
        "a missing step": (series, folder / "x.ts", "x.ts, series 1: all values must be finite"),
        "a gap in a table": (steps, folder / "steps.csv",
                              "line 3, series 'bob': column 'dim_1' has no value"),
        "a broken line": (series, folder / "y.ts", "y.ts, line 3: dimension 0 holds 'x'"),
    }  # fmt: skip


CASES = (
    "a truncated image", "wrong channels", "a truncated sound", "a sound with NaN", "an empty line",
    "no utf-8", "an empty text", "a word", "a short row", "an infinity", "a missing step",
    "a gap in a table", "a broken line", "another size", "no file",
)  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_bad_row_is_named_or_with_skip_bad_left_out_and_counted(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model, path, told = bad_files(tmp_path)[case]
    capsys.readouterr()
    assert run(monkeypatch, "predict", model, path) == 2
    error = capsys.readouterr().err
    assert told in error and "or give --skip-bad" in error and "Traceback" not in error
    assert len(error.strip().splitlines()) <= 3
    assert run(monkeypatch, "predict", model, path, "--skip-bad") == 0
    printed = capsys.readouterr()
    assert f"left out: {path.parent}" in printed.err and told in printed.err
    head, *rows = printed.out.splitlines()
    assert head.split(",")[1:] == ["predicted", "probability"] and len(rows) == 1


def test_a_quote_that_nothing_closes_takes_no_rows_along(tmp_path: Path) -> None:
    table = save_model(tmp_path / "table", {"table": TABLE}, {"backbone": "mlp"})
    file = tmp_path / "rows.csv"
    file.write_text('age,mass,town\n1,2,north\n3,4,"south\n5,6,west\n')
    with pytest.raises(DataError, match="rows.csv, line 3: a quote is opened and never closed"):
        raytl.predict(table, file)
    for end in ('"', '"\n', '" \r\n\n'):
        file.write_text('age,mass,town\n1,2,north\n3,4,"south\n5,6,west' + end)
        assert raytl.predict(table, file)["rows"] == 2
    file.write_text('age,mass,town\n1,2,north\n3,4,5" long\n')
    assert raytl.predict(table, file)["rows"] == 2


def test_a_quote_that_nothing_closes_is_told_by_its_own_line(tmp_path: Path) -> None:
    table = save_model(tmp_path / "table", {"table": TABLE}, {"backbone": "mlp"})
    file = tmp_path / "rows.csv"
    for end in ("west\n", 'the ""west""\n\n'):
        for line in ("\n", "\r\n", "\r"):
            text = f'age,mass,town\n1,2,"no\n\nrth"\n\n3,4,"south\n5,6,{end}'
            file.write_text(text.replace("\n", line), newline="")
            with pytest.raises(DataError, match="rows.csv, line 6: a quote is opened and never"):
                raytl.predict(table, file)


@pytest.mark.parametrize("bad", ["5,6", "5,6,7,8"])
def test_a_value_of_several_lines_before_a_bad_row_is_closed(tmp_path: Path, bad: str) -> None:
    table = save_model(tmp_path / "table", {"table": TABLE}, {"backbone": "mlp"})
    file = tmp_path / "rows.csv"
    file.write_text(f'age,mass,town\n1,2,north\n3,4,"so\nuth"\n{bad}\n')
    found = raytl.predict(table, file, skip_bad=True)
    assert found["rows"] == 2 and len(found["left_out"]) == 1


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr(sys, "argv", ["raytl", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


def test_what_is_not_there_or_not_read_is_an_error(tmp_path: Path) -> None:
    files = bad_files(tmp_path)
    names = ("a word", "an empty line", "a truncated image", "a missing step")
    table, text, image, series = (files[name][0] for name in names)
    (tmp_path / "some.csv").write_text("age,town\n1,north\n")
    (tmp_path / "one.ts").write_text("@data\n1,2,3\n")
    (tmp_path / "none").mkdir()
    (tmp_path / "empty.txt").write_text("")
    for model, path, told in (
        (table, "some.csv", "has no column 'mass', which the model reads; it has age, town"),
        (text, "some.csv", "has no column 'text', which the model reads"),
        (text, "empty.txt", "the file has no text"),
        (text, "nowhere.txt", "no such file or folder; give a .txt file, a line a row, or a .csv"),
        (image, "none", "no file in it ends in .bmp, .jpeg"),
        (table, "none", "the model does not read this; give a .csv, .parquet or .jsonl"),
        (series, "one.ts", "has 1 channels, but the model reads 2: dim_0, dim_1"),
        (series, "empty.txt", "there is no @data"),
    ):
        with pytest.raises(DataError) as error:
            verbs.predict(model, tmp_path / path)
        assert told in str(error.value)
        assert len(str(error.value).splitlines()) == 1


def test_columns_that_no_table_holds_are_refused(tmp_path: Path) -> None:
    parts = {"parts": {"series": {"backbone": "inception"}, "text": BAG}}
    model = save_model(tmp_path / "both", {"series": SERIES, "text": TextColumn()}, parts)
    (tmp_path / "some.csv").write_text("text,series\ngood film,1\n")
    with pytest.raises(ModelError, match="the model reads a series, 'series', beside other columns,"
                       " which no table of raw rows holds; predict a dataset of them"):  # fmt: skip
        verbs.predict(model, tmp_path / "some.csv")
    (tmp_path / "some.jsonl").write_text('{"text": 3}\n')
    model = save_model(tmp_path / "text", {"text": TextColumn()}, BAG)
    with pytest.raises(DataError, match="column 'text' has int64, which is no text"):
        verbs.predict(model, tmp_path / "some.jsonl")


@pytest.mark.parametrize(
    ("part", "given", "told"),
    [
        ("columns", {"table": {"kind": "smell"}}, "rows: columns: table: .*; copy or make the sou"),
        ("options", {"size": -1}, "rows: options: .*1 to 4096 pixels; copy or make the source mod"),
    ],
)
def test_what_a_model_says_of_its_rows_is_checked(
    part: str, given: object, told: str, tmp_path: Path
) -> None:
    model = save_model(tmp_path / "best", {"table": TABLE}, {"backbone": "mlp"})
    facts = json.loads((model / "source.json").read_text())
    facts["rows"][part] = given
    (model / "source.json").write_text(json.dumps(facts))
    (tmp_path / "some.csv").write_text("age,mass,town\n1,2,north\n")
    with pytest.raises(ModelError, match=told):
        verbs.predict(model, tmp_path / "some.csv")


def test_floats_of_a_sound_beyond_full_scale_are_refused(tmp_path: Path) -> None:
    model = raytl.load(save_model(tmp_path / "best", {"audio": AUDIO}, SOUND))
    assert len(model.answers([(np.full(9, 1.5), 800)])) == 1
    told = "row 0: floats have a full scale of ±1, got 3000; give int16, or divide by 32768"
    with pytest.raises(DataError, match=told):
        model.answers([(np.full(9, 3000.0), 800)])


def test_where_no_row_is_left_that_is_an_error(tmp_path: Path) -> None:
    text, path, _ = bad_files(tmp_path)["an empty line"]
    path.write_text("\n\n")
    with pytest.raises(DataError, match="none of 2 rows can be read: .*line 1: has no text"):
        verbs.predict(text, path, skip_bad=True)


def test_options_of_datasets_mean_nothing_to_raw_files(tmp_path: Path) -> None:
    text, path, _ = bad_files(tmp_path)["an empty line"]
    with pytest.raises(UserError, match="--split is about a dataset"):
        verbs.predict(text, path, split="train")
    with pytest.raises(UserError, match="--workers is about a dataset"):
        verbs.predict(text, path, workers=2)
    floats = IMAGE.model_copy(update={"dtype": "float32"})
    model = save_model(tmp_path / "floats", {"image": floats}, CNN)
    with pytest.raises(ModelError, match="images of 3 channels, float32, which no"):
        verbs.predict(model, tmp_path / "files" / "cut")


@pytest.mark.parametrize(("stored", "written"), [(None, ";"), (";", ","), (None, "\t")])
def test_a_table_may_have_another_delimiter_than_the_one_that_was_learnt_from(
    tmp_path: Path, stored: str | None, written: str
) -> None:
    options = {} if stored is None else {"delimiter": stored}
    model = save_model(tmp_path / "m", {"table": TABLE}, {"backbone": "mlp"}, options=options)
    answers = []
    for delimiter in (stored or ",", written):
        rows = (delimiter.join(row) for row in (("age", "mass", "town"), ("1", "2", "north")))
        (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
        answers.append(verbs.predict(model, tmp_path / "t.csv")["answers"])
    assert answers[0] == answers[1]
