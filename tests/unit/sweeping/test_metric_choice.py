"""Which metric a study is judged by, where it is kept, and what hangs on it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from values_support import study_of, write_classes, write_values

from raytl.config import VALUE_METRICS, MetricName, Study
from raytl.errors import ConfigError, UserError
from raytl.scoring.metrics import METRICS
from raytl.sweeping.identity import Identity
from raytl.sweeping.opening import Opened, open_study
from raytl.sweeping.preflight import preflight
from raytl.sweeping.resolving import resolved
from raytl.sweeping.run_folder import continued
from raytl.sweeping.search.halving import Tries
from raytl.sweeping.search.objective import figure, objective_metric


def test_every_metric_can_be_named_in_a_study() -> None:
    assert set(get_args(MetricName)) == set(METRICS)
    assert set(VALUE_METRICS) == {name for name, m in METRICS.items() if m.reads == "values"}


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


def test_tries_are_compared_by_shares_where_the_unit_is_the_targets() -> None:
    own, rivals = {2: -103.0}, [{2: -100.0}] * 3  # errors, less is better
    assert Tries.of(8, 3, relative=True).stays(2, own, rivals)
    assert not Tries.of(8, 3).stays(2, own, rivals)
    far = {2: -106.0}
    assert not Tries.of(8, 3, relative=True).stays(2, far, rivals)
