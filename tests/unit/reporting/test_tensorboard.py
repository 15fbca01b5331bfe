"""TensorBoard's files, read back: what was searched and applies, the objective, the verdict, and
the features of the best."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from values_support import write_classes, write_values

from raytl.config import Study
from raytl.reporting.projector import MOST_FEATURES, components, projected, write_projector
from raytl.reporting.tensorboard import FOLDER, TensorBoard, write_end, write_verdict
from raytl.sweeping.kept.records import Metrics, Record, Status
from raytl.sweeping.search.objective import objective_metric
from raytl.sweeping.verdict.confirmed import Candidate, Confirmation, Verdict
from raytl.training.predict import Predictor
from raytl.training.pretrain import pretrain

ACCURACY = "target/validation_accuracy"
SPACE: dict[str, Any] = {
    "recipe": {"choice": ["finetune", "dann"]},
    "frozen_depth": {"choice": ["0%", "50%"]},
    "adversarial_lambda": {"float": [0.1, 2.0], "when": {"recipe": "dann"}},
    "optimizer.lr": {"float": [0.001, 0.1], "log": True},
}
TRIAL = {
    "recipe": "finetune", "source_model": "net", "frozen_depth": "50%", "adversarial_lambda": 1.5,
    "optimizer.lr": 0.02, "optimizer.weight_decay": 0.1, "mapper": "identity",
}  # fmt: skip


def study(space: dict[str, Any] | str = SPACE) -> Study:
    return Study.model_validate(
        {
            "study": "tiny",
            "source_domain": {"dataset": "source"},
            "target_domain": {"dataset": "target", "labels": 10},
            "source_models": {"net": {"backbone": "small_cnn"}},
            "space": space,
        }
    )


def record(
    id_: str, searched: list[str], *, control: str | None = None, error: str | None = None,
    values: tuple[float, ...] = (0.75, 0.5), **trial: Any,
) -> Record:  # fmt: skip
    config = {
        "name": f"trial-{id_}", "id": id_, "phase": "search", "control": control,
        "searched": searched, "trial": TRIAL | trial,
    }  # fmt: skip
    curve: list[Metrics] = [
        {"epoch": epoch, "step": 10 * epoch, ACCURACY: value, "train/loss/task": 1 / epoch}
        for epoch, value in enumerate(values, 1)
    ]
    status: Status = "failed" if error else "completed"
    return Record(config, curve, status, error)


def written(run: Path, *records: Record, of: Study | None = None) -> TensorBoard:
    """Write trials as a study tells of them."""
    of = of or study()
    board = TensorBoard(run, of, objective_metric(of))
    for one in records:
        for metrics in one.curve:
            board.reported(one.config, metrics)
        board.settled(one)
    return board


def events(run: Path, name: str = "") -> EventAccumulator:
    return EventAccumulator(str(run / FOLDER / name)).Reload()


def plugin_data(found: EventAccumulator, tag: str) -> Any:
    content = found.SummaryMetadata(f"_hparams_/{tag}").plugin_data.content
    return plugin_data_pb2.HParamsPluginData.FromString(content)


def hparams(run: Path, name: str) -> dict[str, Any]:
    start = plugin_data(events(run, name), "session_start_info").session_start_info
    return {
        key: value.number_value if value.HasField("number_value") else value.string_value
        for key, value in start.hparams.items()
    }


def test_hparams_are_what_was_searched_and_applies(tmp_path: Path) -> None:
    plain = ["recipe", "frozen_depth", "optimizer.lr"]
    adversarial = [*plain, "adversarial_lambda"]
    written(
        tmp_path,
        record("0", plain),
        record("1", adversarial, recipe="dann"),
        record("2", adversarial),  # searched without a `when`, but finetune has no λ
        record("scratch-0", [], control="scratch", recipe="scratch"),
    )
    own = {"recipe": "finetune", "frozen_depth": "50%", "optimizer.lr": 0.02}
    searched = {"control": "none, searched"}
    assert hparams(tmp_path, "trial-0") == own | searched
    assert hparams(tmp_path, "trial-1") == (
        own | searched | {"recipe": "dann", "adversarial_lambda": 1.5}
    )
    assert hparams(tmp_path, "trial-2") == own | searched
    assert hparams(tmp_path, "trial-scratch-0") == {
        "recipe": "scratch", "optimizer.lr": 0.02, "control": "scratch"
    }  # fmt: skip


def test_what_is_no_number_among_numbers_is_left_out(tmp_path: Path) -> None:
    of = study(SPACE | {"optimizer.transferred_lr_scale": {"float": [0.1, 1.0]}})
    auto = {"optimizer.transferred_lr_scale": "auto", "frozen_depth": None}
    control = record("target_only-0", [], control="target_only", **auto)
    written(tmp_path, control, of=of)
    found = hparams(tmp_path, "trial-target_only-0")
    assert set(found) == {"recipe", "optimizer.lr", "control"}


def test_a_callable_space_is_known_by_its_trials(tmp_path: Path) -> None:
    of = study("spaces.py:space")
    control = record("scratch-0", [], control="scratch", recipe="scratch")
    written(tmp_path, record("0", ["optimizer.lr", "mapper"]), control, of=of)
    assert hparams(tmp_path, "trial-0") == {
        "optimizer.lr": 0.02, "mapper": "identity", "control": "none, searched"
    }  # fmt: skip
    assert hparams(tmp_path, "trial-scratch-0") == {
        "recipe": "scratch", "source_model": "net", "control": "scratch"
    }  # fmt: skip


def test_the_objective_and_the_test_metric_are_the_first_columns(tmp_path: Path) -> None:
    written(tmp_path, record("0", ["recipe"]))
    columns = plugin_data(events(tmp_path), "experiment").experiment
    assert [(info.name.tag, info.display_name) for info in columns.metric_infos] == [
        ("objective", "objective: target validation accuracy"),
        ("confirmed/test_accuracy", "confirmed test accuracy"),
    ]
    kinds = {info.name: info.type for info in columns.hparam_infos}
    assert kinds == {
        "recipe": api_pb2.DATA_TYPE_STRING,
        "frozen_depth": api_pb2.DATA_TYPE_STRING,
        "adversarial_lambda": api_pb2.DATA_TYPE_FLOAT64,
        "optimizer.lr": api_pb2.DATA_TYPE_FLOAT64,
        "control": api_pb2.DATA_TYPE_STRING,
    }


def test_the_objective_is_that_of_the_leaderboard(tmp_path: Path) -> None:
    """The last epoch's, not the luckiest one's."""
    written(tmp_path, record("0", ["recipe"]), record("1", ["recipe"], error="loss=nan"))
    (found,) = events(tmp_path, "trial-0").Scalars("objective")
    assert (found.value, found.step) == (0.5, 20)
    ends = [
        plugin_data(events(tmp_path, name), "session_end_info").session_end_info.status
        for name in ("trial-0", "trial-1")
    ]
    assert ends == [api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE]


def test_what_was_confirmed_stands_beside_its_trial(tmp_path: Path) -> None:
    board = written(tmp_path, record("0", ["recipe"]), record("1", ["recipe"]))
    candidate: dict[str, Any] = {
        "trial": "0", "control": None, "config": {}, "runs": [], "standard_error": None,
        "metrics": {}, "objective": None, "trainable_parameters": None, "confusion": None,
        "recall": None,
    }  # fmt: skip
    candidates = [
        Candidate(name="trial 0", n=3, mean=0.625, **candidate),
        Candidate(name="other", n=0, mean=None, **candidate | {"trial": "1"}),
        Candidate(name="unknown", n=3, mean=0.5, **candidate | {"trial": "7"}),
    ]
    verdict = Verdict(kind="helps", sentence="it helps")
    board.confirmed(
        Confirmation(
            metric="accuracy",
            split="test",
            test_rows=9,
            classes=[],
            seeds=[0],
            level=0.95,
            margin=1.0,
            labels_read=5,
            candidates=candidates,
            comparisons=[],
            verdict=verdict,
            recommended=None,
        )
    )
    (found,) = events(tmp_path, "trial-0").Scalars("confirmed/test_accuracy")
    assert found.value == 0.625
    assert "confirmed/test_accuracy" not in events(tmp_path, "trial-1").Tags()["scalars"]
    assert not (tmp_path / FOLDER / "trial-7").exists()


def test_the_verdict_is_text(tmp_path: Path) -> None:
    write_verdict(tmp_path, ["transfer helps: +4 points", "against probing undecided"])
    (found,) = events(tmp_path, "confirmation").Tensors("verdict/text_summary")
    assert found.tensor_proto.string_val[0].decode() == (
        "**transfer helps: +4 points**\n\n- against probing undecided"
    )


def test_what_cannot_be_drawn_costs_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> None:
        raise ValueError("no such glyph")

    monkeypatch.setattr("raytl.reporting.tensorboard.write_confirmation", fails)
    monkeypatch.setattr("raytl.reporting.tensorboard.sample_images", lambda _: {})
    result: Any = SimpleNamespace(
        run=tmp_path, confirmation=SimpleNamespace(candidates=[]), sentences=["it helps"]
    )
    write_end(written(tmp_path), result, study())
    assert events(tmp_path, "confirmation").Tags()["tensors"] == ["verdict/text_summary"]
    (line,) = capsys.readouterr().err.splitlines()
    said = "warning: TensorBoard's files lack the figures of what was confirmed: no such glyph"
    assert line == said


def test_files_of_many_trials_stay_small(tmp_path: Path) -> None:
    written(tmp_path, *(record(f"{n}", ["recipe", "optimizer.lr"]) for n in range(20)))
    sizes = [file.stat().st_size for file in (tmp_path / FOLDER).rglob("*") if file.is_file()]
    assert max(sizes) < 4000 and sum(sizes) < 40_000


def read_projector(run: Path) -> tuple[np.ndarray, list[list[str]]]:
    (tensors,) = (run / FOLDER / "best").rglob("tensors.tsv")
    features = np.loadtxt(tensors, delimiter="\t", ndmin=2)
    lines = tensors.with_name("metadata.tsv").read_text().splitlines()
    assert tensors.parent.name in (run / FOLDER / "best/projector_config.pbtxt").read_text()
    return features, [line.split("\t") for line in lines]


def test_the_projector_shows_the_features_of_the_best(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write_classes(tmp_path / "data", 0)
    pretrain(data, "small_cnn", tmp_path / "run/best", epochs=1, args={"width": 4})
    monkeypatch.setattr("raytl.reporting.projector.MOST_ROWS", 30)
    monkeypatch.setattr("raytl.reporting.projector.AT_A_TIME", 7)
    write_projector(tmp_path / "run", data, "test")
    features, (names, *labels) = read_projector(tmp_path / "run")
    assert names == ["id", "true", "predicted"]
    assert len(features) == len(labels) == 30
    predictor = Predictor.open(tmp_path / "run/best", data)
    expected = predictor.predict("test").predictions
    classes = predictor.complete.spec.classes
    assert classes is not None
    assert [row[0] for row in labels] == [str(id_) for id_ in expected.id_N[:30]]
    assert [row[1] for row in labels] == [classes[k] for k in expected.target_N[:30]]
    assert expected.predicted_N is not None
    assert [row[2] for row in labels] == [classes[k] for k in expected.predicted_N[:30]]


def test_values_and_rows_without_a_target_are_labelled_so(tmp_path: Path) -> None:
    data = write_values(tmp_path / "data", 0)
    pretrain(data, "small_cnn", tmp_path / "best", epochs=1, args={"width": 4})
    holes = write_values(tmp_path / "holes", 0, nulls=True)
    found = projected(Predictor.open(tmp_path / "best", holes), "test")
    assert found is not None
    true = [label[1] for label in found.labels]
    assert "no label" in true and all(float(value) for value in true if value != "no label")
    assert all(900 < float(label[2]) < 1150 for label in found.labels)


def test_many_features_become_principal_components() -> None:
    generator = np.random.default_rng(0)
    wide = generator.normal(size=(100, MOST_FEATURES + 6)) * np.r_[np.ones(6) * 9, np.ones(64)]
    found = components(wide)
    assert found.shape == (100, MOST_FEATURES)
    variances = found.var(0)
    assert (np.diff(variances) <= 1e-6).all()
    assert variances.sum() > 0.98 * (wide - wide.mean(0)).var(0).sum()
    narrow = components(np.array([[0.123456, 2.0], [1e-9, -3.14159]]))
    assert narrow.tolist() == [[0.1235, 2.0], [1e-9, -3.142]]
