"""A model in memory predicts rows of every kind, and says which row it cannot read."""

import io
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from PIL import Image
from scipy.io import wavfile

import raytl
from raytl.config import OptimizerConfig
from raytl.data.dataset import Dataset
from raytl.data.importers.options import ShardOptions
from raytl.data.raw.python_rows import python_rows
from raytl.data.raw.rows import RawReading, RawRows
from raytl.errors import ConfigError, DataError, ModelError
from raytl.loaded import Loaded, _index
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.series.column import SeriesColumn

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
                folder, backbone, root / name, epochs=8, batch_size=8, threads=1, args=args,
                optimizer=OptimizerConfig(name="sgd", lr=0.05),
            )  # fmt: skip
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


def test_images_of_several_sizes_and_grey_ones_are_fitted(of_images: Loaded) -> None:
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
    with pytest.raises(DataError, match="have no column 'image', which the model reads, but a, b"):
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
    assert of_table.predict(frame.to_dict("records"))["predicted"].tolist()[:2] == ["no", "yes"]
    with pytest.raises(
        DataError, match="have no column 'town', which the model reads, but extra, x"
    ):
        of_table.predict(frame.drop(columns="town"))
    empty = of_table.predict(frame.assign(town=None))
    assert empty["predicted"].tolist()[:2] == ["no", "yes"]
    with pytest.raises(DataError, match="have no column 'x', which the model reads, but c0, c1"):
        of_table.predict(np.zeros((2, 2)))
    with pytest.raises(DataError, match=r"numbers of a table are \(N, F\).*got \(2,\)"):
        of_table.predict(np.zeros(2))
    with pytest.raises(DataError, match=r"numbers of a table are \(N, F\).*rows of unequal length"):
        of_table.predict([[1, 2], [3]])
    frame["x"] = ["0.1", "word", "0.2"]
    with pytest.raises(DataError, match="row 1: column 'x' has 'word' where a number"):
        of_table.predict(frame)


def test_fields_may_be_called_as_a_file_is(make: Make) -> None:
    rows = pd.DataFrame({"bytes": np.linspace(-1, 1, 40), "path": ["a", "b"] * 20})
    rows["big"] = np.where(rows["bytes"] > 0, "yes", "no")
    model = make("fields", rows, "mlp", {"width": 16}, target="big")
    said = model.predict([{"bytes": -0.9, "path": "a"}, {"bytes": 0.9, "path": "b"}])
    assert said["predicted"].tolist() == ["no", "yes"]


def test_arrays_of_numbers_are_the_fields_that_they_were_learnt_as(make: Make) -> None:
    x = np.stack([np.linspace(-1, 1, 40), np.zeros(40)], 1)
    model = make("numbers", (x, 10 * x[:, 0] + 1), "mlp", {"width": 32})
    said = model.predict(x)
    assert list(said.columns) == ["predicted"]
    assert np.corrcoef(said["predicted"], x[:, 0])[0, 1] > 0.8
    assert model.predict(torch.from_numpy(x)).equals(said)
    with pytest.raises(DataError, match="have no column 'c1'"):
        model.predict(x[:, :1])


def test_texts_are_a_list_a_column_or_a_file(make: Make, tmp_path: Path) -> None:
    texts = ["good fine nice", "bad poor sad"] * 20
    model = make("texts", (texts, [1, 0] * 20), "bag_of_embeddings", {})
    said = model.predict(["good nice", "sad bad"])
    assert len(said) == 2
    assert model.predict(pd.DataFrame({"text": ["good nice", "sad bad"]})).equals(said)
    assert model.predict(pd.DataFrame({"review": ["good nice", "sad bad"]})).equals(said)
    with pytest.raises(DataError, match="row 1: a text must be a string, got None"):
        model.predict(["good", None])
    with pytest.raises(DataError, match="good: no such file or folder; give a .txt file"):
        model.predict("good")
    (tmp_path / "texts.txt").write_text("good nice\nsad bad\n")
    assert model.predict(tmp_path / "texts.txt").equals(said)


def tones(make: Make, folder: Path) -> tuple[list[str], Loaded]:
    """Write high and low tones; return their files and a model that was trained on such."""
    files = []
    for number in range(32):
        tone = np.sin(np.arange(4000) * (0.05 if number % 2 else 0.6))
        files.append(str(folder / f"{number:02d}.wav"))
        wavfile.write(files[-1], 8000, (tone * 20000).astype(np.int16))
    data = pd.DataFrame({"sound": files, "pitch": ["high", "low"] * 16})
    return files, make("sounds", data, "small_cnn", {"width": 4}, target="pitch", audio="sound")


def test_sounds_are_wav_files(make: Make, tmp_path: Path) -> None:
    files, model = tones(make, tmp_path)
    said = model.predict(files[:4])
    assert model.predict(pd.DataFrame({"sound": files[:4]})).equals(said)
    assert model.predict(tmp_path).index.tolist() == files
    held = [(wavfile.read(file)[1], 8000) for file in files[:4]]
    assert model.predict(held).equals(said)
    assert model.predict([{"array": of, "sampling_rate": rate} for of, rate in held]).equals(said)
    assert model.predict([{"bytes": None, "path": file} for file in files[:4]]).equals(said)
    with pytest.raises(DataError, match=r"nowhere\.wav: cannot be read: No such"):
        model.predict([files[0], "nowhere.wav"])
    with pytest.raises(DataError, match="row 0: a sound is a path, bytes or .* got int"):
        model.predict([1])


@pytest.mark.parametrize(
    ("rows", "error", "said"),
    [
        (Image.new("RGB", (4, 4)), DataError, "must be a list or an array, got Image"),
        ({"image": 1}, DataError, "must be a list or an array, got dict"),
        ([], DataError, "the rows: there are none"),
        (np.zeros((4, 4)), DataError, r"row 0: an image is .* got float64 \(4,\)"),
        (np.zeros((4, 3, 8, 8)), DataError, r"row 0: images are \(H, W, C\).*to be \(C, H, W\)"),
        ([np.zeros((8, 8), int), "nowhere.png"], DataError, "nowhere.png: does not decode"),
        ([b"no image"], DataError, "row 0: does not decode as an image"),
        ([np.zeros((8, 8, 2), int)], DataError, "row 0: has 2 channels, but the model reads 3"),
        ([np.zeros((8, 8, 3))], DataError, "row 0: images must be uint8, .* got float32"),
        (Path("nowhere"), DataError, "nowhere: no such file or folder"),
        (np.array(7), DataError, "must be a list or an array, got ndarray"),
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
    with pytest.raises(DataError, match="empty: the model does not read this; give a .csv"):
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
    with pytest.raises(DataError, match=r"row 0: .*\(T, 3\)"):
        model.predict([np.zeros((4, 2))])
    with pytest.raises(DataError, match="row 1: all values must be finite"):
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
    files, model = tones(make, tmp_path)
    other = str(tmp_path / "other.wav")
    wavfile.write(other, 11025, (np.sin(np.arange(6000) * 0.3) * 20000).astype(np.int16))
    alone = model.predict([other])["p(high)"].iloc[0]
    beside = model.predict([other, *files[:3]])["p(high)"].iloc[0]
    assert alone == pytest.approx(beside, rel=1e-5)
    assert model.answers([other])[0]["probabilities"]["high"] == pytest.approx(alone, rel=1e-5)


def test_a_forecast_is_made_from_the_last_steps() -> None:
    column = SeriesColumn(channels=("wave",))
    reading = RawReading({"series": column}, "series", ShardOptions(window=4))
    (chunk,) = python_rows([np.arange(9.0), np.arange(4.0)], reading).read([], skip_bad=False)
    assert [of[:, 0].tolist() for of in chunk.values["series"]] == [[5, 6, 7, 8], [0, 1, 2, 3]]
    with pytest.raises(DataError, match="row 1: has 3 steps, but the model reads the last 4"):
        list(python_rows([np.arange(9.0), np.arange(3.0)], reading).read([], skip_bad=False))


def test_images_of_floats_are_held_and_in_no_file() -> None:
    column = ImageColumn(shape=(4, 4, 2), dtype="float32")
    reading = RawReading({"image": column}, "arrays", ShardOptions())
    images = np.random.default_rng(0).normal(size=(3, 4, 4, 2)).astype(np.float32)
    (chunk,) = python_rows(images, reading).read([], skip_bad=False)
    np.testing.assert_array_equal(chunk.values["image"], images)
    with pytest.raises(ModelError, match="of 2 channels, float32, which no image file holds"):
        python_rows(["a.png"], reading)


def test_series_of_a_file_are_called_by_their_names() -> None:
    assert _index("loads.csv", RawRows("series", ["s2", "s10"], {})) == ["s2", "s10"]


def flags(rows: int = 40) -> pd.DataFrame:
    on = np.arange(rows) % 2 == 1
    code = [("01", "02")[k] for k in on.astype(int)]
    return pd.DataFrame({"on": on, "code": code, "size": 0.0, "out": np.where(on, "yes", "no")})


@pytest.mark.parametrize("column", ["on", "code"])
def test_categories_are_known_however_a_reader_has_spelled_them(
    make: Make, tmp_path: Path, column: str
) -> None:
    """Booleans are True in CSV files and true elsewhere, and codes lose their zeros."""
    data = flags()
    model = make(column, data[[column, "out"]], "mlp", {}, target="out", test=None)
    assert model.predict(data).predicted.tolist() == data.out.tolist()
    data.to_csv(tmp_path / "rows.csv", index=False)
    for rows in (
        tmp_path / "rows.csv",
        pd.read_csv(tmp_path / "rows.csv"),
        data.to_dict("records"),
    ):
        assert model.predict(rows).predicted.tolist() == data.out.tolist()


def test_booleans_of_a_csv_file_are_those_of_a_frame(make: Make, tmp_path: Path) -> None:
    data = flags()[["on", "out"]]
    data.to_csv(tmp_path / "rows.csv", index=False)
    raytl.shard("table", tmp_path / "rows.csv", tmp_path / "data", target="out")
    model = make("on", data, "mlp", {}, target="out", test=None)
    found = model.predict(tmp_path / "data", split="train")
    assert found.predicted.tolist() == data.out.tolist()


def test_classes_of_hugging_face_are_called_by_their_names(make: Make, tmp_path: Path) -> None:
    labels = {"kind": ["left", "right"], "out": ["no", "yes"]}
    held = {"kind": [0, 1] * 20, "out": [0, 1] * 20}
    features = datasets.Features({n: datasets.ClassLabel(names=of) for n, of in labels.items()})
    rows = datasets.Dataset.from_dict(held, features=features)
    model = make("classes", rows, "mlp", {}, target="out", test=None)
    rows.to_parquet(tmp_path / "rows.parquet")
    for given in (rows, tmp_path / "rows.parquet"):
        assert model.predict(given).predicted.tolist() == ["no", "yes"] * 20
    with pytest.raises(DataError, match="'kind' has 0 where training rows had names, such as 'le"):
        model.predict(rows.to_pandas())


def test_what_pandas_says_is_missing_is_missing_and_a_name_is_one_columns(make: Make) -> None:
    data = flags()
    model = make("on", data[["on", "out"]], "mlp", {}, target="out", test=None)
    missing = model.predict([{"on": value} for value in (None, np.nan, pd.NA, pd.NaT)])
    assert missing["p(yes)"].nunique() == 1
    with pytest.raises(DataError, match="two columns are called 'on'"):
        model.predict(pd.concat([data, data[["on"]]], axis=1))


@pytest.mark.parametrize("device", ["gpu", "cuda:99"])
def test_a_device_that_is_not_there_is_named(make: Make, device: str) -> None:
    model = make("on", flags()[["on", "out"]], "mlp", {}, target="out", test=None)
    with pytest.raises(ConfigError, match=f"device='{device}'.*such as cpu"):
        raytl.load(model.path, device=device)


def test_one_image_alone_is_not_taken_for_many(of_images: Loaded) -> None:
    images, labels = shots(1)
    tensor = torch.from_numpy(np.moveaxis(images[0], 2, 0).copy())
    for one, law in ((images[0], r"\(N, H, W, C\)"), (tensor, r"\(N, C, H, W\)")):
        with pytest.raises(DataError, match=rf"images are {law}, but .* seems to be one image"):
            of_images.predict(one)
        assert of_images.predict([one])["predicted"].tolist() == labels
