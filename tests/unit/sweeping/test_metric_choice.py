"""Which metric a study is judged by, where it is kept, and what hangs on it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from values_support import brightness, study_of, write_classes, write_targets, write_values

from raytl.config import TASK_FACTS, MetricName, Study
from raytl.data.domain import Domain
from raytl.errors import ConfigError, DataError, UserError
from raytl.scoring.metrics import METRICS
from raytl.sweeping.identity import Identity
from raytl.sweeping.opening import Opened, open_study
from raytl.sweeping.preflight import preflight
from raytl.sweeping.resolving import resolved
from raytl.sweeping.run_folder import continued
from raytl.sweeping.search.halving import Tries
from raytl.sweeping.search.objective import figure, objective_metric
from raytl.tasks.columns import LabelColumn
from raytl.training.splits import target_rows


def test_every_metric_can_be_named_in_a_study() -> None:
    assert set(get_args(MetricName)) == set(METRICS)
    assert [name for facts in TASK_FACTS.values() for name in facts.metrics] == list(METRICS)


def test_a_task_is_judged_by_what_its_rows_give() -> None:
    reads = {
        "classification": {"classes", "probabilities"}, "regression": {"values"},
        "segmentation": {"pixels"}, "detection": {"boxes"}, "translation": {"sentences"},
        "forecasting": {"steps"},
    }  # fmt: skip
    for name, facts in TASK_FACTS.items():
        assert {METRICS[metric].reads for metric in facts.metrics} == reads[name]


def opened(tmp_path: Path, share: float, **more: object) -> Opened:
    target = write_classes(tmp_path / "target", 1, share=share)
    return open_study(study_of(None, target, **more))


def test_alike_classes_are_judged_by_accuracy_without_a_word(tmp_path: Path) -> None:
    found = opened(tmp_path, 0.5)
    assert (found.study.search.metric, found.reason) == ("accuracy", None)


@pytest.mark.parametrize(("share", "metric"), [(0.05, "average_precision"), (0.95, "auc")])
def test_a_rare_class_is_judged_by_its_metric_and_that_is_said(
    tmp_path: Path, share: float, metric: str
) -> None:
    found = opened(tmp_path, share)
    assert found.study.search.metric == metric
    assert found.reason is not None and found.reason.startswith(f"the metric is {metric}, as class")
    objective = objective_metric(found.study)
    assert objective.name == f"target/validation_{metric}"
    assert objective.label == f"target validation {METRICS[metric].words}"


def test_without_target_labels_the_source_says_which_class_is_rare(tmp_path: Path) -> None:
    source = write_classes(tmp_path / "source", 0, share=0.05)
    target = write_classes(tmp_path / "target", 1)
    study = study_of(source, target, target_domain={"dataset": target, "labels": "none"})
    found = open_study(study).study
    assert (found.search.metric, found.objective) == ("average_precision", "bnm")


def test_values_are_judged_by_rmse_and_selected_without_labels_by_iwv(tmp_path: Path) -> None:
    source, target = (write_values(tmp_path / name, i) for i, name in enumerate("st"))
    labelled = open_study(study_of(source, target)).study
    assert (labelled.search.metric, labelled.objective) == ("rmse", "target_metric")
    assert objective_metric(labelled).mode == "min" and objective_metric(labelled).relative
    none = study_of(source, target, target_domain={"dataset": target, "labels": "none"})
    found = open_study(none).study
    assert (found.search.metric, found.objective) == ("rmse", "iwv")
    assert objective_metric(found).relative


def test_the_older_name_of_the_objective_means_the_metric(tmp_path: Path) -> None:
    found = opened(tmp_path, 0.05, search={"objective": "target_accuracy"})
    assert found.study.objective == "target_metric"
    assert objective_metric(found.study).name == "target/validation_average_precision"


def test_a_metric_that_the_target_has_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"search.metric: rmse is not of classes.*or log_loss"):
        opened(tmp_path, 0.5, search={"metric": "rmse"})
    values = write_values(tmp_path / "values", 0)
    with pytest.raises(ConfigError, match=r"search.metric: auc is not of values.*rmse, mae or r2"):
        open_study(study_of(None, values, search={"metric": "auc"}))


def test_a_run_goes_on_with_the_metric_that_was_decided(tmp_path: Path) -> None:
    study = study_of(None, write_classes(tmp_path / "target", 1, share=0.05))
    started = resolved(open_study(study).study, num_bytes=1)
    assert continued(started, study).search.metric == "average_precision"
    other = study.decided(metric="auc")
    with pytest.raises(UserError, match=r"search.metric was average_precision and is auc now"):
        continued(started, other)


def test_trials_of_another_metric_are_other_trials(
    tiny_study: Callable[..., Study],
) -> None:
    checked = preflight(tiny_study())
    assert checked.study.search.metric == "accuracy"
    config = {
        "name": "x", "phase": "search", "trial": {"source_model": "net", "student": None},
        "seed": 0, "rows_seed": None, "micro_batches": 1,
    }  # fmt: skip
    keys = {
        Identity.of(replace(checked, study=checked.study.decided(metric=name)), "cpu").key(config)
        for name in ("accuracy", "auc")
    }
    assert len(keys) == 2


def test_large_numbers_are_shown_with_fewer_decimals() -> None:
    assert [figure(x) for x in (0.5, -12.34567, 123456.789)] == ["0.5000", "-12.3457", "123,457"]


def test_small_numbers_are_shown_with_as_many_digits_as_others() -> None:
    shown = [figure(x) for x in (0.0, 0.05, -0.0123456, 2e-5)]
    assert shown == ["0.0000", "0.05000", "-0.01235", "2.000e-05"]


def test_tries_are_compared_by_shares_where_the_unit_is_the_targets() -> None:
    own, rivals = {2: -103.0}, [{2: -100.0}] * 3  # errors, less is better
    assert Tries.of(8, 3, relative=True).stays(2, own, rivals)
    assert not Tries.of(8, 3).stays(2, own, rivals)
    far = {2: -106.0}
    assert not Tries.of(8, 3, relative=True).stays(2, far, rivals)


@pytest.mark.parametrize(
    ("of_source", "metric", "said"),
    [
        (None, "accuracy", "whether a class is rare was not looked at"),
        (0.05, "average_precision", "class 1 is rare"),
        (0.5, "accuracy", None),
    ],
)
def test_as_many_labels_of_each_class_say_nothing_of_a_rare_one(
    tmp_path: Path, of_source: float | None, metric: str, said: str | None
) -> None:
    source = None
    if of_source is not None:
        source = write_classes(tmp_path / "source", 0, share=of_source)
    target = write_classes(tmp_path / "target", 1, share=0.1)
    study = study_of(source, target, target_domain={"dataset": target, "labels": 4})
    found = open_study(study)
    assert found.study.search.metric == metric
    assert found.reason is None if said is None else said in str(found.reason)


@pytest.mark.parametrize(("labels", "said"), [(7, True), (8, False), (20, False)])
def test_a_rare_class_is_no_question_where_a_tenth_of_the_rows_is_known_of_each(
    tmp_path: Path, labels: int, said: bool
) -> None:
    target = write_classes(tmp_path / "target", 1)  # 80 training rows
    study = study_of(None, target, target_domain={"dataset": target, "labels": labels})
    assert ("not looked at" in str(open_study(study).reason)) == said


def test_labels_drawn_in_another_split_say_nothing_of_a_rare_class(tmp_path: Path) -> None:
    target = write_classes(tmp_path / "target", 1)  # 80 training rows, 40 of the other split
    splits = {"train": "train", "validation": "test", "test": "spare"}
    images, label_N = brightness(40, 7)[0], np.arange(40) % 2
    every = {"train": (np.tile(images, (2, 1, 1, 1)), np.tile(label_N, 2))}
    every |= dict.fromkeys(("test", "spare"), (images, label_N))
    target = write_targets(tmp_path / "three", LabelColumn(classes=("dark", "bright")), every)
    for labels, said in ((9, True), (10, False)):  # a fifth of them in the validation split
        domain = {"dataset": target, "labels": labels, "splits": splits}
        found = open_study(study_of(None, target, target_domain=domain))
        assert ("not looked at" in str(found.reason)) == said


def test_a_source_domain_of_other_classes_is_not_asked_which_is_rare(tmp_path: Path) -> None:
    images, label_N = brightness(80, 0)[0], (np.arange(80) < 4).astype(np.int64)
    other = LabelColumn(classes=("calm", "storm"))
    splits = dict.fromkeys(("train", "test"), (images, label_N))
    source = write_targets(tmp_path / "source", other, splits)
    target = write_classes(tmp_path / "target", 1)
    study = study_of(source, target, target_domain={"dataset": target, "labels": 4})
    found = open_study(study)
    assert found.study.search.metric == "accuracy" and "not looked at" in str(found.reason)


def write_three(out: Path, train: list[int], test: list[int], groups: bool = False) -> Path:
    """Write rows of three classes (two where no third is there), a group for every ten rows."""
    splits, whose, first = {}, {}, 0
    for name, of in (("train", train), ("test", test)):
        label_N = np.repeat(np.arange(len(of)), of)
        splits[name] = (brightness(len(label_N), 1)[0], label_N)
        whose[name] = first + np.arange(len(label_N)) // 10
        first = int(whose[name].max()) + 1
    column = LabelColumn(classes=("dark", "bright", "blinding")[: len(train)])
    return write_targets(out, column, splits, whose if groups else None)


@pytest.mark.parametrize(
    "metric", ["auc", "average_precision", "balanced_accuracy", "macro_f1", "log_loss", "accuracy"]
)
def test_test_rows_of_one_class_are_refused_by_metrics_that_take_classes_one_by_one(
    tmp_path: Path, metric: str
) -> None:
    study = study_of(
        None, write_three(tmp_path / "t", [30, 30], [0, 30]), search={"metric": metric}
    )
    if not METRICS[metric].contrasts:
        assert open_study(study).test_labels == 30
        return
    with pytest.raises(
        DataError, match=r"splits\.test: the rows of 'test' are all of class bright"
    ):
        open_study(study)


def test_a_further_class_without_a_test_row_is_said(tmp_path: Path) -> None:
    data = write_three(tmp_path / "t", [30, 30, 30], [20, 20, 0])
    notes = open_study(study_of(None, data, search={"metric": "macro_f1"})).notes
    assert len(notes) == 1 and "are of 2 of 3 classes alone, 'blinding' is missing" in notes[0]
    assert not open_study(study_of(None, data)).notes
    plain = {"recipe": {"choice": ["finetune"]}}
    study = study_of(None, data, search={"metric": "macro_f1"}, space=plain)
    assert notes[0] in preflight(study).notes


def test_validation_rows_of_one_class_are_refused_where_trials_are_selected_by_them(
    tmp_path: Path,
) -> None:
    # Two groups of the rare class: one must stay, and the other is half of it: too large to hold.
    data = write_three(tmp_path / "t", [80, 20], [20, 20], groups=True)
    domain = {"dataset": data, "validation_fraction": 0.1}
    study = study_of(None, data, target_domain=domain | {"labels": "all"}, search={"metric": "auc"})
    target = Domain.open(study.target_domain)
    labels_N = target.targets("train")
    assert set(labels_N[target_rows(target, study.search.seed).validation]) == {0}
    with pytest.raises(DataError, match="validation rows are all of class dark"):
        open_study(study)
    entropy = {"metric": "auc", "objective": "target_entropy"}
    source = write_three(tmp_path / "s", [30, 30], [20, 20])
    none = domain | {"labels": "none"}
    assert not open_study(study_of(source, data, target_domain=none, search=entropy)).notes
