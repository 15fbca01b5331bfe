"""What makes no sense for a target is refused by name and remedy before anything starts."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from values_support import IMAGE, brightness, study_of, write_classes, write_targets, write_values

from raytl.config import TASK_FACTS, Study, TrialConfig
from raytl.errors import ConfigError, DataError
from raytl.recipes import RECIPES
from raytl.reporting.terminal import ranking_table
from raytl.sweeping.opening import open_study
from raytl.sweeping.preflight import preflight
from raytl.sweeping.ranked import order
from raytl.sweeping.ranking import rank_source_models
from raytl.tasks.box_column import EMPTY, BoxColumn
from raytl.tasks.columns import LabelColumn, ValueColumn
from raytl.tasks.steps_column import StepsColumn


@pytest.fixture
def values(tmp_path: Path) -> tuple[Path, Path]:
    return write_values(tmp_path / "source", 0), write_values(tmp_path / "target", 1)


def none(target: Path) -> dict[str, Any]:
    return {"target_domain": {"dataset": target, "labels": "none"}}


def test_recipes_that_need_classes_are_refused_for_values(values: tuple[Path, Path]) -> None:
    given = TASK_FACTS["regression"].gives
    needing = {name: recipe.needs - given for name, recipe in RECIPES.items()}
    needing = {n: missing for n, missing in needing.items() if missing and missing != {"steps"}}
    assert needing.keys() == {"cdan", "mdd", "mcc", "tradaboost", "entropy_minimisation"}
    for recipe, (needed,) in sorted(needing.items()):
        space = {"recipe": {"choice": ["finetune", recipe]}}
        with pytest.raises(
            ConfigError,
            match=f"space.recipe: recipe {recipe} needs {needed}, but the target column 'target' "
            "holds values; leave it out, and take finetune",
        ):
            preflight(study_of(*values, space=space))


def test_what_is_to_be_taken_instead_is_no_control_that_is_refused_too(
    values: tuple[Path, Path],
) -> None:
    for space in ({"recipe": {"choice": ["mcc"]}}, {"head": {"choice": ["unet"]}}):
        with pytest.raises(ConfigError, match="take .*") as caught:
            preflight(study_of(*values, space=space))
        taken = str(caught.value).partition("take ")[2].split(" or ")
        assert "linear_probe" in taken or "linear" in taken
        assert not {*taken} & {"constant", "naive", "seasonal_naive"}


@pytest.mark.parametrize(
    ("space", "text"),
    [
        ({"class_weights": {"choice": ["balanced"]}}, "space.class_weights: balanced weighs class"),
        (
            {"mapper": {"choice": ["matrix"]}, "mapper.fit": {"choice": ["class_means"]}},
            "space.mapper.fit: class_means maps the means of classes",
        ),
    ],
)
def test_options_that_need_classes_are_refused_for_values(
    values: tuple[Path, Path], space: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        preflight(study_of(*values, space=space))


@pytest.mark.parametrize(
    ("search", "text"),
    [
        ({"objective": "bnm"}, "search.objective: bnm needs probabilities, which a regression"),
        ({"objective": "target_entropy"}, "target_entropy needs class probabilities"),
    ],
)
def test_judges_that_need_classes_are_refused_for_values(
    values: tuple[Path, Path], search: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        preflight(study_of(*values, search=search, **none(values[1])))


def test_rankings_that_need_classes_are_refused_for_values(values: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match=r"search.ranking: h_score needs classes.*log_me"):
        preflight(study_of(*values, search={"ranking": "h_score"}))
    assert preflight(study_of(*values, search={"ranking": "log_me"}))


def test_controls_that_are_left_out_are_named(values: tuple[Path, Path]) -> None:
    notes = preflight(study_of(*values)).notes
    assert notes == tuple(
        f"the {name} control is left out: {name} needs a pretrained source model"
        for name in ("linear_probe", "target_only")
    )


def test_a_constant_answer_is_a_control_and_nothing_to_search_for(
    values: tuple[Path, Path],
) -> None:
    for key, value in (("recipe", "constant"), ("head", "constant")):
        with pytest.raises(ConfigError, match="recipe constant and head constant go together"):
            preflight(study_of(*values, space={key: {"choice": [value]}}))
    assert TrialConfig.from_flat({"source_model": "x", "recipe": "constant", "head": "constant"})


def splits(**targets: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    return {name: (brightness(len(of), 0)[0], of) for name, of in targets.items()}


def test_targets_that_are_all_alike_are_refused_before_anything_starts(tmp_path: Path) -> None:
    ramp, flat = np.linspace(0, 1, 40), np.full(40, 3.0)
    for name, train, test, text in (
        ("a", flat, ramp, "target_domain: a regression needs .* 32 rows are all alike"),
        ("b", ramp, flat, "target_domain.splits.test: the target values of 'test' are all alike"),
    ):
        target = write_targets(tmp_path / name, ValueColumn(), splits(train=train, test=test))
        with pytest.raises(DataError, match=text):
            preflight(study_of(None, target, space={"recipe": {"choice": ["finetune"]}}))


def test_test_rows_of_one_group_are_refused(tmp_path: Path) -> None:
    ramp = np.linspace(0, 1, 40)
    groups = {"train": np.arange(40) % 4, "test": np.full(40, 4)}
    target = write_targets(tmp_path / "x", ValueColumn(), splits(train=ramp, test=ramp), groups)
    with pytest.raises(DataError, match="at least 2 groups of test rows .* 'test' has 1"):
        open_study(study_of(None, target))


def test_one_group_with_labels_beside_others_without_is_refused(tmp_path: Path) -> None:
    column, groups = LabelColumn(classes=("a", "b"), nulls=True), np.arange(40) % 4
    labels = np.where(groups == 0, np.arange(40) // 4 % 2, -1)
    parts = splits(train=np.arange(40) % 2, test=labels)
    target = write_targets(tmp_path / "x", column, parts, {"train": groups + 4, "test": groups})
    with pytest.raises(DataError, match="at least 2 groups of test rows with a label .* has 1"):
        open_study(study_of(None, target))


def test_test_rows_that_no_model_can_err_on_are_refused(tmp_path: Path) -> None:
    ramp, flat = np.linspace(0, 1, 80).reshape(40, 2), np.full((40, 2), 3.0)
    steps = StepsColumn(horizon=2, channel="x", season=1)
    one, none = (np.empty(40, object) for _ in range(2))
    one[:], none[:] = [np.array([[0, 0, 1, 1, 0]], np.float32)] * 40, [EMPTY] * 40
    boxes = BoxColumn(shape=IMAGE.shape[:2], classes=("cell",))
    for column, train, test, text in (
        (steps, ramp, flat, "the target values of 'test' are all alike"),
        (boxes, one, none, "no row of 'test' has a box"),
    ):
        parts = splits(train=train, test=test)
        target = write_targets(tmp_path / column.kind, column, parts)
        with pytest.raises(DataError, match=f"splits.test: {text}, so that no model can be told"):
            open_study(study_of(None, target))


def opened_labels(tmp_path: Path, labels: np.ndarray) -> int:
    column = LabelColumn(classes=("a", "b"), nulls=True)
    train = np.arange(40) % 2
    target = write_targets(tmp_path / "x", column, splits(train=train, test=labels))
    study: Study = study_of(None, target)
    return open_study(study).test_labels


def test_test_rows_with_a_label_are_counted(tmp_path: Path) -> None:
    assert opened_labels(tmp_path, np.array([0, 1, -1, -1])) == 2


def test_one_test_label_is_too_few_and_none_is_another_study(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2 test rows with a label are needed .* 'test' has 1"):
        opened_labels(tmp_path, np.array([0, -1, -1]))
    none = write_classes(tmp_path / "none", 0, nulls=("test",))
    assert open_study(study_of(None, none)).test_labels == 0


def test_domains_that_ask_for_other_things_are_not_trained_together(tmp_path: Path) -> None:
    source, target = write_classes(tmp_path / "s", 0), write_values(tmp_path / "t", 1)
    with pytest.raises(ConfigError, match="it asks for values, and the other for a label"):
        preflight(study_of(source, target))


def test_source_models_are_ranked_for_values_by_what_needs_no_classes(
    values: tuple[Path, Path],
) -> None:
    models = {n: {"backbone": "small_cnn", "args": {"width": w}} for n, w in (("a", 2), ("b", 8))}
    study = study_of(*values, source_models=models, search={"ranking": "log_me"})
    found = rank_source_models(preflight(study))
    assert [set(one.scores) for one in found] == [{"size", "log_me"}] * 2
    assert sorted(order(found, "log_me")) == ["a", "b"]
    console = Console(file=io.StringIO(), width=120)
    console.print(ranking_table(found))
    text = console.file.getvalue()
    assert "log_me" in text and "h_score" not in text and "a" in text
