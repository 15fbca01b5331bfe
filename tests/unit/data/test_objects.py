"""Data that Python holds become datasets: DataFrames, arrays, Datasets of torch and of others."""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import IterableDataset, Subset, TensorDataset

import raytl
from raytl.data.dataset import Dataset
from raytl.data.python_words import in_python
from raytl.errors import ConfigError, DataError

RED, BLUE = (200, 0, 0), (0, 0, 200)


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def frame(rows: int = 20) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "age": np.arange(rows) + 0.5,
            "town": ["here", "there"] * (rows // 2),
            "risk": ["low", "low", "high", "high"] * (rows // 4),
        }
    )


def rows_of(folder: Path, split: str, column: str) -> Any:
    """Return a split's column in the order of its source."""
    part = Dataset.open(folder).split(split)
    return part.all(column)[np.argsort(part.ids())]


def picture(colour: tuple[int, int, int], side: int = 6) -> Image.Image:
    return Image.new("RGB", (side, side), colour)


def pairs(images: Any, labels: Any) -> TorchDataset:
    class Pairs(TorchDataset):
        def __len__(self) -> int:
            return len(labels)

        def __getitem__(self, row: int) -> tuple[Any, Any]:
            return images[row], labels[row]

    return Pairs()


# Tables


def test_a_data_frame_becomes_a_dataset_of_a_table_with_a_fifth_of_its_rows_for_the_test() -> None:
    folder = raytl.dataset(frame(), target="risk")
    found = Dataset.open(folder)
    assert found.columns["risk"].classes == ("high", "low")
    assert [field.name for field in found.columns["table"].fields] == ["age", "town"]
    assert (found.split("train").rows, found.split("test").rows) == (16, 4)


def test_the_same_data_are_written_once_and_other_data_or_options_elsewhere(tmp_path: Path) -> None:
    first = raytl.dataset(frame(), target="risk")
    written = (first / "dataset.json").stat().st_mtime_ns
    assert raytl.dataset(frame(), target="risk") == first
    assert (first / "dataset.json").stat().st_mtime_ns == written
    assert first.is_relative_to(tmp_path / "cache")
    other = frame()
    other.loc[3, "age"] = 99
    assert raytl.dataset(other, target="risk") != first
    assert raytl.dataset(frame(), target="risk", seed=1) != first
    renamed = frame().rename(columns={"age": "years"})
    assert raytl.dataset(renamed, target="risk") != first


def test_what_was_left_half_written_is_written_again() -> None:
    folder = raytl.dataset(frame(), target="risk")
    (folder / "dataset.json").unlink()
    assert raytl.dataset(frame(), target="risk") == folder
    assert Dataset.open(folder).split("train").rows == 16


def test_categoricals_and_numbers_with_gaps_are_what_pandas_says() -> None:
    data = frame()
    data["town"] = data["town"].astype("category")
    data["count"] = pd.array([1, None] * 10, dtype="Int64")
    data["risk"] = data["risk"].astype("category")
    found = Dataset.open(raytl.dataset(data, target="risk", test=None))
    assert [field.kind for field in found.columns["table"].fields] == [
        "number", "category", "number",
    ]  # fmt: skip
    assert np.isnan(rows_of(raytl.dataset(data, target="risk", test=None), "train", "table")[1, 2])


def test_arrow_tables_and_other_libraries_frames_are_tables_too() -> None:
    class Streams:
        """What polars' DataFrame is to Arrow."""

        def __init__(self, table: pa.Table) -> None:
            self.table = table

        def __len__(self) -> int:
            return len(self.table)

        def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
            return self.table.__arrow_c_stream__(requested_schema)

    table = pa.Table.from_pandas(frame(), preserve_index=False)
    for data in (table, Streams(table)):
        assert Dataset.open(raytl.dataset(data, target="risk")).split("train").rows == 16


def test_splits_are_given_by_name_and_then_nothing_is_cut() -> None:
    folder = raytl.dataset({"train": frame(20), "test": frame(8)}, target="risk")
    found = Dataset.open(folder)
    assert (found.split("train").rows, found.split("test").rows) == (20, 8)


def test_a_column_can_name_the_split() -> None:
    data = frame().assign(part=["train"] * 15 + ["test"] * 5)
    found = Dataset.open(raytl.dataset(data, target="risk", split_column="part"))
    assert (found.split("train").rows, found.split("test").rows) == (15, 5)


def test_images_of_a_frame_may_be_files_bytes_pictures_or_arrays(tmp_path: Path) -> None:
    picture(RED).save(tmp_path / "red.png")
    buffer = io.BytesIO()
    picture(BLUE).save(buffer, "png")
    cells = ["red.png", buffer.getvalue(), picture(RED), np.asarray(picture(BLUE))]
    data = pd.DataFrame({"shot": cells, "kind": ["a", "b", "a", "b"]})
    folder = raytl.dataset(data, target="kind", image="shot", size=6, test=None)
    images = rows_of(folder, "train", "shot")
    assert images[:, 0, 0].tolist() == [list(RED), list(BLUE), list(RED), list(BLUE)]


def test_paths_are_taken_from_the_working_directory_wherever_they_lead(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for name in ("0", "1"):
        picture(RED).save(elsewhere / f"{name}.png")
    absolute = pd.DataFrame({"shot": [str(elsewhere / "0.png"), str(elsewhere / "1.png")]})
    by_pattern = pd.DataFrame({"row": [0, 1]})
    for data, image in ((absolute, "shot"), (by_pattern, "elsewhere/{row}.png")):
        folder = raytl.dataset(
            data.assign(kind=["a", "b"]), target="kind", image=image, size=6, test=None
        )
        assert Dataset.open(folder).split("train").rows == 2


def test_messages_name_row_and_column_and_options_as_python_writes_them() -> None:
    with pytest.raises(ConfigError, match=r"^target=: name the column .*train has age, town, risk"):
        raytl.dataset(frame())
    with pytest.raises(ConfigError, match=r"^target=: train has no column 'rusk'; did you mean"):
        raytl.dataset(frame(), target="rusk")
    data = frame()
    data.loc[2, "risk"] = None
    with pytest.raises(DataError, match=r"^train, row 2: the target 'risk' .*unlabelled=True"):
        raytl.dataset(data, target="risk")
    data = frame()
    data["age"] = [1, "two"] * 10
    with pytest.raises(DataError, match=r"column 'age' .* number in row 0 and str in row 1"):
        raytl.dataset(data, target="risk")
    data["age"] = pd.date_range("2024-01-01", periods=20)
    with pytest.raises(DataError, match="column 'age' has dates or times"):
        raytl.dataset(data, target="risk")


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("nowhere.png", r"train, row 1: column 'shot': no such file: /.*/nowhere\.png"),
        (None, "train, row 1: column 'shot' has no file"),
        (np.zeros((4, 4, 3)), "train, row 1: column 'shot': images of a table have whole numbers"),
        (np.zeros((4, 4, 2), np.uint8), "row 1: column 'shot': .* have 1 or 3 channels, got 2"),
        (b"no image", "train, row 1: does not decode as an image"),
        (7, "row 1: column 'shot': an image is one of Pillow"),
    ],
)
def test_a_cell_that_is_no_image_is_named(cell: Any, said: str) -> None:
    data = pd.DataFrame({"shot": [picture(RED), cell], "kind": ["a", "b"]})
    with pytest.raises(DataError, match=said):
        raytl.dataset(data, target="kind", image="shot", size=6, test=None)


def test_options_are_written_as_python_has_them() -> None:
    assert in_python("give --skip-bad, or --size, or --test 0.2") == (
        "give skip_bad=True, or size=, or test=0.2"
    )
    assert in_python("--task regression takes them") == "task='regression' takes them"
    assert in_python("--set a=b and --resume") == "overrides= a=b and resume=True"
    assert in_python("drop it, or leave out --test") == "drop it, or give test=None"
    few = frame(4).assign(risk=["a", "a", "a", "b"])
    with pytest.raises(DataError, match="but 'b' has one .*; drop it, or give test=None"):
        raytl.dataset(few, target="risk")


def test_frames_that_cannot_be_told_apart_are_refused() -> None:
    twice = pd.DataFrame([[1, 2, "a"]], columns=["x", "x", "y"])
    with pytest.raises(DataError, match="two columns are called 'x'"):
        raytl.dataset(twice, target="y")
    with pytest.raises(DataError, match="train: there are no rows"):
        raytl.dataset(frame().iloc[:0], target="risk")
    with pytest.raises(DataError, match=r"must have the same columns, but test lacks 'age'"):
        raytl.dataset({"train": frame(), "test": frame().drop(columns="age")}, target="risk")


# Arrays


def images(rows: int = 12, *shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (rows, *(shape or (6, 6, 3))), np.uint8)


def test_arrays_of_images_and_labels_are_kept_as_they_are() -> None:
    x, y = images(), np.arange(12) % 2
    folder = raytl.dataset((x, y), test=None)
    np.testing.assert_array_equal(rows_of(folder, "train", "image"), x)
    np.testing.assert_array_equal(rows_of(folder, "train", "label"), y)
    grey = raytl.dataset((x[..., 0], [("a", "b")[k] for k in y]), target="kind", test=None)
    assert Dataset.open(grey).columns["kind"].classes == ("a", "b")
    assert rows_of(grey, "train", "image").shape == (12, 6, 6, 1)


def test_arrays_of_numbers_are_a_table_and_of_strings_texts() -> None:
    numbers = np.array([[0.5, 3], [1.5, np.nan]] * 4)
    folder = raytl.dataset((numbers, np.linspace(0.1, 2, 8)), test=None)
    found = Dataset.open(folder)
    assert [(f.name, f.kind) for f in found.columns["table"].fields] == [
        ("c0", "number"), ("c1", "number"),
    ]  # fmt: skip
    assert found.columns["label"].kind == "value"
    texts = raytl.dataset((np.array(["good", "bad"] * 4), [1, 0] * 4), test=None)
    assert rows_of(texts, "train", "text").tolist() == ["good", "bad"] * 4


def test_a_frame_and_its_targets_keep_the_names_of_columns() -> None:
    data = frame()
    folder = raytl.dataset((data[["age", "town"]], data["risk"]))
    found = Dataset.open(folder)
    assert [field.name for field in found.columns["table"].fields] == ["age", "town"]
    assert found.columns["label"].classes == ("high", "low")
    grouped = raytl.dataset((data[["age", "town"]], data["risk"]), group="town", test=None)
    assert Dataset.open(grouped).columns["town"].groups == 2
    with pytest.raises(DataError, match="train: X has a column 'age', as the target would"):
        raytl.dataset((data, data["risk"]), target="age")
    with pytest.raises(DataError, match="train: X and y must have as many rows, got 20 and 4"):
        raytl.dataset((data, [0, 1, 0, 1]))


def test_what_is_masked_is_missing() -> None:
    x = np.ma.masked_array(np.full((8, 2), 1.5), mask=np.eye(8, 2, dtype=bool))
    folder = raytl.dataset((x, [0, 1] * 4), test=None)
    assert np.isnan(rows_of(folder, "train", "table"))[:3].tolist() == [
        [True, False], [False, True], [False, False],
    ]  # fmt: skip


def test_no_test_split_is_cut_where_there_is_no_split_train() -> None:
    found = Dataset.open(raytl.dataset({"pool": frame()}, target="risk"))
    assert list(found.info.splits) == ["pool"]
    assert list(Dataset.open(raytl.dataset(frame(), target="risk", test=0)).info.splits) == [
        "train"
    ]


def test_images_of_several_sizes_need_a_size() -> None:
    some = [np.zeros((4, 4, 3), np.uint8), np.zeros((6, 4, 3), np.uint8)]
    with pytest.raises(ConfigError, match=r"of 2 sizes .*; give size="):
        raytl.dataset((some, ["a", "b"]), test=None)
    folder = raytl.dataset((some, ["a", "b"]), size=5, test=None)
    assert rows_of(folder, "train", "image").shape == (2, 5, 5, 3)


def test_rows_without_any_target_are_a_domain_to_adapt_to() -> None:
    folder = raytl.dataset((images(), None), classes=["a", "b"], unlabelled=True)
    found = Dataset.open(folder)
    assert found.columns["label"].classes == ("a", "b")
    assert (rows_of(folder, "train", "label") == -1).all()
    with pytest.raises(DataError, match="has no value in any row"):
        raytl.dataset((images(), None))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ((np.zeros((4, 3, 8, 8)), [0, 1, 0, 1]), r"train: .*seems to be \(C, H, W\)"),
        ((np.zeros((4, 8, 8)), [0, 1]), "train: X and y must have as many rows, got 4 and 2"),
        ((np.zeros((2, 8, 8)), np.zeros((2, 3))), r"train: y is one class .*got \(2, 3\)"),
        ((np.zeros((2, 1, 1, 1, 1)), [0, 1]), r"train: X must be images"),
        ((np.zeros((0, 3)), []), "train: there are no rows"),
        ((np.full((2, 4, 4), "a"), [0, 1]), "train: images are whole numbers or floats, got <U1"),
        ((np.array(["a", None], dtype=object), [0, 1]), "train, row 1: must be a text, got None"),
        ((np.zeros((4, 2)), [0, 1, 0, "a"]), "train: y cannot be read"),
        (np.zeros((4, 2)), r"data must be a DataFrame, .* got ndarray \(4, 2\)"),
        ("data/target", "data/target: is a path"),
        ({}, "got an empty dict"),
        ({1: frame()}, "splits must have names, such as train and test, got 1"),
        ({"train": frame(), "test": (images(), [0] * 12)}, r"train is a table and test is"),
        ({"train": (images(), [0, 1] * 6), "test": (np.zeros((4, 2)), [0, 1] * 2)}, "be alike"),
        (None, "data must be a DataFrame, .* got NoneType"),
        (frame()["age"], r"data must be a DataFrame, .* got Series \(20,\)"),
    ],
)  # fmt: skip
def test_what_is_no_data_is_refused(data: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        raytl.dataset(data)


def test_an_option_that_means_nothing_to_the_data_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"group= means nothing to this kind"):
        raytl.dataset((images(), [0, 1] * 6), group="patient")


# Datasets of torch


def test_a_torch_dataset_of_pictures_is_read_with_its_class_names() -> None:
    shots = [picture(RED), picture(BLUE)] * 4
    data = pairs(shots, [0, 1] * 4)
    data.classes = ["red", "blue"]
    folder = raytl.dataset(Subset(data, range(6)), test=None)
    assert Dataset.open(folder).columns["label"].classes == ("red", "blue")
    assert rows_of(folder, "train", "image")[:2, 0, 0].tolist() == [list(RED), list(BLUE)]


def test_tensors_have_their_channels_first() -> None:
    import torch

    x = torch.rand(6, 3, 5, 4)
    folder = raytl.dataset(TensorDataset(x, torch.tensor([0, 1] * 3)), test=None)
    expected = x.permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(rows_of(folder, "train", "image"), expected)
    assert raytl.dataset((x, torch.tensor([0, 1] * 3)), test=None).name
    np.testing.assert_array_equal(
        rows_of(raytl.dataset((x, [0, 1] * 3), test=None), "train", "image"), expected
    )


def test_tensors_of_numbers_are_a_table() -> None:
    import torch

    data = TensorDataset(torch.rand(8, 3), torch.linspace(0, 1, 8))
    found = Dataset.open(raytl.dataset(data, test=None))
    assert len(found.columns["table"].fields) == 3
    assert found.columns["label"].kind == "value"


class Random(TorchDataset):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, row: int) -> tuple[np.ndarray, int]:
        return np.random.default_rng().random((4, 4)), row % 2


class Stream(IterableDataset):
    def __iter__(self) -> Iterator[Any]:
        yield np.zeros((4, 4)), 0


class Triples(TorchDataset):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, row: int) -> tuple[np.ndarray, int, int]:
        return np.zeros((4, 4)), row, row


class Failing(TorchDataset):
    def __len__(self) -> int:
        return 2

    def __getitem__(self, row: int) -> tuple[np.ndarray, int]:
        return np.zeros((4, 4)), 1 // (1 - row)


def named(names: list[Any], labels: list[int]) -> TorchDataset:
    data = pairs([picture(RED)] * len(labels), labels)
    data.classes = names
    return data


def test_classes_of_one_name_are_told_apart_by_their_numbers() -> None:
    """As ImageNet's two cranes, a bird and a machine."""
    folder = raytl.dataset(named([("crane", "bird"), "ant", "crane"], [0, 1, 2] * 4), test=None)
    assert Dataset.open(folder).columns["label"].classes == ("crane (0)", "ant", "crane (2)")


def broken(row: int) -> TorchDataset:
    shots: list[Any] = [picture(RED)] * 4
    shots[row] = None
    return pairs(shots, [0, 1, 0, 1])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (Random(), "train, row 0: reads differently each time"),
        (Stream(), "train: a Dataset without a length"),
        (broken(3), "train, row 3: an image is one of Pillow"),
        (pairs([picture(RED)] * 2, [0, np.zeros(2)]), "train, row 1: a target must be one class"),
        (pairs([picture(RED), picture(RED, 7)], [0, 1]), "images are of 2 sizes"),
        (pairs([], []), "train: there are no rows; leave the split out, or give some"),
        (pairs([np.zeros(3), np.zeros(4)], [0, 1]), "train: rows of numbers must have one length"),
        (Triples(), r"train, row 0: an item must be \(row, target\), got 3 parts"),
        (Failing(), "train, row 1: cannot be read: ZeroDivisionError: .*division"),
        (named(["red", "blue"], [0, 1, 2]), r"row 2: there is no class 2 of 2 \(red, blue\)$"),
        (named(list("abcdef"), [0, 7]), r"there is no class 7 of 6 \(a, b, c, d, e, …\)$"),
        (pairs([picture(RED), np.zeros((6, 6, 3))], [0, 1]), "row 1: all images must have"),
    ],
)  # fmt: skip
def test_a_torch_dataset_that_cannot_be_read_is_told_with_its_row(
    data: TorchDataset, said: str
) -> None:
    with pytest.raises((DataError, ConfigError), match=said):
        raytl.dataset(data, test=None)


def test_class_names_of_splits_must_be_the_same() -> None:
    splits = {"train": named(["red", "blue"], [0, 1]), "test": named(["blue", "red"], [0, 1])}
    with pytest.raises(DataError, match="all splits must have the same classes, in the same order"):
        raytl.dataset(splits)


def test_a_torch_dataset_that_is_too_large_for_memory_names_the_way_by_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from raytl.data.importers import torch_datasets

    monkeypatch.setattr(torch_datasets, "MOST_BYTES", 200)
    with pytest.raises(DataError, match=r"GiB in 2 of 4 rows; write files, .*`raytl shard`"):
        raytl.dataset(pairs([picture(RED)] * 4, [0, 1] * 2))


# Hugging Face


def test_a_hugging_face_dataset_is_read_by_its_features() -> None:
    features = datasets.Features(
        {"words": datasets.Value("string"), "mood": datasets.ClassLabel(names=["bad", "good"])}
    )
    rows = {"words": ["a", "b", "c", "d"] * 3, "mood": [0, 1, 1, 0] * 3}
    data = datasets.Dataset.from_dict(rows, features=features)
    found = Dataset.open(raytl.dataset(data))
    assert found.columns["mood"].classes == ("bad", "good")
    assert (found.split("train").rows, found.split("test").rows) == (10, 2)
    several = datasets.DatasetDict({"train": data, "test": data.select(range(4))})
    assert Dataset.open(raytl.dataset(several)).split("test").rows == 4


def test_a_streamed_hugging_face_dataset_is_refused() -> None:
    data = datasets.Dataset.from_dict({"words": ["a"], "mood": [0]}).to_iterable_dataset()
    with pytest.raises(ConfigError, match="train: a IterableDataset streams its rows"):
        raytl.dataset(data)


def test_the_cache_lies_where_the_environment_says(tmp_path: Path) -> None:
    folder = raytl.dataset(frame(), target="risk")
    assert folder.parent == Path(os.environ["RAYTL_CACHE"]) / "datasets"


def test_what_pandas_calls_categorical_is_a_category_whatever_it_holds() -> None:
    data = frame().assign(
        zip=pd.Categorical([10115, 20095] * 10), band=pd.cut(np.arange(20), 2), half=[0.5, 1.5] * 10
    )
    folder = raytl.dataset(data, target="risk", drop="band", test=None)
    column = Dataset.open(folder).columns["table"]
    assert {f.name: f.categories for f in column.fields}["zip"] == ("10115", "20095")
    said = raytl.dataset(data, target="risk", drop="band", number="zip", test=None)
    kinds = {f.name: f.kind for f in Dataset.open(said).columns["table"].fields}
    assert kinds["zip"] == "number"
    with pytest.raises(DataError, match="column 'band' has struct.*neither number nor category"):
        raytl.dataset(data, target="risk")
    codes = data.assign(risk=pd.Categorical(np.arange(20) % 10 + 0.5)).drop(columns="band")
    labels = Dataset.open(raytl.dataset(codes, target="risk", test=None)).columns["risk"]
    assert labels.describe()["classes"][:2] == ["0.5", "1.5"]


def test_sparse_columns_and_missing_marks_of_pandas_are_read() -> None:
    data = frame().assign(
        hot=pd.arrays.SparseArray([0.0, 1.0] * 10),
        note=pd.Series(["x", pd.NA] * 10, dtype=object),
    )
    folder = raytl.dataset(data, target="risk", drop=("age", "town"), test=None)
    rows = rows_of(folder, "train", "table")
    assert np.array_equal(rows[:2], [[0, 0], [1, np.nan]], equal_nan=True)


def test_targets_in_another_order_than_their_rows_are_refused() -> None:
    rows, targets = frame()[["age"]], frame()["risk"]
    with pytest.raises(DataError, match=r"same index in different orders.*y\.loc\[X\.index\]"):
        raytl.dataset((rows.iloc[::-1], targets))
    kept = raytl.dataset((rows.iloc[::-1], targets[::-1]), test=None)
    assert rows_of(kept, "train", "table")[0] == 19.5
    raytl.dataset((rows.iloc[::-1], list(targets)))  # a list has no index


def test_texts_of_a_series_have_their_targets_in_the_same_order_too() -> None:
    texts, targets = frame()["town"], frame()["risk"]
    with pytest.raises(DataError, match="train: X and y have the same index in different orders"):
        raytl.dataset((texts[::-1], targets))
    raytl.dataset((texts[::-1], targets[::-1]))


def test_a_stream_of_arrow_is_read_as_its_table_is() -> None:
    table = pa.Table.from_pandas(frame())
    assert raytl.dataset(table.to_reader(), target="risk") == raytl.dataset(table, target="risk")
    pair = (table.drop(["risk"]).to_reader(), frame()["risk"])
    assert Dataset.open(raytl.dataset(pair, test=None)).split("train").rows == 20


def test_numbers_of_another_order_of_bytes_are_read() -> None:
    ages, risks = frame()["age"].to_numpy(">f8"), np.arange(20, dtype=">i4") % 4
    given = (frame().assign(age=ages, risk=risks.astype(kind)) for kind in (">i4", "i4"))
    assert len({raytl.dataset(data, target="risk") for data in given}) == 1
    rows = np.stack([ages, ages], 1)
    assert raytl.dataset((rows, risks)) == raytl.dataset((rows.astype("f8"), risks.astype("i4")))


@pytest.mark.parametrize("classes", [[0, 1], ["a,b", "c"]])
def test_names_of_classes_are_texts_without_a_comma(classes: Any) -> None:
    with pytest.raises(ConfigError, match="classes=: the names of classes are texts without a"):
        raytl.dataset(frame(), target="risk", classes=classes)
