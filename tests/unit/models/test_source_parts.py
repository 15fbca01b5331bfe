"""Source models in parts, one for each column: names, seeds, what a trial reads of them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from several_columns import (
    BILSTM,
    CNN,
    COLUMNS,
    GRU,
    run_of,
    study_of,
    trained,
    values_of,
    write_rows,
)

from raytl.config import SourceModelConfig, TrialConfig
from raytl.errors import ConfigError, ModelError
from raytl.modalities.backbone import Backbone
from raytl.modalities.registry import modality_of
from raytl.models.opened_models import SourceModels
from raytl.models.source_folder import load_complete_model
from raytl.models.source_model import SourceModel, load_source_model, save_source_model
from raytl.sweeping.preflight import preflight
from raytl.training.building import TrialParts

PARTS = {"parts": {"image": CNN, "text": BILSTM}}
THREE = {"parts": {"image": CNN, "text": BILSTM, "series": GRU}}
INPUTS = {"image": "image", "text": "text", "series": "series"}


def sample(column: str) -> np.ndarray:
    return values_of(column, np.arange(20) % 2, 0)


def load(config: dict[str, Any], seed: int = 0, *names: str) -> SourceModel:
    columns = {name: COLUMNS[name] for name in names or INPUTS}
    return load_source_model("net", SourceModelConfig.model_validate(config), columns, sample, seed)


def weights(model: SourceModel, column: str) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parts[column].backbone.parameters()])


HUGE = 10**15  # of which a machine does not hold a first vector, so that none is begun


@pytest.mark.parametrize(
    ("column", "network"),
    [("table", {"backbone": "mlp", "args": {"width": HUGE}}),
     ("series", {"backbone": "gru", "args": {"width": HUGE}}),
     ("text", BILSTM | {"args": {"hidden": HUGE}}),
     ("image", {"backbone": "small_cnn", "args": {"width": HUGE}})],
)  # fmt: skip
def test_a_network_that_memory_does_not_hold_is_refused(
    column: str, network: dict[str, Any]
) -> None:
    with pytest.raises(ModelError, match=rf"cannot be built .*{HUGE}"):
        load(network, 0, column)


def test_an_error_of_memory_may_have_no_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*of: Any) -> Backbone:
        raise MemoryError

    monkeypatch.setattr(type(modality_of(COLUMNS["series"])), "build", build)
    with pytest.raises(ModelError, match="gru cannot be built with args .*: MemoryError; ask for"):
        load(GRU, 0, "series")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "target", INPUTS)


def save(parts: TrialParts, out: Path, trial: TrialConfig) -> Path:
    """Write what a trial trains as a source model that can predict."""
    told = {
        "task": dict(parts.task.facts()), "mapper": trial.mapper, "head": trial.head,
        "fusion": trial.fusion,
    }  # fmt: skip
    save_source_model(out, parts.model, parts.spec.model_copy(update=told))
    return out


def test_each_part_reads_its_column_and_other_columns_are_not_read() -> None:
    model = load(PARTS)
    assert list(model.parts) == list(model.spec.parts) == ["image", "text"]
    assert [part.modality.name for part in model.parts.values()] == ["image", "text"]
    assert model.spec.backbone == "small_cnn + bilstm" and model.spec.weights_sha256 is None
    assert not model.transferred


def test_a_part_that_is_not_among_the_inputs_is_refused() -> None:
    with pytest.raises(ModelError, match=r"parts.txt: .* no column 'txt'; did you mean 'text'\?"):
        load({"parts": {"image": CNN, "txt": BILSTM}})


def test_what_is_wrong_with_a_part_names_it() -> None:
    with pytest.raises(ModelError, match="parts.text: unknown backbone 'bilsm'.*'bilstm'"):
        load({"parts": {"image": CNN, "text": {"backbone": "bilsm"}}})


def test_a_plain_source_model_does_not_say_which_of_several_columns_it_reads() -> None:
    with pytest.raises(ModelError, match=r"reads one column, but the domains have 3 .*parts: \{im"):
        load(CNN)


def test_parts_of_parts_and_options_beside_parts_are_refused() -> None:
    for config, message in (
        ({"parts": {"image": PARTS}}, "no parts or grafts again"),
        (PARTS | {"args": {"width": 4}}, "each of parts has its own args"),
        (PARTS | {"backbone": "bilstm"}, "give exactly one of"),
        ({"parts": {}}, "at least 1 item"),
    ):
        with pytest.raises(ValueError, match=message):
            SourceModelConfig.model_validate(config)


def test_fresh_parts_are_drawn_by_seed_each_by_its_own() -> None:
    two = {"image": COLUMNS["series"], "text": COLUMNS["series"]}
    config = SourceModelConfig.model_validate({"parts": {"image": GRU, "text": GRU}})

    def drawn(seed: int) -> SourceModel:
        return load_source_model("net", config, two, lambda _: sample("series"), seed)

    one, again, other = drawn(1), drawn(1), drawn(2)
    for column in ("image", "text"):
        assert torch.equal(weights(one, column), weights(again, column))
        assert not torch.equal(weights(one, column), weights(other, column))
    assert not torch.equal(weights(one, "image"), weights(one, "text"))


def test_reading_one_column_gives_its_part_alone() -> None:
    model = load(PARTS)
    one = model.reading("text")
    assert list(one.parts) == list(one.spec.parts) == ["text"]
    assert one.parts["text"] is model.parts["text"]
    assert list(model.spec.parts) == ["image", "text"] and model.reading("all") is model
    with pytest.raises(ModelError, match="inputs: net does not read 'txt'; did you mean 'text'"):
        model.reading("txt")


def models_of(config: dict[str, Any], columns: dict[str, Any] = COLUMNS) -> SourceModels:
    inputs = {name: columns[name] for name in INPUTS}
    return SourceModels({"net": SourceModelConfig.model_validate(config)}, inputs, sample)


@pytest.fixture
def stored(tmp_path: Path, target: Path) -> Path:
    """A source model of images in a folder."""
    study = study_of(target, {"net": PARTS})
    run = run_of(study, inputs="image")
    return save(run.parts, tmp_path / "stored", TrialConfig(source_model="net"))


def test_a_fresh_part_beside_a_transferred_one_is_drawn_by_seed(stored: Path) -> None:
    models = models_of({"parts": {"image": {"path": stored}, "text": BILSTM}})
    one, again, other = models.open("net", 1), models.open("net", 1), models.open("net", 2)
    assert one is again and one.transferred and one.draws
    assert not torch.equal(weights(one, "text"), weights(other, "text"))
    # What is not drawn is read once.
    assert one.parts["image"].backbone is other.parts["image"].backbone


def test_what_draws_nothing_is_opened_once_for_all_seeds(stored: Path) -> None:
    models = models_of({"parts": {"image": {"path": stored}}})
    assert not models.open("net", 1).draws
    assert models.open("net", 1) is models.open("net", 2)
    fresh = [models.open_fresh("net", seed) for seed in (1, 1, 2)]
    assert fresh[0] is fresh[1]
    assert not torch.equal(weights(fresh[0], "image"), weights(fresh[2], "image"))
    assert not torch.equal(weights(fresh[0], "image"), weights(models.open("net", 1), "image"))


def test_scratch_draws_every_part_anew(stored: Path) -> None:
    models = models_of({"parts": {"image": {"path": stored}, "text": BILSTM}})
    model, fresh = models.open("net", 1), models.open_fresh("net", 1)
    for column in ("image", "text"):
        assert not torch.equal(weights(model, column), weights(fresh, column))
    assert not fresh.transferred and fresh.spec.weights_sha256 is None
    text = fresh.parts["text"].transform
    assert text.facts() == model.parts["text"].transform.facts()


def test_a_trial_reads_the_columns_that_it_names(target: Path) -> None:
    study = study_of(target, {"net": THREE})
    for inputs, branches in (("all", list(INPUTS)), ("series", ["series"])):
        run = run_of(study, inputs=inputs)
        assert list(run.parts.model.named_branches) == branches
        batch = next(run.feeds["labelled"].train_batches())
        assert list(batch.inputs) == branches
    with pytest.raises(ModelError, match="inputs: net does not read 'table'"):
        run_of(study, inputs="table")


def test_a_trial_of_one_column_is_the_trial_of_its_source_model_alone(target: Path) -> None:
    columns = {"dataset": target, "inputs": ["image"], "labels": "all"}
    alone = study_of(target, {"net": {"parts": {"image": CNN}}}, target_domain=columns)
    one = trained(study_of(target, {"net": PARTS}), inputs="image")
    assert one == trained(alone)


def test_a_domain_reads_a_subset_of_its_columns(target: Path) -> None:
    domain = {"dataset": target, "inputs": ["text", "series"], "labels": "all"}
    study = study_of(target, {"net": THREE}, target_domain=domain)
    with pytest.raises(ModelError, match="parts.image: parts must be among the inputs"):
        run_of(study)
    two = {"parts": {"series": GRU, "text": BILSTM}}
    run = run_of(study_of(target, {"net": two}, target_domain=domain))
    assert list(run.parts.model.named_branches) == ["series", "text"]


@pytest.mark.parametrize("fusion", ["concat", "gated", "mean"])
def test_a_model_of_two_columns_is_saved_with_its_fusion(
    fusion: str, target: Path, tmp_path: Path
) -> None:
    study = study_of(target, {"net": PARTS})
    run = run_of(study, fusion=fusion, fusion__dropout=0.3)
    run.train()
    run.judge({})
    trial = TrialConfig.from_flat({"source_model": "net", "fusion": fusion})
    out = save(run.parts, tmp_path / "out", trial)
    complete = load_complete_model(out).model.eval()
    model, batch = run.parts.model.eval(), next(run.feeds["labelled"].train_batches())
    inputs = {
        name: branch.transform.prepare(
            run.material.domains.target.split("train").read(name, [1, 2])
        )
        for name, branch in model.named_branches.items()
    }
    from raytl.rows import Given

    given = {name: Given(rows) for name, rows in inputs.items()}
    with torch.no_grad():
        assert torch.equal(complete(given).out, model(given).out)
    assert len(batch.id) == 8
    again = load({"path": out}, 0)
    assert list(again.parts) == ["image", "text"] and again.transferred and not again.draws


def test_a_stored_model_of_two_columns_needs_both(target: Path, tmp_path: Path) -> None:
    run = run_of(study_of(target, {"net": PARTS}))
    out = save(run.parts, tmp_path / "out", TrialConfig(source_model="net"))
    with pytest.raises(ModelError, match=r"reads image \(image\), text \(text\), but the domains"):
        load({"path": out}, 0, "image", "series")


def test_depth_by_branch_is_a_key_of_its_own() -> None:
    trial = TrialConfig.from_flat(
        {"source_model": "net", "frozen_depth": 1, "frozen_depth.text": "50%"}
    )
    assert trial.branch_depths == {"text": "50%"} and trial.frozen_depth == 1
    assert trial.flat()["frozen_depth.text"] == "50%"
    assert TrialConfig.from_flat(trial.flat()) == trial
    assert trial.replace(frozen_depth__text=2).branch_depths == {"text": 2}
    with pytest.raises(ValueError, match="a number of blocks >= 0"):
        TrialConfig.from_flat({"source_model": "net", "frozen_depth.text": -1})


def test_depth_by_branch_freezes_that_branch_and_the_plain_one_the_others(target: Path) -> None:
    study = study_of(target, {"net": THREE})
    flat: dict[str, Any] = {
        "frozen_depth": "100%",
        "frozen_depth__text": 1,
        "frozen_depth__image": "50%",
    }
    branches = run_of(study, **flat).parts.model.named_branches
    frozen = {name: sorted(branch.frozen) for name, branch in branches.items()}
    assert frozen == {"image": [0, 1], "text": [0], "series": [0, 1]}


Space = dict[str, Any]


@pytest.fixture
def checked(target: Path) -> Callable[[Space], Any]:
    def check(space: Space, **more: Any) -> Any:
        search = {"search": {"trials": 2, "sampler": "random"}}
        return preflight(study_of(target, {"net": PARTS}, space=space, **search, **more))

    return check


def test_depth_by_branch_can_be_searched(checked: Callable[..., Any]) -> None:
    space = checked({"frozen_depth.text": {"choice": [0, 2, "100%"]}}).space
    trial = space.resolve({"frozen_depth.text": 2})
    assert trial.branch_depths == {"text": 2}
    assert space.default_params() == {"frozen_depth.text": 0}
    assert space.resolve({}).branch_depths == {}


def test_the_plain_depth_is_not_that_of_a_column_that_has_its_own(
    checked: Callable[..., Any],
) -> None:
    space = {"frozen_depth": {"choice": [4]}, "frozen_depth.text": {"int": [0, 3]}}
    assert checked(space).source_models["net"].parts["text"].blocks == 3
    own = space["frozen_depth.text"] | {"when": {"frozen_depth": 4}}
    checked(space | {"frozen_depth.text": own})
    with pytest.raises(ConfigError, match="space.frozen_depth: .*4 for bilstm with 3"):
        checked(
            space
            | {
                "frozen_depth": {"choice": [2, 4]},
                "frozen_depth.text": own | {"when": {"frozen_depth": 2}},
            }
        )


def test_a_column_alone_is_frozen_as_trials_of_its_source_model_are(target: Path) -> None:
    space = {
        "source_model": {"choice": ["net", "fresh"]},
        "frozen_depth": {"choice": ["100%", "50%"], "when": {"source_model": "net"}},
    }
    more = {"defaults": {"source_model": "net"}, "search": {"trials": 2, "sampler": "random"}}
    study = study_of(target, {"net": PARTS, "fresh": PARTS}, space=space, **more)
    depths = {name: trial.frozen_depth for name, trial in preflight(study).controls}
    assert {depths[f"{column}_alone"] for column in ("image", "text")} == {"100%"}
    assert {depths[f"fresh.{column}_alone"] for column in ("image", "text")} == {"0%"}


REFUSED: dict[str, tuple[Space, dict[str, Any], str]] = {
    "an unknown column": (
        {"frozen_depth.txt": {"choice": [0, 1]}}, {}, "no source model reads a column 'txt'.*text"
    ),
    "an unknown column among the defaults": (
        {"optimizer.lr": {"choice": [0.1]}}, {"defaults": {"frozen_depth.series": 1}},
        "frozen_depth.series: no source model reads a column 'series'",
    ),
    "no column": ({"frozen_depth.": {"choice": [0, 1]}}, {}, "unknown key 'frozen_depth.'"),
    "no depth": ({"frozen_depth.text": {"choice": ["deep"]}}, {}, "got 'deep'"),
    "more blocks than the column's network has": (
        {"frozen_depth.text": {"choice": [0, 9]}}, {}, "frozen_depth.text.*9 for bilstm with 3",
    ),
    "a range beyond the column's network": (
        {"frozen_depth.text": {"int": [0, 9]}}, {}, "frozen_depth.text.*9 for bilstm with 3",
    ),
    "more blocks among the defaults": (
        {"optimizer.lr": {"choice": [0.1]}}, {"defaults": {"frozen_depth.image": 9}},
        "frozen_depth.image.*9 for small_cnn with 4",
    ),
    "a column that no source model reads": (
        {"inputs": {"choice": ["all", "txt"]}}, {}, "inputs.*'txt'.*text",
    ),
    "maps of several columns": ({"mapper": {"choice": ["conv1x1"]}}, {}, "of one column"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_no_trial_could_be_is_refused_before_any_starts(
    case: str, checked: Callable[..., Any]
) -> None:
    space, more, message = REFUSED[case]
    with pytest.raises((ConfigError, ModelError), match=message):
        checked(space, **more)


def test_a_folder_says_which_part_is_which(target: Path, tmp_path: Path) -> None:
    run = run_of(study_of(target, {"net": PARTS}))
    out = save(run.parts, tmp_path / "out", TrialConfig(source_model="net"))
    content = json.loads((out / "source.json").read_text())
    assert content["parts"]["text"]["modality"] == "text" and content["fusion"]["name"] == "concat"
    # Another dataset calls its only image otherwise.
    columns = {"photo": COLUMNS["image"], "text": COLUMNS["text"]}
    config = SourceModelConfig(path=out)
    model = load_source_model("net", config, columns, lambda c: sample("image"), 0)
    assert list(model.parts) == list(model.spec.parts) == ["photo", "text"]
