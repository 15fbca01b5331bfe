"""Tables whose fields differ from those that a source model was made for: shared fields keep their
weights, and what became of the others is noted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from several_columns import COLUMNS, run_of, study_of, trained

from raytl.config import SourceModelConfig, TrialConfig
from raytl.data.writer import Chunk, write_dataset
from raytl.errors import ModelError
from raytl.modalities.table.column import Field, TableColumn
from raytl.modalities.table.transform import TableTransform
from raytl.models.opened_models import SourceModels
from raytl.models.source_model import SourceModel, load_source_model, save_source_model
from raytl.sweeping.preflight import preflight

AGE, PAY = Field(name="age", kind="number"), Field(name="pay", kind="number")
TOWN = Field(name="town", kind="category", categories=("Bonn", "Köln"))
TOWNS = Field(name="town", kind="category", categories=("Köln", "Ulm", "Bonn"))
OLD = TableColumn(fields=(AGE, PAY, TOWN))
NEW = TableColumn(fields=(TOWNS, PAY, Field(name="size", kind="number")))
NETS: dict[str, dict[str, Any]] = {
    "ft_transformer": {"backbone": "ft_transformer", "args": {"width": 8, "heads": 2, "depth": 2}},
    "mlp": {"backbone": "mlp", "args": {"width": 8, "depth": 2}},
}


def table(column: TableColumn, labels: np.ndarray, seed: int) -> np.ndarray:
    generator = np.random.default_rng(seed)
    rows = generator.normal(0, 1, (len(labels), len(column.fields)))
    for place, field in enumerate(column.fields):
        if field.kind == "category":
            rows[:, place] = generator.integers(0, len(field.categories), len(labels))
        if field.name == "pay":
            rows[:, place] += 3 * labels
    return rows


def write_table(out: Path, column: TableColumn, seed: int = 0) -> Path:
    labels = np.arange(60) % 2
    splits = {
        name: [Chunk({"table": table(column, labels, seed + n), "label": labels}, np.arange(60))]
        for n, name in enumerate(("train", "test"))
    }
    write_dataset(out, {"table": column, "label": COLUMNS["label"]}, splits, {})
    return out


@pytest.fixture(params=list(NETS))
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A source model of the old table."""
    study = study_of(write_table(tmp_path / "old", OLD), {"net": NETS[request.param]})
    run = run_of(study)
    run.judge(run.train())
    trial = TrialConfig(source_model="net")
    told = {"task": dict(run.parts.task.facts()), "mapper": trial.mapper, "head": trial.head}
    out = tmp_path / "model"
    save_source_model(out, run.parts.model, run.parts.spec.model_copy(update=told))
    return out


def load(path: Path, column: TableColumn, seed: int = 0) -> SourceModel:
    def sample(name: str) -> np.ndarray:
        return table(column, np.arange(40) % 2, 7)

    config = SourceModelConfig(path=path)
    return load_source_model("net", config, {"table": column}, sample, seed)


def state(model: SourceModel) -> dict[str, torch.Tensor]:
    return model.parts["table"].backbone.state_dict()


def towns(model: SourceModel) -> tuple[str, ...]:
    transform = model.parts["table"].transform
    assert isinstance(transform, TableTransform)
    return dict(transform.layout.categories)["town"]


def test_the_same_fields_are_read_as_they_were(stored: Path) -> None:
    model = load(stored, OLD)
    assert model.spec.parts["table"].note is None and not model.draws


def test_the_same_fields_in_another_order_are_no_other_fields(stored: Path) -> None:
    turned = TableColumn(fields=(TOWN, AGE, PAY))
    model, plain = load(stored, turned), load(stored, OLD)
    assert all(torch.equal(value, state(plain)[key]) for key, value in state(model).items())
    rows = table(OLD, np.arange(10) % 2, 3)
    with torch.no_grad():
        features = [
            one.parts["table"].backbone.eval()(one.parts["table"].transform(
                one.parts["table"].transform.prepare(values)
            ))
            for one, values in ((plain, rows), (model, rows[:, [2, 0, 1]]))
        ]  # fmt: skip
    torch.testing.assert_close(features[0], features[1])


def test_shared_fields_and_all_blocks_behind_keep_their_weights(stored: Path) -> None:
    old, new = state(load(stored, OLD)), state(load(stored, NEW))
    behind = [key for key in new if not key.startswith("blocks.0.")]
    pay = [key for key in new if ".fields." in key and "pay" in key]
    assert behind and pay
    for key in behind + pay:
        assert torch.equal(new[key], old[key]), key
    assert not any("age" in key for key in new) and any("size" in key for key in new)


def test_shared_categories_keep_theirs_wherever_they_stand(stored: Path) -> None:
    models = [load(stored, OLD), load(stored, NEW)]
    known = [towns(model) for model in models]
    assert set(known[0]) == {"Bonn", "Köln"} and set(known[1]) == {"Bonn", "Köln", "Ulm"}
    (key,) = (key for key in state(models[0]) if "town" in key and key.endswith("embedding"))
    old, new = (state(model)[key] for model in models)
    # Two codes, for unknown and missing, come before the categories.
    assert torch.equal(new[:2], old[:2])
    for town in known[0]:
        assert torch.equal(new[2 + known[1].index(town)], old[2 + known[0].index(town)])
    assert not (new[2 + known[1].index("Ulm")] == old).all(1).any()


def test_what_became_of_the_fields_is_noted(stored: Path, tmp_path: Path) -> None:
    model = load(stored, NEW)
    note = model.spec.parts["table"].note
    assert note is not None
    for words in ("2 fields transferred", "started fresh: size", "dropped: age", "town: Ulm"):
        assert words in note
    study = study_of(write_table(tmp_path / "new", NEW), {"net": {"path": stored}})
    assert run_of(study).parts.spec.parts["table"].note == note
    checked = preflight(study)
    assert checked.source_models["net"].parts["table"].note == note
    assert f"source_models.net: {note}" in checked.notes


def test_new_fields_are_drawn_by_seed_and_shared_ones_are_not(stored: Path) -> None:
    one, again, other = (state(load(stored, NEW, seed)) for seed in (1, 1, 2))
    for key, value in one.items():
        assert torch.equal(value, again[key])
        if "size" not in key and "town" not in key:
            assert torch.equal(value, other[key])
    drawn = [key for key in one if "size" in key and not torch.equal(one[key], other[key])]
    assert drawn
    models = SourceModels(
        {"net": SourceModelConfig(path=stored)}, {"table": NEW},
        lambda _: table(NEW, np.arange(40) % 2, 7),
    )  # fmt: skip
    assert models.open("net", 1) is models.open("net", 1)
    assert not torch.equal(*(state(models.open("net", seed))[drawn[0]] for seed in (1, 2)))


def test_a_trial_trains_on_other_fields_and_its_model_is_saved_and_loaded(
    stored: Path, tmp_path: Path
) -> None:
    study = study_of(write_table(tmp_path / "new", NEW), {"net": {"path": stored}})
    assert trained(study)[-1]["test/rows"] == 60
    run = run_of(study)
    save_source_model(tmp_path / "again", run.parts.model, run.parts.spec)
    again = load(tmp_path / "again", NEW)
    assert again.spec.parts["table"].note is None
    trained_state = run.parts.model.branch("table").backbone.state_dict()
    assert all(torch.equal(value, trained_state[key]) for key, value in state(again).items())


def test_a_source_domain_with_other_fields_is_read_by_name(stored: Path, tmp_path: Path) -> None:
    old, new = write_table(tmp_path / "source", OLD, 5), write_table(tmp_path / "target", NEW, 6)
    study = study_of(new, {"net": {"path": stored}}, source_domain={"dataset": old})
    metrics = trained(study, recipe="dann")
    assert np.isfinite(metrics[0]["train/loss/total"])


def test_tables_that_share_nothing_are_refused(stored: Path) -> None:
    with pytest.raises(ModelError, match="needs a field of the same name"):
        load(stored, TableColumn(fields=(Field(name="height", kind="number"),)))


def test_a_field_of_another_kind_is_refused(stored: Path) -> None:
    other = Field(name="pay", kind="category", categories=("low", "high"))
    with pytest.raises(ModelError, match="field 'pay' is a number .*a category in this"):
        load(stored, TableColumn(fields=(AGE, other)))
