"""What is refused, or left out, of domains and source models with several columns."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from several_columns import BILSTM, CLASSES, CNN, COLUMNS, parts_of, study_of, write_rows
from tests_support import write_images

from raytl.config import Study
from raytl.data.writer import Chunk, write_dataset
from raytl.errors import ConfigError, CorruptError, ModelError
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.table.column import Field, TableColumn
from raytl.models.source_model import save_source_model
from raytl.sweeping.preflight import preflight
from raytl.tasks.columns import LabelColumn
from raytl.training.pretrain import pretrain

TWO = {"net": {"parts": {"image": CNN, "text": BILSTM}}}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, both = tmp_path_factory.mktemp("columns"), {"image": "image", "text": "text"}
    return {
        "images": write_rows(folder / "images", {"image": "image"}, seed=1),
        "texts": write_rows(folder / "texts", {"text": "text"}, seed=2),
        "both": write_rows(folder / "both", both, seed=3),
        "others": write_rows(folder / "others", both, seed=4),
    }


def searched(*recipes: str, **keys: Any) -> dict[str, Any]:
    """A space of recipes and of other choices."""
    return {"recipe": {"choice": list(recipes)}} | {k: {"choice": v} for k, v in keys.items()}


def across(data: dict[str, Path], source: str, target: str, space: Any, **more: Any) -> Study:
    models = more.pop("source_models", TWO)
    return study_of(data[target], models, source_domain={"dataset": data[source]}, space=space,
                    **more)  # fmt: skip


def alone(study: Study) -> tuple[list[str], list[str]]:
    """Return which columns have a control of their own, and what is said of those left out."""
    checked = preflight(study)
    names = dict.fromkeys(name for name, _ in checked.controls if name.endswith("_alone"))
    return list(names), [note for note in checked.notes if "_alone" in note]


def test_each_column_alone_is_a_control_where_every_domain_has_it(data: dict[str, Path]) -> None:
    assert alone(across(data, "others", "both", searched("dann"))) == (
        ["image_alone", "text_alone"], [],
    )  # fmt: skip


def test_the_columns_of_every_source_model_are_controls(data: dict[str, Path]) -> None:
    models = dict.fromkeys(("first", "second"), TWO["net"])
    space = searched("finetune", source_model=["first", "second"])
    checked = preflight(across(data, "others", "both", space, source_models=models))
    found = {name: trial.source_model for name, trial in checked.controls if "alone" in name}
    assert found == {
        "image_alone": "first", "text_alone": "first",
        "second.image_alone": "second", "second.text_alone": "second",
    }  # fmt: skip


def test_a_column_that_the_source_domain_lacks_is_no_control_of_a_recipe_that_reads_both(
    data: dict[str, Path],
) -> None:
    names, notes = alone(across(data, "images", "both", searched("dann")))
    assert names == ["image_alone"]
    assert notes == [
        "the text_alone control is left out: dann reads the source domain, which has no column text"
    ]


def test_a_column_that_the_source_domain_lacks_is_a_control_of_a_recipe_that_does_not_read_it(
    data: dict[str, Path],
) -> None:
    names, notes = alone(across(data, "images", "both", searched("finetune")))
    assert names == ["image_alone", "text_alone"] and notes == []


def test_a_column_that_the_target_lacks_is_no_control(data: dict[str, Path]) -> None:
    names, notes = alone(across(data, "both", "texts", searched("finetune")))
    assert names == ["text_alone"]
    assert notes == ["the image_alone control is left out: the target domain has no column image"]


def test_a_taught_recipe_has_no_controls_of_single_columns(data: dict[str, Path]) -> None:
    models = TWO | {"small": {"parts": {"text": BILSTM}}}
    study = study_of(
        data["both"], models, defaults={"student": "small"},
        space=searched("relational_distillation", source_model=["net"]),
    )  # fmt: skip
    why = "left out: relational_distillation trains a student, whose columns are its own"
    names, notes = alone(study)
    assert names == []
    assert notes == [f"the {name}_alone control is {why}" for name in ("image", "text")]


def test_columns_of_a_stored_source_model_go_by_the_names_of_the_data(
    data: dict[str, Path], tmp_path: Path
) -> None:
    parts = parts_of(study_of(data["both"], TWO))
    save_source_model(tmp_path / "m", parts.model, parts.spec)
    renamed = write_rows(tmp_path / "renamed", {"photo": "image", "words": "text"}, seed=3)
    study = study_of(renamed, {"net": {"path": tmp_path / "m"}})
    assert alone(study) == (["photo_alone", "words_alone"], [])


@pytest.mark.parametrize(
    ("source", "target", "space", "message"),
    [
        ("images", "both", searched("dann", inputs=["all", "text"]),
         "space.inputs: recipe dann with source model net reads text alone, but .*/images has "
         "image; leave it out"),
        ("both", "texts", searched("finetune", inputs=["all", "image"]),
         "space.inputs: recipe finetune with source model net reads image alone, but .*/texts has "
         "text; leave it out"),
    ],
)  # fmt: skip
def test_a_column_alone_that_a_domain_lacks_is_refused(
    data: dict[str, Path], source: str, target: str, space: Any, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        preflight(across(data, source, target, space))


def test_a_column_alone_is_refused_only_where_it_meets_a_recipe_that_reads_both(
    data: dict[str, Path],
) -> None:
    space = searched("dann", "finetune", inputs=["all", "text"])
    with pytest.raises(ConfigError, match="recipe dann .* reads text alone"):
        preflight(across(data, "images", "both", space))
    space["inputs"]["when"] = {"recipe": "finetune"}
    preflight(across(data, "images", "both", space))


def test_without_target_labels_every_recipe_is_judged_by_source_rows(data: dict[str, Path]) -> None:
    models = {"net": {"parts": {"image": CNN}}, "small": TWO["net"]}
    space = searched("distillation", inputs=["text"], source_model=["net"])
    study = across(
        data, "images", "both", space, source_models=models, defaults={"student": "small"},
        target_domain={"dataset": data["both"], "labels": "none"},
    )  # fmt: skip
    with pytest.raises(ConfigError, match="with student small reads text alone, but .*/images"):
        preflight(study)


def test_a_column_that_a_source_model_lacks_is_refused_where_they_meet(
    data: dict[str, Path],
) -> None:
    models = TWO | {"words": {"parts": {"text": BILSTM}}}
    space = searched("finetune", source_model=["net", "words"], inputs=["all", "image"])
    with pytest.raises(ConfigError, match="source model words does not read 'image'; .*when"):
        preflight(study_of(data["both"], models, space=space))
    space["inputs"]["when"] = {"source_model": "net"}
    preflight(study_of(data["both"], models, space=space))


def test_adapters_are_refused_where_no_network_of_a_trial_has_a_layer_for_them(
    data: dict[str, Path],
) -> None:
    models = {"cnn": {"backbone": "text_cnn"}, "lstm": BILSTM}
    space = searched("finetune", "linear_probe", source_model=["cnn"], lora_rank=[0, 2])
    preflight(study_of(data["texts"], models, space=space))
    space["source_model"]["choice"].append("lstm")
    with pytest.raises(ConfigError, match=r"space\.lora_rank: .*which bilstm has none.*rank=2"):
        preflight(study_of(data["texts"], models, space=space))
    space["lora_rank"]["when"] = {"source_model": "cnn"}
    preflight(study_of(data["texts"], models, space=space))


def test_an_unknown_student_is_refused(data: dict[str, Path]) -> None:
    space, given = searched("relational_distillation"), {"student": "nett"}
    with pytest.raises(ConfigError, match="student: unknown source model 'nett'; did you mean"):
        preflight(study_of(data["both"], TWO, space=space, defaults=given))


@pytest.mark.parametrize("mapper", ["conv1x1", "attention"])
def test_a_mapper_of_maps_is_refused_where_it_meets_fused_columns(
    data: dict[str, Path], mapper: str
) -> None:
    space = searched("finetune", inputs=["all", "image"], mapper=["identity", mapper])
    message = f"space.mapper: {mapper} reads the maps or tokens of one column, but net has 2"
    with pytest.raises(ConfigError, match=message):
        preflight(study_of(data["both"], TWO, space=space))
    space["mapper"]["when"] = {"inputs": "image"}
    preflight(study_of(data["both"], TWO, space=space))


@pytest.mark.parametrize("option", ["flip", "crop"])
def test_augmentation_of_what_no_source_model_reads_is_refused(
    data: dict[str, Path], option: str
) -> None:
    train = {"augment": {option: 2 if option == "crop" else True}}
    message = rf"train.augment.{option}: changes rows of .*image.*, but the source models read text"
    with pytest.raises(ConfigError, match=message):
        preflight(study_of(data["texts"], {"net": BILSTM}, train=train))
    preflight(study_of(data["both"], TWO, train=train))


def test_a_source_model_must_read_the_rows_of_both_domains(
    data: dict[str, Path], tmp_path: Path
) -> None:
    odd, labels = tmp_path / "odd", np.arange(30) % 2
    rows = [(np.zeros((30, 8, 8, 2), np.uint8), labels)]
    image = ImageColumn(shape=(8, 8, 2), dtype="uint8")
    write_images(odd, image, CLASSES, {"train": rows, "test": rows})
    study = study_of(
        data["images"], {"net": CNN}, source_domain={"dataset": odd}, space=searched("finetune")
    )
    with pytest.raises(ModelError, match=r"source_models.net: .*odd.*images have 2"):
        preflight(study)


def test_stored_parts_are_compared_with_their_spec(data: dict[str, Path], tmp_path: Path) -> None:
    pretrain(data["images"], "small_cnn", tmp_path / "m", epochs=1, batch_size=8)
    models = {"net": {"parts": {"image": {"path": tmp_path / "m"}, "text": BILSTM}}}
    preflight(study_of(data["both"], models))
    weights = tmp_path / "m" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(CorruptError, match=r"source_models.net: .*SHA-256"):
        preflight(study_of(data["both"], models))


def test_a_mapper_of_tokens_where_a_network_gives_features(data: dict[str, Path]) -> None:
    bag = {"backbone": "bag_of_embeddings"}
    models = {"plain": bag, "net": BILSTM}
    space = searched("finetune", mapper=["identity", "attention"], source_model=["net", "plain"])
    study = study_of(data["texts"], models, space=space)
    with pytest.raises(ConfigError, match="space.mapper: attention .* of plain gives plain feat"):
        preflight(study)
    space["mapper"] |= {"when": {"source_model": "net"}}
    preflight(study_of(data["texts"], models, space=space))


def people(path: Path, *fields: str, kind: Literal["number", "category"] = "number") -> Path:
    """Write a table of these fields."""
    categories = ("a", "b") if kind == "category" else ()
    column = TableColumn(
        fields=tuple(Field(name=name, kind=kind, categories=categories) for name in fields)
    )
    columns = {"table": column, "label": LabelColumn(classes=CLASSES)}
    generator, splits = np.random.default_rng(list(path.name.encode())), {}
    for split in ("train", "test"):
        values = generator.integers(0, 2, (16, len(fields))) + 0.0
        values += 0.0 if categories else generator.random(values.shape)
        splits[split] = [Chunk({"table": values, "label": np.arange(16) % 2}, np.arange(16))]
    write_dataset(path, columns, splits, {})
    return path


def of_people(target: Path, source: Path) -> Study:
    model = {"net": {"backbone": "mlp"}}
    return study_of(target, model, source_domain={"dataset": source}, space=searched("dann"))


def test_tables_that_share_no_field_are_refused(tmp_path: Path) -> None:
    target = people(tmp_path / "target", "age", "pay")
    with pytest.raises(
        ConfigError,
        match="source_domain: column table: no field of its table is one of the target's: it has "
        "AGE, town, the target age, pay; rename fields that mean the same, AGE to age, say",
    ):
        preflight(of_people(target, people(tmp_path / "source", "AGE", "town")))
    with pytest.raises(ConfigError, match="the target age, pay; rename fields that mean the same$"):
        preflight(of_people(target, people(tmp_path / "other", "x1", "x2")))
    words = people(tmp_path / "words", "age", "town", kind="category")
    with pytest.raises(ConfigError, match="age is a category in it, but a number in the target"):
        preflight(of_people(target, words))


def test_tables_that_share_no_field_are_told_where_other_columns_are_shared(tmp_path: Path) -> None:
    fields = tuple(Field(name=name, kind="number") for name in "abcd")
    here, there = TableColumn(fields=fields[:2]), TableColumn(fields=fields[2:])
    names = {"table": "table", "text": "text"}
    target, source = (
        write_rows(tmp_path / name, names, seed, columns=COLUMNS | {"table": table})
        for seed, (name, table) in enumerate((("target", here), ("source", there)))
    )
    model = {"net": {"parts": {"table": {"backbone": "mlp"}, "text": BILSTM}}}
    study = study_of(target, model, source_domain={"dataset": source}, space=searched("dann"))
    told = [note for note in preflight(study).notes if "no field of its table" in note]
    assert len(told) == 1 and "it has c, d, the target a, b" in told[0]


def test_fields_of_one_table_alone_are_told(tmp_path: Path) -> None:
    target = people(tmp_path / "target", "age", "pay")
    checked = preflight(of_people(target, people(tmp_path / "source", "age", "town")))
    told = "1 shared; only in the target: pay; only in the source domain: town"
    assert f"source_domain: column table: fields: {told}" in checked.notes
    alike = preflight(of_people(target, people(tmp_path / "same", "pay", "age")))
    assert not [note for note in alike.notes if "shared" in note]
