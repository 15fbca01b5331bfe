"""`raytl.load(best).answers(rows)`: a saved model asked by a program."""

from pathlib import Path

import numpy as np
import pytest
from complete_models import (
    AUDIO,
    BAG,
    CLASSES,
    CNN,
    IMAGE,
    SERIES,
    SOUND,
    TABLE,
    assert_alike,
    save_model,
)
from PIL import Image
from scipy.io import wavfile

import raytl
from raytl.errors import DataError, ModelError
from raytl.modalities.text.column import TextColumn
from raytl.tasks.columns import ValueColumn
from raytl.tasks.regression import Regression


def test_an_image_may_be_a_path_bytes_pillows_or_an_array(tmp_path: Path) -> None:
    model = raytl.load(save_model(tmp_path / "best", {"image": IMAGE}, CNN, options={"size": 12}))
    pixels = np.random.default_rng(0).integers(0, 256, (30, 20, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    image = Image.open(tmp_path / "a.png")
    kinds = [tmp_path / "a.png", str(tmp_path / "a.png"), (tmp_path / "a.png").read_bytes(), image,
             pixels]  # fmt: skip
    answers = model.answers(kinds)
    for answer in answers:
        assert_alike(answer, answers[0])
    first = answers[0]
    assert first["predicted"] in CLASSES and set(first["probabilities"]) == set(CLASSES)
    assert first["probability"] == max(first["probabilities"].values())
    assert_alike(model.answers([{"image": image}])[0], first)  # and is open still


def test_rows_are_mappings_where_a_model_reads_several_columns(tmp_path: Path) -> None:
    columns = {"text": TextColumn(), "table": TABLE}
    parts = {"parts": {"text": BAG, "table": {"backbone": "mlp"}}}
    model = raytl.load(save_model(tmp_path / "best", columns, parts))
    row = {"text": "good film", "age": 3, "mass": None, "town": "north", "note": "not read"}
    one, two = model.answers([row, row | {"town": "south", "mass": "2.5"}])
    assert one["probability"] != pytest.approx(two["probability"], abs=1e-6)
    with pytest.raises(DataError, match="row 1: has no 'mass', which the model reads; it has text"):
        model.answers([row, {"text": "x", "age": 1, "town": "west"}])
    with pytest.raises(DataError, match="row 0: must be a mapping from column to value, got str"):
        model.answers(["good film"])


def test_sounds_and_series_are_arrays(tmp_path: Path) -> None:
    sound = np.random.default_rng(0).normal(0, 3000, 400).astype(np.int16)
    wavfile.write(tmp_path / "a.wav", 800, sound)
    model = raytl.load(save_model(tmp_path / "audio", {"audio": AUDIO}, SOUND))
    held, stored = model.answers([(sound, 800), tmp_path / "a.wav"])
    assert_alike(held, stored)
    series = raytl.load(save_model(tmp_path / "series", {"series": SERIES}, {"backbone": "gru"}))
    assert len(series.answers([np.ones((4, 2)), [[1, 2], [3, 4]]])) == 2


def test_values_come_in_their_unit_and_the_model_says_what_it_reads(tmp_path: Path) -> None:
    task = Regression(ValueColumn(), 1000.0, 1.0)
    path = save_model(tmp_path / "best", {"table": TABLE}, {"backbone": "mlp"}, task=task)
    model = raytl.load(path)
    (answer,) = model.answers([{"age": 1, "mass": 2, "town": "north"}])
    assert set(answer) == {"predicted"} and 900 < answer["predicted"] < 1100
    assert (model.task, model.classes) == ("regression", None)
    assert model.columns["table"]["numbers"] == ["age", "mass"]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "the rows: there are none"),
        (["fine", ""], "row 1: has no text$"),
        (["fine", 3], "row 1: a text must be a string, got int$"),
        ([{"title": "x"}], "row 0: has no 'text', which the model reads; it has title$"),
    ],
)
def test_a_row_that_cannot_be_read_is_named(rows: list[object], told: str, tmp_path: Path) -> None:
    model = raytl.load(save_model(tmp_path / "best", {"text": TextColumn()}, BAG))
    with pytest.raises(DataError, match=told):
        model.answers(rows)


@pytest.mark.parametrize(
    ("kind", "row", "told"),
    [
        ("audio", (np.full(9, np.nan), 800), "row 0: samples must be finite"),
        ("audio", (np.ones((9, 2)), 800), r"row 0: a sound is samples \(L,\)"),
        ("audio", (np.ones(9), 0.5), "row 0: a rate is a whole number"),
        ("audio", 3, "row 0: a sound is a path, bytes or"),
        ("series", np.ones((3, 5)), r"row 0: a series has a number a step and channel, \(T, 2\)"),
        ("series", np.full((3, 2), np.nan), "row 0: all values must be finite"),
        ("series", "text", "row 0: a series is numbers"),
        ("image", np.ones((5, 5, 3)), "row 0: images must be uint8"),
        ("image", b"no image", "row 0: does not decode as an image"),
        ("image", 3.5, "row 0: an image is one of Pillow.* got float"),
    ],
)
def test_arrays_that_are_none_are_refused(
    kind: str, row: object, told: str, tmp_path: Path
) -> None:
    column = {"audio": AUDIO, "series": SERIES, "image": IMAGE}[kind]
    config = {"audio": SOUND, "series": {"backbone": "gru"}, "image": CNN}[kind]
    model = raytl.load(save_model(tmp_path / "best", {kind: column}, config))
    with pytest.raises(DataError, match=told):
        model.answers([row])


def test_a_folder_without_a_head_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no source model here"):
        raytl.load(tmp_path)
