"""A study of each kind of data: its text is a study, and passes raytl's own preflight."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from several_columns import BILSTM, CNN, parts_of, study_of, write_rows
from starting_support import (
    images_with_boxes,
    images_with_masks,
    language_pairs,
    lines_of_text,
    pictures,
    series_files,
    sounds_by_class,
    table,
)
from tests_support import write_images

import raytl
from raytl.config import Study, load_study
from raytl.data.dataset import Dataset
from raytl.errors import ConfigError, DataError, ModelError, UserError
from raytl.modalities.image.catalogue import build_backbone
from raytl.modalities.image.column import ImageColumn
from raytl.models.source_model import save_source_model
from raytl.search_space import SearchSpace
from raytl.starting import measuring
from raytl.starting.datasets import plain_name
from raytl.sweeping.preflight import preflight
from raytl.tasks.columns import LabelColumn


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Measure one step, stand in a folder of one's own, and know no cache of downloads."""
    monkeypatch.setattr(measuring, "SECONDS", 0.0)
    monkeypatch.chdir(tmp_path)
    for name in ("TORCH_HOME", "HF_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "no-cache"))


def new(data: Path | str, **options: Any) -> tuple[Study, str]:
    """Return the study that is written, and its text."""
    out = raytl.new(str(data), say=lambda text: None, **options)
    return load_study(out), out.read_text(encoding="utf-8")


MADE: dict[str, tuple[Callable[[Path], Path], str, str | None]] = {
    "pictures": (pictures, "classification", None),
    "sounds": (sounds_by_class, "classification", None),
    "loans.csv": (table, "classification", None),
    "lines.txt": (lines_of_text, "classification", None),
    "motions": (series_files, "classification", None),
    "scenes": (images_with_masks, "segmentation", None),
    "cells": (images_with_boxes, "detection", None),
    "en_de": (language_pairs, "translation", "de"),
}


def made(make: Callable[[Path], Path], place: Path) -> Path:
    place.parent.mkdir(parents=True)
    return make(place)


@pytest.mark.parametrize("name", list(MADE))
def test_a_study_of_each_kind_of_data(name: str, tmp_path: Path) -> None:
    make, task, target = MADE[name]
    study, text = new(made(make, tmp_path / "raw" / name), target=target, minutes=3)
    stem = name.partition(".")[0]
    assert study.study == stem
    assert study.target_domain.dataset == tmp_path / "data" / stem
    assert text.startswith(f"# {task.capitalize()}: ")
    assert "#     raytl shard " in text
    checked = preflight(study)  # as `raytl sweep` does, on the study as it was written
    assert checked.study.task == task
    assert checked.test_labels > 0


def domain(out: Path, splits: dict[str, int], classes: tuple[str, ...] = ("a", "b")) -> Path:
    """Write a dataset of 8 × 8 images whose classes take turns."""
    generator = np.random.default_rng(0)
    pairs = {
        name: [
            (generator.integers(0, 255, (rows, 8, 8, 1), dtype=np.uint8),
             np.arange(rows) % len(classes))
        ]
        for name, rows in splits.items()
    }  # fmt: skip
    write_images(out, ImageColumn(shape=(8, 8, 1), dtype="uint8"), classes, pairs)
    return out


def test_a_validation_split_is_used_and_stands_in_for_a_test_split(tmp_path: Path) -> None:
    three = domain(tmp_path / "three", {"train": 40, "val": 20, "test": 20})
    splits = new(three)[0].target_domain.splits
    assert (splits.validation, splits.test) == ("val", "test")
    study, text = new(domain(tmp_path / "two", {"train": 40, "val": 20}))
    assert (study.target_domain.splits.validation, study.target_domain.splits.test) == (None, "val")
    assert "No split is called test, so val is it" in text
    assert "Splits that are not read" not in text


def test_a_test_split_is_cut_from_what_plays_train(tmp_path: Path) -> None:
    pictures(tmp_path / "raw" / "Train", count=20)
    pictures(tmp_path / "flat", ("unknown",), count=4).joinpath("unknown").rename(
        tmp_path / "raw" / "Test"
    )
    splits = new(tmp_path / "raw", minutes=3)[0].target_domain.splits
    assert (splits.train, splits.test) == ("Train", "test")


def test_splits_that_are_not_read_are_told(tmp_path: Path) -> None:
    splits = {"train": 40, "test_2016": 20, "test_2017": 20, "extra": 20}
    study, text = new(domain(tmp_path / "many", splits))
    assert study.target_domain.splits.test == "test_2016"
    assert "# Splits that are not read: test_2017, extra." in text


def test_a_dataset_without_a_test_split_is_told_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no split is called test .*shard it again with --test 0.2"):
        new(domain(tmp_path / "one", {"train": 40}))
    assert not (tmp_path / "one.yaml").exists()


def test_too_few_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="rows of train >= 10 must hold.*got 6"):
        new(domain(tmp_path / "few", {"train": 6, "test": 6}))


def test_rows_of_one_class_are_refused(tmp_path: Path) -> None:
    out, image = tmp_path / "one", ImageColumn(shape=(8, 8, 1), dtype="uint8")
    pair = (np.zeros((20, 8, 8, 1), np.uint8), np.zeros(20, np.int64))
    write_images(out, image, ("a", "b"), {"train": [pair], "test": [pair]})
    with pytest.raises(DataError, match="all labelled rows of train are of class a"):
        new(out)


def test_no_labels_are_adapted_from_a_source_domain(tmp_path: Path) -> None:
    target = domain(tmp_path / "target", {"train": 40, "test": 20})
    source = domain(tmp_path / "source", {"train": 50})
    study, text = new(target, labels="none", source=str(source))
    assert study.source_domain is not None and not study.labelled
    space = study.space
    assert isinstance(space, dict)
    assert space["recipe"].choice == ("finetune", "dann", "mcc")
    assert space["adversarial_lambda"].when == {"recipe": "dann"}
    assert "Its labels are used for the verdict alone" in text
    assert study.search.objective == "auto"  # of one network


def flat(root: Path) -> Path:
    """Take files out of their class folders."""
    for path in sorted(root.rglob("*.*")):
        path.rename(root / f"{path.parent.name[0]}{path.name}")
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
    return root


@pytest.mark.parametrize(("make", "kind"), [(pictures, "image"), (sounds_by_class, "audio")])
def test_files_without_a_class_are_adapted_to(
    make: Callable[[Path], Path], kind: str, tmp_path: Path
) -> None:
    source, target = made(make, tmp_path / "raw" / "there"), flat(make(tmp_path / "here"))
    study, text = new(target, labels="none", source=str(source), minutes=3)
    classes = "cats,dogs" if kind == "image" else "high,low"
    assert f"raytl shard {kind}-folder {target} data/here --unlabelled" in text
    assert f"--test 0.2 --classes {classes}" in text
    dataset = Dataset.open(tmp_path / "data" / "here")
    assert dataset.columns["label"] == LabelColumn(classes=tuple(classes.split(",")), nulls=True)
    assert preflight(study).test_labels == 0
    assert "by the test split: without any there is none." in " ".join(
        text.replace("# ", "").split()
    )


def test_images_of_which_those_to_test_on_have_a_class(tmp_path: Path) -> None:
    source, target = pictures(tmp_path / "there"), pictures(tmp_path / "here" / "test").parent
    flat(pictures(target / "train"))
    study, text = new(target, labels="none", source=str(source), minutes=3)
    assert "--unlabelled" in text and "--test" not in text
    assert preflight(study).test_labels == 24


def test_several_networks_without_labels_are_selected_by_iwv(tmp_path: Path) -> None:
    for name, label in (("films", 0), ("phones", 1)):
        lines_of_text(tmp_path / f"{name}.txt", rows=40 + label)
    study, text = new(tmp_path / "films.txt", labels="none", source=str(tmp_path / "phones.txt"))
    assert study.search.objective == "iwv"
    assert study.source_domain is not None
    assert study.source_domain.dataset == tmp_path / "data" / "phones"
    assert "raytl shard text-lines" in text and "--classes 0,1" in text


def test_no_labels_without_a_source_domain_are_refused(tmp_path: Path) -> None:
    target = domain(tmp_path / "target", {"train": 40, "test": 20})
    with pytest.raises(ConfigError, match="give a labelled source domain with --source DATA2"):
        new(target, labels="none")
    with pytest.raises(ConfigError, match="--labels >= 2 must hold.*got 1"):
        new(target, labels=1)


def test_few_labels_are_halved_between_learning_and_selecting(tmp_path: Path) -> None:
    study, _ = new(domain(tmp_path / "target", {"train": 40, "test": 20}), labels=8)
    assert study.target_domain.labels == 8
    assert study.target_domain.validation_fraction == 0.5


def test_of_few_labels_the_others_are_not_looked_at(tmp_path: Path) -> None:
    rows = "".join(f"{n % 7},{'often' if n % 8 else 'rare'}\n" for n in range(160))
    (tmp_path / "t.csv").write_text(f"size,label\n{rows}")
    study, text = new(tmp_path / "t.csv", labels=8, minutes=3)
    assert isinstance(study.space, dict) and "class_weights" not in study.space
    assert "label (2 classes: often, rare), from" in text


@pytest.mark.parametrize("labels", ["few", 8.5, "8", True])
def test_labels_that_are_none_are_refused_before_anything_is_written(
    labels: Any, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="--labels must be all, none, or a number of labels"):
        new(table(tmp_path / "loans.csv"), labels=labels)
    assert not (tmp_path / "data").exists()


def test_one_source_model_may_stand_alone(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="--source-model: weights: no such file or folder"):
        new(table(tmp_path / "loans.csv"), source_models="weights")


def test_a_source_domain_of_other_classes_or_columns_is_refused(tmp_path: Path) -> None:
    target = domain(tmp_path / "target", {"train": 40, "test": 20})
    other = domain(tmp_path / "other", {"train": 40}, ("a", "c"))
    with pytest.raises(DataError, match="its classes are a, c, but the target's a, b"):
        new(target, source=str(other))
    loans = table(tmp_path / "loans.csv")
    raytl.shard("table", str(loans), tmp_path / "loans", target="target")
    with pytest.raises(DataError, match=r"has table \(table\), but the target has image"):
        new(target, source=str(tmp_path / "loans"))
    assert not (tmp_path / "target.yaml").exists()


def test_a_study_is_not_replaced_unasked(tmp_path: Path) -> None:
    target = domain(tmp_path / "target", {"train": 40, "test": 20})
    (tmp_path / "target.yaml").write_text("mine")
    with pytest.raises(UserError, match="exists already; give another --out, or replace it with"):
        new(target)
    assert (tmp_path / "target.yaml").read_text() == "mine"
    new(target, force=True)


def test_a_study_never_replaces_the_data(tmp_path: Path) -> None:
    table = tmp_path / "loans.csv"
    table.write_text("age,bad\n" + "\n".join(f"{i},{'yes' if i % 3 else 'no'}" for i in range(40)))
    before = table.read_bytes()
    with pytest.raises(UserError, match="is what is read here"):
        new(table, out=table, force=True)
    assert table.read_bytes() == before


def test_raw_data_are_sharded_once(tmp_path: Path) -> None:
    raw, told = pictures(tmp_path / "raw" / "pets"), list[str]()
    new(raw)
    written = (tmp_path / "data" / "pets" / "dataset.json").stat().st_mtime_ns
    raytl.new(str(raw), "again.yaml", say=told.append)
    assert (tmp_path / "data" / "pets" / "dataset.json").stat().st_mtime_ns == written
    assert "was written from" in told[0]


def test_raw_data_of_the_same_name_leave_each_other_as_they_are(tmp_path: Path) -> None:
    raw, other = pictures(tmp_path / "raw" / "pets"), pictures(tmp_path / "other" / "pets")
    new(raw)
    files = {file: file.read_bytes() for file in (tmp_path / "data" / "pets").iterdir()}
    for _ in range(2):  # the same again is the same place
        study, _ = new(other, source=str(raw), out="other.yaml", force=True)
        assert study.source_domain is not None
        # The source domain has all its rows to learn from, and so is another dataset
        assert study.target_domain.dataset == tmp_path / "data" / "pets-2"
        assert study.source_domain.dataset == tmp_path / "data" / "pets-3"
    assert files == {file: file.read_bytes() for file in (tmp_path / "data" / "pets").iterdir()}
    with pytest.raises(UserError, match="a dataset of something else stands here"):
        new(raw, out="third.yaml", data_out=tmp_path / "data" / "pets-2")
    with pytest.raises(ConfigError, match="--source: its dataset would be .*, which is the target"):
        new(raw, out="third.yaml", source=str(raw))


def test_raw_data_that_stand_in_data_stay_there(tmp_path: Path) -> None:
    raw = pictures(tmp_path / "data" / "pets")
    study, _ = new(raw)
    assert study.target_domain.dataset == tmp_path / "data" / "pets_shards"
    assert (raw / "cats").is_dir()


def test_what_cannot_be_sharded_says_the_command(tmp_path: Path) -> None:
    path = tmp_path / "broken.csv"
    path.write_text("a,label\n1,x\n2,y,3\n")
    with pytest.raises(DataError, match="2 columns were expected"):
        new(path)
    lines = "".join(f"{n},c{n}\n" for n in range(30))
    path.write_text(f"a,label\n{lines}")
    with pytest.raises(
        DataError,
        match="(?s)a class of its own.*`raytl shard table .*and give data/broken in place",
    ):
        new(path)


def test_weights_are_told_by_their_names_and_tried(tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    network = build_backbone("small_cnn", (3, 16, 16))
    torch.save(network.state_dict(), folder / "my_net.pth")
    (folder / "broken.pth").write_bytes(b"no weights")
    raw = pictures(tmp_path / "raw" / "pets")
    study, text = new(raw, source_models=[folder])
    assert list(study.source_models) == ["my_net", "fresh_small_cnn"]
    assert "# Broken is not taken: " in text
    space = study.space
    assert isinstance(space, dict)
    assert space["frozen_depth"].when == {"source_model": ["my_net"]}
    assert space["frozen_depth"].choice == ("100%", "50%", 0)
    whole = SearchSpace(study)
    assert whole.resolve(whole.default_params() or {}).frozen_depth == "100%"  # trial 0


def test_source_models_that_do_not_fit_or_are_not_there_are_refused(tmp_path: Path) -> None:
    raw = table(tmp_path / "loans.csv")
    with pytest.raises(ModelError, match="nowhere: no such file or folder"):
        new(raw, source_models=["nowhere"])
    (tmp_path / "net.pth").write_bytes(b"no weights")
    with pytest.raises(ModelError, match="nothing that was given fits the data"):
        new(raw, source_models=["net.pth"])


def test_a_source_model_of_several_columns_is_taken_whole(tmp_path: Path) -> None:
    both = write_rows(tmp_path / "both", {"image": "image", "text": "text"})
    parts = parts_of(study_of(both, {"net": {"parts": {"image": CNN, "text": BILSTM}}}))
    save_source_model(tmp_path / "sources" / "fused", parts.model, parts.spec)
    study, text = new(both, source_models=[tmp_path / "sources"], minutes=3)
    assert list(study.source_models) == ["fused", "fresh"]
    assert study.source_models["fused"].path == tmp_path / "sources" / "fused"
    assert "is not taken" not in text
    preflight(study)
    texts = write_rows(tmp_path / "texts", {"text": "text"})
    with pytest.raises(
        ModelError, match="nothing that was given fits the data: fused is not taken"
    ):
        new(texts, source_models=[tmp_path / "sources"], minutes=3)


def test_minutes_must_be_some(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--minutes > 0 must hold, got 0"):
        new(domain(tmp_path / "target", {"train": 40, "test": 20}), minutes=0)


def test_names_of_others_stay_inside_comments_and_values(tmp_path: Path) -> None:
    classes = ("a: {b}\n- c", "\x07 # d")
    study, text = new(domain(tmp_path / "odd name: x", {"train": 40, "test": 20}, classes))
    assert study.study == "odd_name_x"
    assert all(letter == "\n" or letter.isprintable() for letter in text)


def test_a_rare_class_is_said_with_its_metric(tmp_path: Path) -> None:
    rows = "".join(f"{n % 17},{n % 5},{'yes' if n % 20 == 0 else 'no'}\n" for n in range(400))
    (tmp_path / "fraud.csv").write_text(f"a,b,label\n{rows}")
    _, text = new(tmp_path / "fraud.csv")
    told = " ".join(text.replace("\n# ", " ").split())
    assert "The metric is average_precision, as class 1 is rare" in told


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("photos", "photos"),
        ("data/photos/", "photos"),
        ("../loans.csv.gz", "loans"),
        ("s3://bucket/data/ants?region=x", "ants"),
        ("my data (2).csv", "my_data_2"),
        ("---", "study"),
    ],
)
def test_a_study_is_called_after_its_data(data: str, name: str) -> None:
    assert plain_name(data) == name


@pytest.mark.parametrize("known", [0, 12])
def test_a_target_without_labels_has_the_sources_classes(known: int, tmp_path: Path) -> None:
    source = table(tmp_path / "there.csv")
    head, *rows = table(tmp_path / "here.csv", rows=61).read_text().splitlines()
    kept = [row if n < known else row.rpartition(",")[0] + "," for n, row in enumerate(rows)]
    (tmp_path / "here.csv").write_text("\n".join([head, *kept]) + "\n")
    study, text = new(tmp_path / "here.csv", labels="none", source=str(source), minutes=3)
    assert "--target target --unlabelled --test 0.2 --classes no,yes" in text
    assert Dataset.open(tmp_path / "data" / "here").columns["target"].task == "classification"
    assert preflight(study).study.task == "classification"


def test_a_class_of_which_one_row_is_left_to_learn_from_is_named(tmp_path: Path) -> None:
    rows = [f"{n},{'abc'[min(n // 40, 2)]}" for n in range(82)]
    (tmp_path / "t.csv").write_text("\n".join(["age,label", *rows]) + "\n")
    with pytest.raises(DataError, match=r"class c has one row in train .* and needs two"):
        new(tmp_path / "t.csv", target="label")


def test_signs_of_scripts_without_spaces_are_counted_as_tokens(tmp_path: Path) -> None:
    path = tmp_path / "films.txt"
    lines = (f"{'这部电影非常好看' * 8}{row}\t{'ab'[row % 2]}" for row in range(40))
    path.write_text("\n".join(lines), encoding="utf-8")
    study, _ = new(path, minutes=3)
    lengths = {model.transform["max_length"] for model in study.source_models.values()}
    assert lengths == {96}
