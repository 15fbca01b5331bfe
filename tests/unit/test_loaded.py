"""A model in memory predicts rows of every kind, and says which row it cannot read."""

import io
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from PIL import Image
from scipy.io import wavfile

import raytl
from raytl.data.dataset import Dataset
from raytl.errors import DataError, ModelError, UserError
from raytl.loaded import Loaded
from raytl.loaded_cells import Part, cells_of
from raytl.modalities.series.column import SeriesColumn
from raytl.modalities.series.transform import SeriesFacts, SeriesTransform

Make = Callable[..., Loaded]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Return what pretrains a small model on data that Python holds, once for each name."""
    root = tmp_path_factory.mktemp("models")
    made: dict[str, Loaded] = {}

    def of(name: str, data: Any, backbone: str, args: dict[str, Any], **options: Any) -> Loaded:
        if name not in made:
            folder = raytl.dataset(data, **options)
            raytl.pretrain(
                folder, backbone, root / name, epochs=8, batch_size=8, threads=1, args=args
            )
            made[name] = raytl.load(root / name)
        return made[name]

    return of


def shots(rows: int = 40, side: int = 8) -> tuple[np.ndarray, list[str]]:
    """Return dark and bright images, and what each is."""
    generator = np.random.default_rng(0)
    bright = np.arange(rows) % 2
    noise = generator.integers(0, 60, (rows, side, side, 3))
    return (noise + 180 * bright[:, None, None, None]).astype(np.uint8), [
        ("dark", "bright")[k] for k in bright
    ]


@pytest.fixture
def of_images(make: Make) -> Loaded:
    return make("images", shots(), "small_cnn", {"width": 4})


@pytest.fixture
def of_table(make: Make) -> Loaded:
    rows = pd.DataFrame({"x": np.linspace(-1, 1, 40), "town": ["here", "there"] * 20})
    rows["big"] = np.where(rows["x"] > 0, "yes", "no")
    return make("table", rows, "mlp", {"width": 16}, target="big")


def test_images_are_arrays_lists_pictures_tensors_files_or_a_folder(
    of_images: Loaded, tmp_path: Path
) -> None:
    images, labels = shots(6)
    said = of_images.predict(images)
    assert said["predicted"].tolist() == labels
    assert list(said.columns) == ["predicted", "probability", "p(bright)", "p(dark)"]
    np.testing.assert_allclose(said[["p(bright)", "p(dark)"]].sum(axis=1), 1, rtol=1e-5)
    tensors = torch.from_numpy(images).permute(0, 3, 1, 2)
    pictures = [Image.fromarray(image) for image in images]
    files = []
    for number, picture in enumerate(pictures):
        files.append(tmp_path / f"{number}.png")
        picture.save(files[-1])
    for same in (list(images), tensors, list(tensors), pictures, files, [*map(str, files)]):
        pd.testing.assert_frame_equal(of_images.predict(same), said)
    folder = of_images.predict(tmp_path)
    assert folder.index.tolist() == [str(file) for file in files]
    assert folder["predicted"].tolist() == labels
    assert of_images.predict(files[1]).index.tolist() == [str(files[1])]


def test_images_of_several_sizes_and_grey_ones_are_read_as_they_are(of_images: Loaded) -> None:
    mixed = [np.full((9, 5, 3), 240, np.uint8), Image.new("L", (8, 8), 10)]
    assert of_images.predict(mixed)["predicted"].tolist() == ["bright", "dark"]


def test_a_frame_names_images_by_the_column_and_keeps_its_index(of_images: Loaded) -> None:
    images, labels = shots(4)
    buffer = io.BytesIO()
    Image.fromarray(images[1]).save(buffer, "png")
    frame = pd.DataFrame(
        {"image": [images[0], buffer.getvalue(), images[2], images[3]], "other": range(4)},
        index=["a", "b", "c", "d"],
    )
    said = of_images.predict(frame)
    assert said["predicted"].tolist() == labels
    assert said.index.tolist() == ["a", "b", "c", "d"]
    with pytest.raises(ModelError, match="reads the column 'image', but the rows have a, b"):
        of_images.predict(pd.DataFrame({"a": [1], "b": [2]}))


def test_a_dataset_is_predicted_as_the_command_line_does(of_images: Loaded) -> None:
    folder = raytl.dataset({"train": shots(), "test": shots(10)})
    said = of_images.predict(folder)
    assert said.index.name == "id"
    assert said["predicted"].tolist() == shots(10)[1]
    assert len(of_images.predict(folder, split="train")) == 40


def test_more_rows_than_a_batch_are_all_there_in_order(of_images: Loaded) -> None:
    images, labels = shots(150)
    assert of_images.predict(images)["predicted"].tolist() == labels


def test_a_table_is_read_by_the_names_of_its_fields(of_table: Loaded) -> None:
    frame = pd.DataFrame({"town": ["here", "there", "nowhere"], "extra": [1, 2, 3]})
    frame["x"] = [-0.9, 0.9, np.nan]
    said = of_table.predict(frame)
    assert said["predicted"].tolist()[:2] == ["no", "yes"]
    assert of_table.predict(pa.Table.from_pandas(frame)).equals(said)
    one_row = of_table.predict(frame.iloc[[1]])
    assert one_row.index.tolist() == [1]
    np.testing.assert_allclose(one_row["p(yes)"], said["p(yes)"].iloc[[1]], rtol=1e-5)
    without = of_table.predict(frame.drop(columns="town"))
    assert without["predicted"].tolist()[:2] == ["no", "yes"]
    with pytest.raises(ModelError, match="reads the columns x, town, of which the rows have none"):
        of_table.predict(pd.DataFrame({"y": [1.0]}))
    with pytest.raises(ModelError, match="reads fields by name"):
        of_table.predict(np.zeros((2, 2)))
    frame["x"] = ["0.1", "word", "0.2"]
    with pytest.raises(DataError, match=r"'x'.*row 1"):
        of_table.predict(frame)


def test_arrays_of_numbers_are_the_fields_that_they_were_learnt_as(make: Make) -> None:
    x = np.stack([np.linspace(-1, 1, 40), np.zeros(40)], 1)
    model = make("numbers", (x, 10 * x[:, 0] + 1), "mlp", {"width": 32})
    said = model.predict(x)
    assert list(said.columns) == ["predicted"]
    assert np.corrcoef(said["predicted"], x[:, 0])[0, 1] > 0.8
    with pytest.raises(ModelError, match="reads fields by name"):
        model.predict(x[:, :1])


def test_texts_are_a_list_or_a_column(make: Make) -> None:
    texts = ["good fine nice", "bad poor sad"] * 20
    model = make("texts", (texts, [1, 0] * 20), "bag_of_embeddings", {})
    said = model.predict(["good nice", "sad bad"])
    assert len(said) == 2
    assert model.predict(pd.DataFrame({"text": ["good nice", "sad bad"]})).equals(said)
    assert model.predict(pd.DataFrame({"review": ["good nice", "sad bad"]})).equals(said)
    with pytest.raises(DataError, match="row 1: must be a text, got None"):
        model.predict(["good", None])
    with pytest.raises(DataError, match="good: the model reads text rows; give a DataFrame"):
        model.predict("good")


def test_sounds_are_wav_files(make: Make, tmp_path: Path) -> None:
    files = []
    for number in range(32):
        tone = np.sin(np.arange(4000) * (0.05 if number % 2 else 0.6))
        files.append(str(tmp_path / f"{number:02d}.wav"))
        wavfile.write(files[-1], 8000, (tone * 20000).astype(np.int16))
    data = pd.DataFrame({"sound": files, "pitch": ["high", "low"] * 16})
    model = make("sounds", data, "small_cnn", {"width": 4}, target="pitch", audio="sound")
    said = model.predict(files[:4])
    assert model.predict(pd.DataFrame({"sound": files[:4]})).equals(said)
    assert model.predict(tmp_path).index.tolist() == files
    with pytest.raises(DataError, match=r"row 1: no such file: nowhere\.wav"):
        model.predict([files[0], "nowhere.wav"])
    with pytest.raises(DataError, match=r"row 0: a sound is a \.wav file's path or bytes, got int"):
        model.predict([1])


@pytest.mark.parametrize(
    ("rows", "error", "said"),
    [
        (Image.new("RGB", (4, 4)), UserError, "takes several rows; put the Image into a list"),
        ([], DataError, "the rows: there are none"),
        (np.zeros((4, 4)), DataError, r"images are \(N, H, W\).* got \(4, 4\)"),
        (np.zeros((4, 3, 8, 8)), DataError, r"seems to be \(C, H, W\)"),
        ([np.zeros((4, 4)), "nowhere.png"], DataError, "row 1: nowhere.png: does not decode"),
        ([b"no image"], DataError, "row 0: does not decode as an image"),
        ([np.zeros((4, 4, 2))], ModelError, "takes 3 channels, but the images have 2"),
        ("nowhere", DataError, "nowhere: no such file or folder"),
        (7, DataError, "must be a list or an array, got int"),
    ],
)
def test_rows_that_are_none_are_refused(
    of_images: Loaded, rows: Any, error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        of_images.predict(rows)


def test_what_is_no_model_is_refused(tmp_path: Path, of_table: Loaded) -> None:
    with pytest.raises(ModelError, match="no source model here"):
        raytl.load(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="the model reads table rows; give a DataFrame"):
        of_table.predict(tmp_path / "empty")
    assert of_table.reads == {"table": "table"}
    assert "reads table (table)" in repr(of_table)


def test_series_are_arrays_of_steps_and_channels(tmp_path: Path) -> None:
    raytl.shard("motions", "clean", tmp_path / "data", rows=120)
    raytl.pretrain(tmp_path / "data", "lstm", tmp_path / "model", epochs=1, threads=1)
    model = raytl.load(tmp_path / "model")
    part = Dataset.open(tmp_path / "data").split("test")
    rows = list(part.read("motion", np.argsort(part.ids())[:5]))
    said = model.predict(rows)
    assert said["predicted"].tolist() == (
        model.predict(tmp_path / "data")["predicted"].head(5).tolist()
    )
    assert model.predict(pd.DataFrame({"motion": pd.Series(rows)})).equals(said)
    with pytest.raises(DataError, match=r"\(T, 3\), but row 0 is \(4, 2\).*reads channels"):
        model.predict([np.zeros((4, 2))])
    with pytest.raises(DataError, match=r"row 1, step 0, channel '\w+' has no value"):
        model.predict([rows[0], rows[1] * np.nan])


def test_pictures_are_fitted_as_those_were_that_the_model_learnt_from(tmp_path: Path) -> None:
    for split, label in itertools.product(("train", "test"), ("dark", "bright")):
        folder = tmp_path / "photos" / split / label
        folder.mkdir(parents=True)
        for number in range(8):  # bright and dark stand in the middle, which a crop alone sees
            image = np.random.default_rng(number).integers(0, 255, (16, 40, 3), np.uint8)
            image[:, 12:28] = 220 if label == "bright" else 30
            Image.fromarray(image).save(folder / f"{number}.png")
    raytl.shard("image-folder", tmp_path / "photos", tmp_path / "data", size=12, fit="crop")
    raytl.pretrain(tmp_path / "data", "small_cnn", tmp_path / "model", epochs=1, threads=1)
    model = raytl.load(tmp_path / "model")
    stored = model.predict(tmp_path / "data").sort_values("p(bright)", ignore_index=True)
    read = model.predict(tmp_path / "photos" / "test").sort_values("p(bright)", ignore_index=True)
    pd.testing.assert_frame_equal(read, stored, rtol=1e-5)


def test_pictures_of_a_frame_are_fitted_likewise(tmp_path: Path, make: Make) -> None:
    generator = np.random.default_rng(0)
    pictures, labels = [], ["dark", "bright"] * 12
    for label in labels:
        image = generator.integers(0, 255, (16, 40, 3), np.uint8)
        image[:, 12:28] = 220 if label == "bright" else 30
        pictures.append(Image.fromarray(image))
    frame = pd.DataFrame({"picture": pictures, "label": labels})
    options = {"target": "label", "image": "picture", "size": 12, "fit": "crop", "test": None}
    folder = raytl.dataset(frame, **options)
    model = make("cropped", frame, "small_cnn", {"width": 4}, **options)
    stored = model.predict(folder, split="train").sort_values("p(bright)", ignore_index=True)
    read = model.predict(pictures).sort_values("p(bright)", ignore_index=True)
    pd.testing.assert_frame_equal(read, stored, rtol=1e-5)
    answers = sorted(row["probabilities"]["bright"] for row in model.answers(pictures))
    np.testing.assert_allclose(answers, stored["p(bright)"], rtol=1e-5)


def test_a_sound_is_answered_alike_whatever_stands_beside_it(make: Make, tmp_path: Path) -> None:
    files = []
    for number in range(32):
        tone = np.sin(np.arange(4000) * (0.05 if number % 2 else 0.6))
        files.append(str(tmp_path / f"{number:02d}.wav"))
        wavfile.write(files[-1], 8000, (tone * 20000).astype(np.int16))
    data = pd.DataFrame({"sound": files, "pitch": ["high", "low"] * 16})
    model = make("sounds", data, "small_cnn", {"width": 4}, target="pitch", audio="sound")
    other = str(tmp_path / "other.wav")
    wavfile.write(other, 11025, (np.sin(np.arange(6000) * 0.3) * 20000).astype(np.int16))
    alone = model.predict([other])["p(high)"].iloc[0]
    beside = model.predict([other, *files[:3]])["p(high)"].iloc[0]
    assert alone == pytest.approx(beside, rel=1e-5)
    assert model.answers([other])[0]["probabilities"]["high"] == pytest.approx(alone, rel=1e-5)


def test_a_forecast_is_made_from_the_last_steps() -> None:
    facts = SeriesFacts(channels=("wave",), mean=(0.0,), std=(1.0,))
    column = SeriesColumn(channels=("wave",))
    part = Part("series", SeriesTransform(facts), column, fitted=np.asarray, window=4)
    given = cells_of(part, [np.arange(9.0), np.arange(4.0)]).batch(0, 2).rows
    assert given.values[..., 0].tolist() == [[5, 6, 7, 8], [0, 1, 2, 3]]
    with pytest.raises(DataError, match="row 1 has 3 steps, but the model reads the last 4"):
        cells_of(part, [np.arange(9.0), np.arange(3.0)])
