"""Studies as Python has them: a file, a dictionary, a checked study; data in the place of paths."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import raytl
from raytl import verbs
from raytl.data.dataset import Dataset
from raytl.errors import ConfigError, DataError, UserError

Ran = list[raytl.Study]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ran:
    """Take down the studies that would run."""
    seen: Ran = []
    run = tmp_path / "run"
    run.mkdir()
    (run / "leaderboard.json").touch()

    def sweep(study: raytl.Study, out: Any, **options: Any) -> Any:
        seen.append(study)
        return SimpleNamespace(run=run)

    monkeypatch.setattr(verbs, "sweep", sweep)
    return seen


def rows(count: int = 40) -> pd.DataFrame:
    return pd.DataFrame({"x": np.arange(count) / 7, "my label": ["no", "yes"] * (count // 2)})


def study(**more: Any) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "study": "mine",
        "target_domain": {"dataset": rows(), "target": "my label", "labels": 5},
        "source_models": {"net": {"backbone": "mlp"}},
        "space": {"optimizer.lr": {"float": (1e-4, 1e-1), "log": True}},
        "search": {"trials": np.int64(4)},
    }
    return plain | more


def test_data_stand_in_the_place_of_paths(ran: Ran) -> None:
    given = study(source_domain={"dataset": rows(60), "target": "my label"})
    assert isinstance(raytl.sweep(given), raytl.Results)
    (checked,) = ran
    target = Dataset.open(checked.target_domain.dataset)
    assert (target.split("train").rows, target.split("test").rows) == (32, 8)
    assert checked.target_domain.labels == 5
    assert checked.search.trials == 4
    assert checked.source_domain is not None
    source = Dataset.open(checked.source_domain.dataset)
    assert list(source.info.splits) == ["train"], "no row of a source domain is kept for a test"
    assert isinstance(given["target_domain"]["dataset"], pd.DataFrame), "what was given is not ours"
    assert given["target_domain"]["target"] == "my label"


@pytest.mark.parametrize("splits", [False, True])
def test_the_targets_own_rows_are_no_source_domain(ran: Ran, splits: bool) -> None:
    frame, x_NF, label = rows(), np.zeros((40, 2)), "my label"
    for mine, theirs in ((frame, frame), ((x_NF, [0] * 40), [x_NF, [1] * 40])):
        source = {"train": mine} if splits else mine
        domains = {"source_domain": {"dataset": source, "target": label}}
        domains["target_domain"] = {"dataset": theirs, "target": label}
        with pytest.raises(ConfigError, match="source_domain.dataset: .* both domains have the sa"):
            raytl.sweep(study(**domains))
    assert not ran


def test_what_dataset_returned_is_a_path_in_a_study(ran: Ran) -> None:
    folder = raytl.dataset(rows(), target="my label")
    raytl.sweep(study(target_domain={"dataset": folder}))
    raytl.sweep(study(target_domain={"dataset": str(folder)}))
    assert {one.target_domain.dataset for one in ran} == {folder}


def test_a_study_is_a_file_a_dictionary_or_checked_and_can_be_overridden(
    ran: Ran, tmp_path: Path
) -> None:
    folder = raytl.dataset(rows(), target="my label")
    plain = study(target_domain={"dataset": str(folder)}, search={"trials": 4})
    plain["space"] = {"optimizer.lr": {"float": [1e-4, 1e-1], "log": True}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(plain))
    changed = ["search.trials=7", "train.epochs=2"]
    given: list[Any] = [plain, tmp_path / "study.yaml", str(tmp_path / "study.yaml")]
    for one in [*given, raytl.Study.model_validate(plain)]:
        raytl.sweep(one, overrides=changed)
    assert {(of.search.trials, of.train.epochs) for of in ran} == {(7, 2)}
    assert len({of.model_dump_json() for of in ran}) == 1


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (lambda: study(serach={}), ConfigError, "unknown key 'serach'; did you mean 'search'"),
        (lambda: {"study": "x"}, ConfigError, "target_domain: Field required"),
        (lambda: [1], ConfigError, "expected keys and values, got list"),
        (
            lambda: study(target_domain={"dataset": rows()}),
            ConfigError,
            "^target_domain.dataset: target=",
        ),
        (
            lambda: study(target_domain={"dataset": rows(), "target": "label"}),
            ConfigError,
            "^target_domain.dataset: target=: train has no column 'label'; did you mean 'my",
        ),
        (
            lambda: study(target_domain={"dataset": 7, "target": "y"}),
            DataError,
            "data must be a DataFrame, .*, got int",
        ),
        (lambda: study(target_domain={"dataset": None}), ConfigError, "target_domain.dataset"),
        (lambda: study(target_domain=rows()), ConfigError, "target_domain"),
    ],
)
def test_a_study_that_does_not_hold_is_refused(
    ran: Ran, given: Callable[[], Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        raytl.sweep(given())
    assert not ran


def test_options_in_messages_are_those_of_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run" / "trial-00000").mkdir(parents=True)
    with pytest.raises(UserError, match="go on with resume=True, or give another out="):
        raytl.sweep(study(), tmp_path / "run")
    monkeypatch.setattr(verbs, "sweep", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        raytl.sweep(study())


def test_ranking_takes_a_file_or_a_checked_study() -> None:
    with pytest.raises(ConfigError, match="a study file was expected, got dict; give its path"):
        raytl.rank({"study": "s"})  # type: ignore[arg-type]
