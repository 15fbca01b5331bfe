"""A candidate trained once more learns from every row whose label is known, and from no other."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import raytl
from raytl.cli import app
from raytl.config import SourceModelConfig, Study, TrialConfig, dump_study, load_study
from raytl.data.dataset import Dataset
from raytl.data.domain import Domain
from raytl.errors import ConfigError, CorruptError, UserError
from raytl.models.source_spec import read_spec
from raytl.reporting.looking_again import look_again
from raytl.sweeping.kept.records import Record
from raytl.sweeping.leaderboard import Leaderboard, build_leaderboard, save_leaderboard
from raytl.sweeping.made_with import check_made_with
from raytl.sweeping.verdict.confirmed import Candidate, Confirmation, Verdict, save_confirmation
from raytl.training.splits import target_rows
from raytl.training.whole_target import whole_target

MakeStudy = Callable[..., Study]
BOARD = Leaderboard(
    study="s", objective={"name": "accuracy", "mode": "max", "label": "accuracy"}, labels="all",
    state="complete", seconds=1.0, oracle=None, trials=[],
)  # fmt: skip
TRAIN, TEST = 80, 40  # rows of `domains`


def whole(study: Study, seed: int = 0) -> Domain:
    return whole_target(Domain.open(study.target_domain), seed)


def with_target(make: MakeStudy, **target: Any) -> Study:
    dataset = make().target_domain.dataset
    return make(target_domain={"dataset": dataset} | target)


def test_all_labels_are_those_of_every_split_in_order(tiny_study: MakeStudy) -> None:
    study = with_target(tiny_study)
    before, domain = Domain.open(study.target_domain), whole(study)
    assert domain.learnt_K is not None and domain.learnt_K.tolist() == list(range(TRAIN + TEST))
    for column in ("image", "label"):
        parts = [before.split(name).all(column) for name in ("train", "test")]
        np.testing.assert_array_equal(domain.split("train").all(column), np.concatenate(parts))
    assert domain.dataset.fingerprint != before.dataset.fingerprint  # features are kept apart
    rows = target_rows(domain, 7)
    assert rows.labelled is domain.learnt_K and len(rows.unlabelled) == TRAIN + TEST


def test_n_labels_are_those_that_the_study_drew_and_no_test_row(tiny_study: MakeStudy) -> None:
    study = with_target(tiny_study, labels=10)
    drawn = target_rows(Domain.open(study.target_domain), 3)
    known = sorted([*drawn.labelled.tolist(), *drawn.validation.tolist()])
    domain = whole(study, 3)
    assert domain.learnt_K is not None and domain.learnt_K.tolist() == known and len(known) == 20
    assert domain.split("train").rows == TRAIN + TEST  # those without a label are rows all the same


def test_rows_held_out_in_a_named_split_are_learnt_from(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 255, (60, 8, 8), np.uint8)
    labels = np.arange(60) % 2
    parts = {"train": (0, 30), "held": (30, 50), "test": (50, 60)}
    folder = raytl.dataset({n: (images[a:b], labels[a:b]) for n, (a, b) in parts.items()})
    target = {"dataset": folder, "splits": {"validation": "held"}}
    plain = {"study": "s", "source_models": {"net": {"backbone": "small_cnn"}}, "space": {}}
    counts = {}
    for regime in ("all", 5):
        study = Study.model_validate(plain | {"target_domain": target | {"labels": regime}})
        learnt_K = whole(study).learnt_K
        assert learnt_K is not None
        counts[regime] = [int(((learnt_K >= a) & (learnt_K < b)).sum()) for a, b in parts.values()]
    assert counts == {"all": [30, 20, 10], 5: [8, 2, 0]}


def test_without_labels_there_is_nothing_more_to_learn_from(tiny_study: MakeStudy) -> None:
    with pytest.raises(ConfigError, match="labels: none leaves no label that was held out"):
        whole(with_target(tiny_study, labels="none"))


@pytest.fixture
def run(tiny_study: MakeStudy, tmp_path: Path) -> Path:
    """A run of which only what refitting reads is there."""
    folder = tmp_path / "run"
    folder.mkdir()
    study = with_target(tiny_study)
    (folder / "study.yaml").write_text(dump_study(study), encoding="utf-8")
    config = TrialConfig(source_model="net", recipe="dann", frozen_depth=1).flat()
    said = Candidate(
        name="trial 00001", trial="00001", control=None, selected=True, config=config, runs=[],
        n=3, mean=0.75, standard_error=0.01, metrics={}, objective=None, trainable_parameters=None,
        confusion=None, recall=None,
    )  # fmt: skip
    confirmation = Confirmation(
        metric="accuracy", split="test", test_rows=TEST, classes=["rows", "columns"], seeds=[0],
        level=0.95, margin=None, labels_read=20, candidates=[said], comparisons=[],
        verdict=Verdict(kind="undecided", sentence="?"), recommended=said.name,
    )  # fmt: skip
    save_confirmation(confirmation, folder)
    return folder


def test_a_refitted_model_is_a_source_model_without_a_score_of_its_own(run: Path) -> None:
    seen: list[dict[str, Any]] = []
    found = raytl.refit(run, progress=seen.append)
    assert (found.candidate, found.rows) == ("trial 00001", TRAIN + TEST)
    assert found.before == {"test_accuracy": 0.75, "standard_error": 0.01}
    assert found.spec.score is None
    assert found.spec.trained_on is not None
    assert found.spec.trained_on["labelled_rows"] == TRAIN + TEST
    assert [metrics["epoch"] for metrics in seen] == [1, 2]
    measured = {name.partition("/")[0] for metrics in seen for name in metrics if "/" in name}
    assert measured == {"train"}  # nothing is left to measure it by
    model = raytl.load(run / "refit")
    again = raytl.refit(run, "trial 00001", run / "again")
    images = np.random.default_rng(0).integers(0, 255, (4, 8, 8, 1), np.uint8)
    assert raytl.load(run / "again").predict(images).equals(model.predict(images))
    assert again.spec.weights_sha256 == found.spec.weights_sha256


def test_the_terminal_says_what_it_learnt_from_and_that_nothing_measures_it(run: Path) -> None:
    result = CliRunner().invoke(app, ["refit", str(run)])
    assert result.exit_code == 0, result.output
    assert result.stdout == (
        f"{run / 'refit'}: trial 00001, trained on all 120 labelled rows, so that none is left to "
        "measure it by; with fewer: test accuracy 0.7500, standard error 0.0100\n"
    )


def test_what_cannot_be_refitted_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no confirmed candidate 'scratch control'.*'trial 00001'"):
        raytl.refit(run, "scratch control")
    with pytest.raises(UserError, match="no confirmed candidate '' .*'trial 00001'"):
        raytl.refit(run, "")
    (run / "refit").mkdir()
    (run / "refit" / "source.json").touch()
    with pytest.raises(UserError, match="refit.*exists"):
        raytl.refit(run)
    with pytest.raises(UserError, match="nowhere: not a run that has been confirmed"):
        raytl.refit(tmp_path / "nowhere")


def made_with(run: Path, source: Path, **other: str | None) -> None:
    """Say in environment.json what the run was made with; `other`: with something else."""
    study = load_study(run / "study.yaml")
    said = {
        "fingerprint": Dataset.open(study.target_domain.dataset).fingerprint,
        "weights_sha256": read_spec(source).weights_sha256,
    } | other
    environment = {
        "datasets": {"target": {"fingerprint": said["fingerprint"]}},
        "source_models": {"net": {"weights_sha256": said["weights_sha256"]}, "other": {}},
    }
    (run / "environment.json").write_text(json.dumps(environment))


@pytest.mark.parametrize(
    ("other", "why"),
    [
        ({"fingerprint": "f" * 64}, "target_domain.dataset is not what this run was made with"),
        ({"weights_sha256": "w" * 64}, "source_models.net is not what this run was made with"),
    ],
)
def test_a_run_is_not_taken_further_with_other_data_or_weights(
    run: Path, tmp_path: Path, other: dict[str, str], why: str
) -> None:
    raytl.refit(run, out=tmp_path / "net")
    study = load_study(run / "study.yaml")
    net = SourceModelConfig(path=tmp_path / "net")
    study = study.model_copy(update={"source_models": {"net": net}})
    (run / "study.yaml").write_text(dump_study(study))
    made_with(run, tmp_path / "net")
    check_made_with(run, load_study(run / "study.yaml"), {"source_model": "net"})
    made_with(run, tmp_path / "net", weights_sha256=None)  # by a version that did not keep it
    check_made_with(run, load_study(run / "study.yaml"), {"source_model": "net"})

    made_with(run, tmp_path / "net", **other)
    with pytest.raises(UserError, match=why):
        raytl.refit(run)
    with pytest.raises(UserError, match=why):
        raytl.export(run, "trial 00001", tmp_path / "out")
    assert any(why in note for note in look_again(run, BOARD))
    assert not (tmp_path / "out").exists() and not (run / "refit").exists()


def test_a_broken_environment_says_so(run: Path) -> None:
    (run / "environment.json").write_text("[1]")
    with pytest.raises(CorruptError, match=r"environment\.json: cannot be read"):
        raytl.refit(run)


@pytest.fixture
def unconfirmed(tmp_path: Path) -> Path:
    """A run whose test rows have no label, of which only what refitting reads is there."""
    images = np.random.default_rng(0).integers(0, 255, (50, 8, 8), np.uint8)
    labels = [None if row >= 30 else row % 2 for row in range(50)]
    data = {"train": (images[:30], labels[:30]), "test": (images[30:], labels[30:])}
    study = Study.model_validate(
        {
            "study": "s",
            "target_domain": {"dataset": raytl.dataset(data, unlabelled=True)},
            "source_models": {"net": {"backbone": "small_cnn", "args": {"width": 4}}},
            "space": {"head.dropout": {"choice": [0.0]}},
            "train": {"epochs": 1, "batch_size": 8},
        }
    )
    folder = tmp_path / "unconfirmed"
    folder.mkdir()
    (folder / "study.yaml").write_text(dump_study(study), encoding="utf-8")
    trial = TrialConfig(source_model="net", recipe="finetune").flat()
    config = {"name": "trial-00000", "id": "00000", "phase": "search", "control": None}
    record = Record(
        config | {"searched": [], "trial": trial},
        [{"epoch": 1, "target/validation_accuracy": 0.75, "seconds": 1.0, "frozen_blocks": 0}],
        "completed",
    )
    board = build_leaderboard(study, [record], complete=True)
    save_leaderboard(board.model_copy(update={"unconfirmed": "no verdict"}), folder)
    return folder


def test_the_best_of_a_run_without_test_labels_learns_from_the_held_out_rows(
    unconfirmed: Path,
) -> None:
    found = raytl.refit(unconfirmed)
    assert (found.candidate, found.rows) == ("trial 00000", 30)
    assert found.before == {"target_validation_accuracy": 0.75}
    with pytest.raises(UserError, match="none was confirmed; there is 'trial 00000'"):
        raytl.refit(unconfirmed, "scratch control", unconfirmed / "other")
