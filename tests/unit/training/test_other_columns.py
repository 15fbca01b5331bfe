"""Domains with other columns: one forward pass each, fused features that are aligned, teachers of
another column, and judges that rows of some kinds cannot be asked for."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from several_columns import (
    BILSTM,
    CLASSES,
    CNN,
    GRU,
    parts_of,
    run_of,
    study_of,
    trained,
    trial_of,
    write_rows,
)
from torch import Tensor

from raytl.config import Study, TrialConfig
from raytl.data.batch import Batch, TrainBatch
from raytl.data.domain import Domain, Domains
from raytl.data.mixing import joint_batches
from raytl.errors import ConfigError, ModelError
from raytl.models.source_model import save_source_model
from raytl.models.transfer_model import TransferModel, TransferOutput
from raytl.recipes.base import run_streams
from raytl.rows import Inputs
from raytl.sweeping.preflight import preflight
from raytl.training.building import build_trial
from raytl.training.evidence import evidence_feeds, gather
from raytl.training.fused import Member, fusable, train_fused_epoch
from raytl.training.material import Material
from raytl.training.predict import predict_split

TRAIN = {"epochs": 1, "batch_size": 8, "steps_per_epoch": 3}
TWO = {"net": {"parts": {"image": CNN, "text": BILSTM}}}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("other")
    both = {"image": "image", "text": "text"}
    return {
        "images": write_rows(folder / "images", {"image": "image"}, seed=1),
        "photos": write_rows(folder / "photos", {"photo": "image"}, seed=1),
        "texts": write_rows(folder / "texts", {"text": "text"}, seed=2),
        "both": write_rows(folder / "both", both, seed=3),
        "others": write_rows(folder / "others", both, seed=5),
        "series": write_rows(folder / "series", {"series": "series"}, seed=4),
    }


def across(data: dict[str, Path], source: str, target: str, models: Any, **more: Any) -> Study:
    return study_of(
        data[target], models, source_domain={"dataset": data[source]}, train=TRAIN, **more
    )


class Passes:
    """Notes the branches of every forward pass of a model, and how many rows of each."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[tuple[dict[str, int], int]] = []
        plain = TransferModel.forward

        def forward(model: TransferModel, inputs: Inputs, num_source: int = 0) -> TransferOutput:
            self.seen.append(({name: len(given) for name, given in inputs.items()}, num_source))
            return plain(model, inputs, num_source)

        monkeypatch.setattr(TransferModel, "forward", forward)


def first_batch(study: Study, **flat: Any) -> tuple[TransferModel, TrainBatch]:
    run = run_of(study, **flat)
    streams = {name: next(feed.train_batches()) for name, feed in run.feeds.items()}
    return run.parts.model, TrainBatch(**streams)


def test_domains_with_the_same_columns_go_through_in_one_pass(
    data: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = first_batch(across(data, "both", "others", TWO), recipe="dann")
    passes = Passes(monkeypatch)
    run_streams(model, batch)
    assert passes.seen == [({"image": 24, "text": 24}, 8)]


def test_domains_with_other_columns_have_a_pass_each(
    data: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = first_batch(across(data, "images", "texts", TWO), recipe="dann")
    assert {name: list(stream.inputs) for name, stream in batch.streams.items()} == {
        "source": ["image"], "target": ["text"], "labelled": ["text"],
    }  # fmt: skip
    passes = Passes(monkeypatch)
    outputs = run_streams(model, batch)
    assert passes.seen == [({"image": 8}, 8), ({"text": 16}, 0)]
    assert list(outputs) == ["source", "target", "labelled"]


def test_what_a_domain_lacks_is_missing_from_its_features(data: dict[str, Path]) -> None:
    model, batch = first_batch(across(data, "images", "texts", TWO), recipe="dann")
    outputs = run_streams(model, batch)
    image, text = (model.branch(name).backbone.feature_dim for name in ("image", "text"))
    assert model.feature_dim == image + text
    for name, (there, missing) in {
        "source": (slice(0, image), slice(image, None)),
        "target": (slice(image, None), slice(0, image)),
    }.items():
        features = outputs[name].features
        assert features.shape == (8, image + text)
        assert features[:, there].abs().sum() > 0 and not features[:, missing].any()


def alone(model: TransferModel, stream: Batch) -> Tensor:
    model.eval()
    with torch.no_grad():
        return model(stream.inputs).out


@pytest.mark.parametrize("fusion", ["concat", "gated", "mean"])
@pytest.mark.parametrize("pair", [("images", "texts"), ("both", "texts"), ("images", "both")])
def test_each_stream_gets_what_it_would_get_alone(
    data: dict[str, Path], pair: tuple[str, str], fusion: str
) -> None:
    study = across(data, *pair, TWO)
    model, batch = first_batch(study, recipe="dann", fusion=fusion, frozen_depth=1)
    model.eval()
    with torch.no_grad():
        outputs = run_streams(model, batch)
    for name, stream in batch.streams.items():
        torch.testing.assert_close(outputs[name].out, alone(model, stream), atol=1e-5, rtol=1e-4)


def weights(model: TransferModel, branch: str) -> Tensor:
    every = model.branch(branch).backbone.parameters()
    return torch.cat([parameter.detach().flatten().clone() for parameter in every])


@pytest.mark.parametrize("recipe", ["dann", "cdan", "dan", "deep_coral", "adda", "mdd"])
def test_adaptation_trains_the_branches_of_both_domains(data: dict[str, Path], recipe: str) -> None:
    fusion: dict[str, Any] = {
        "fusion": "gated",
        "mapper": "linear",
        "mapper__batch_norm": recipe == "adda",
    }
    run = run_of(across(data, "images", "texts", TWO), recipe=recipe, **fusion)
    before = {name: weights(run.parts.model, name) for name in ("image", "text")}
    metrics = run.judge(run.train())
    assert np.isfinite(metrics["train/loss/total"])
    for name in ("image", "text"):
        assert not torch.equal(weights(run.parts.model, name), before[name])


def test_dann_compares_fused_features_of_domains_with_other_columns(data: dict[str, Path]) -> None:
    study = across(data, "images", "texts", TWO)
    metrics = trained(study, recipe="dann", fusion="mean", adversarial_lambda=0.5)
    assert 0 < metrics[0]["train/loss/domain"] < 3
    assert metrics[0]["test/rows"] == 30


def test_without_target_labels_the_source_s_column_is_what_is_learnt(
    data: dict[str, Path],
) -> None:
    domain = {"dataset": data["texts"], "labels": "none"}
    study = across(data, "images", "texts", TWO, target_domain=domain)
    run = run_of(study, recipe="source_only", fusion="mean")
    before = {name: weights(run.parts.model, name) for name in ("image", "text")}
    run.judge(run.train())
    image, text = (weights(run.parts.model, name) for name in ("image", "text"))
    assert not torch.equal(image, before["image"])
    assert torch.equal(text, before["text"])


def test_a_column_of_another_name_is_the_same_where_it_is_the_only_one_of_its_kind(
    data: dict[str, Path],
) -> None:
    study = across(data, "photos", "both", TWO)
    domains = Material.of(study).domains
    assert list(domains.columns) == ["image", "text"]
    assert domains.source is not None
    assert domains.column_in(domains.source, "image") == "photo"
    _, batch = first_batch(study, recipe="dann")
    assert batch.source is not None and list(batch.source.inputs) == ["image"]


def test_a_source_model_that_reads_nothing_of_a_domain_is_refused(data: dict[str, Path]) -> None:
    study = across(data, "images", "texts", {"net": {"parts": {"text": BILSTM}}})
    with pytest.raises(ConfigError, match=r"source_models.net: it reads text, but .* has image"):
        preflight(study)


def test_a_trial_that_finds_no_column_of_a_domain_says_so(data: dict[str, Path]) -> None:
    with pytest.raises(ConfigError, match="it reads text, and .*/images has image; take other"):
        run_of(across(data, "images", "both", TWO), recipe="dann", inputs="text")


@pytest.mark.parametrize("mapper", ["conv1x1", "attention"])
def test_a_mapper_of_maps_is_refused_for_fused_columns(data: dict[str, Path], mapper: str) -> None:
    study = study_of(data["both"], TWO)
    with pytest.raises(ModelError, match=f"{mapper} reads the maps .* of one column, but net has"):
        parts_of(study, mapper=mapper)
    parts_of(study, mapper=mapper, inputs="image")


@pytest.mark.parametrize(
    ("source", "target", "recipe", "expected"),
    [
        ("both", "others", "dann", True),
        ("images", "both", "dann", False),  # the source rows have no text
        ("both", "texts", "dann", False),
        ("both", "texts", "finetune", False),  # no stream at all has an image
        ("images", "both", "finetune", True),  # source rows are not read
    ],
)
def test_only_trials_whose_streams_have_every_branch_are_fused(
    data: dict[str, Path], source: str, target: str, recipe: str, expected: bool
) -> None:
    study = across(data, source, target, TWO)
    runs = [
        run_of(study, recipe=recipe, fusion="mean", frozen_depth="100%", optimizer__lr=lr)
        for lr in (0.05, 0.02)
    ]
    assert all(run.reads_features for run in runs)
    assert fusable(runs[0].trainer) is expected
    if expected:
        means = train_fused_epoch(
            [Member(run.trainer, run.epoch_seed) for run in runs],
            lambda i: joint_batches(runs[i].feeds),
            runs[0].steps,
            same_rows=True,
        )
        assert all(isinstance(of, dict) for of in means)


def test_mixed_rows_are_evidence_of_images_alone(data: dict[str, Path]) -> None:
    found = {}
    for name, models in (("images", {"net": CNN}), ("texts", {"net": BILSTM}), ("both", TWO)):
        study = study_of(data[name], models, train=TRAIN)
        run = run_of(study)
        feeds = evidence_feeds(run.material, run._readers, 0, with_source=False)
        evidence = gather(run.parts.model, run.parts.task, feeds, torch.device("cpu"))
        found[name] = evidence.mixed_agreement
        assert evidence.target_p_NK is not None and evidence.target_p_NK.shape[1] == len(CLASSES)
    assert found["images"] is not None and 0 <= found["images"] <= 1
    assert found["texts"] is None and found["both"] is None


def test_mixval_is_not_said_where_rows_cannot_be_mixed(data: dict[str, Path]) -> None:
    more = {"search": {"objective": "bnm"}}
    last = trained(study_of(data["texts"], {"net": BILSTM}, train=TRAIN, **more))[-1]
    assert "target/validator/bnm" in last and "target/validator/mixval" not in last
    # One column of a model of two can be read alone, and be mixed.
    last = trained(study_of(data["both"], TWO, train=TRAIN, **more), inputs="image")[-1]
    assert "target/validator/mixval" in last


TEACHER = {"teacher": {"parts": {"image": CNN}}, "net": {"parts": {"text": BILSTM}}}
DISTILLED = {"source_model": "teacher", "student": "net", "recipe": "distillation"}


@pytest.fixture(scope="module")
def taught(data: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source model of images with a head for the classes."""
    study = study_of(data["images"], {"net": CNN}, train=TRAIN | {"epochs": 9})
    run = run_of(study)
    while not run.done:
        run.judge(run.train())
    trial = TrialConfig(source_model="net")
    told = {"task": dict(run.parts.task.facts()), "mapper": trial.mapper, "head": trial.head}
    out = tmp_path_factory.mktemp("taught") / "model"
    save_source_model(out, run.parts.model, run.parts.spec.model_copy(update=told))
    return out


def test_a_teacher_of_images_teaches_a_student_of_texts(
    data: dict[str, Path], taught: Path
) -> None:
    models = TEACHER | {"teacher": {"path": taught}}
    study = study_of(data["both"], models, train=TRAIN)
    flat: dict[str, Any] = {"source_model": "teacher", "student": "net", "recipe": "distillation"}
    run = run_of(study, **flat)
    assert list(run.parts.branches) == ["text", "teacher/image"]
    teacher, model = run.parts.teacher, run.parts.model
    assert teacher is not None and list(model.named_branches) == ["text"]
    before = {k: v.clone() for k, v in teacher.network.state_dict().items()}
    batch = next(run.feeds["target"].train_batches())
    assert set(batch.inputs) == {"text", "teacher/image"}
    # What it says of the batch is what it says of the images of these rows.
    domain = run.material.domains.target
    places = np.searchsorted(domain.split("train").ids(), batch.id.numpy())
    branch = teacher.network.branch("image")
    from raytl.rows import Given

    rows = branch.transform.prepare(domain.split("train").read("image", places))
    with torch.no_grad():
        expected = teacher.network({"image": Given(rows)}).out
    torch.testing.assert_close(teacher(batch).out, expected, atol=1e-5, rtol=1e-4)
    metrics = run.judge(run.train())
    assert metrics["train/loss/distillation"] > 0 and metrics["train/loss/task"] > 0
    assert all(torch.equal(v, before[k]) for k, v in teacher.network.state_dict().items())


def test_without_labels_a_student_of_texts_learns_its_classes_from_images(
    data: dict[str, Path], taught: Path
) -> None:
    models = TEACHER | {"teacher": {"path": taught}}
    domain = {"dataset": data["both"], "labels": "none"}
    train = {"epochs": 20, "batch_size": 16, "steps_per_epoch": 4}
    source = {"dataset": data["others"], "splits": {"train": "train", "validation": None}}
    study = study_of(
        data["both"], models, target_domain=domain, train=train,
        source_domain=source | {"inputs": ["text"]},
    )  # fmt: skip
    flat: dict[str, Any] = {"source_model": "teacher", "student": "net", "recipe": "distillation"}
    metrics = trained(study, **flat, optimizer="adam", optimizer__lr=0.02)
    assert metrics[-1]["test/accuracy"] > 0.85


def test_relations_among_images_are_taught_to_texts_by_a_teacher_without_a_head(
    data: dict[str, Path],
) -> None:
    study = study_of(data["both"], TEACHER, train=TRAIN)
    flat: dict[str, Any] = {
        "source_model": "teacher",
        "student": "net",
        "recipe": "relational_distillation",
    }
    metrics = trained(study, **flat)
    assert metrics[0]["train/loss/distance"] > 0 and metrics[0]["train/loss/angle"] > 0
    with pytest.raises(ConfigError, match="distillation needs a teacher.*it has no head"):
        parts_of(study, **flat | {"recipe": "distillation"})


def test_a_teacher_of_two_columns_teaches_by_what_rows_have(data: dict[str, Path]) -> None:
    models = {"teacher": TWO["net"], "net": {"parts": {"text": BILSTM}}}
    study = across(data, "both", "texts", models)
    flat: dict[str, Any] = {
        "source_model": "teacher",
        "student": "net",
        "recipe": "relational_distillation",
    }
    metrics = trained(study, **flat)
    assert np.isfinite(metrics[0]["train/loss/total"])


def test_a_teacher_that_reads_nothing_of_the_target_is_refused(data: dict[str, Path]) -> None:
    study = across(data, "both", "texts", TEACHER)
    flat: dict[str, Any] = {
        "source_model": "teacher",
        "student": "net",
        "recipe": "relational_distillation",
    }
    with pytest.raises(ConfigError, match="teacher reads image, and the target has text"):
        run_of(study, **flat)


def stored(out: Path, study: Study, **flat: Any) -> Path:
    """Save what a trial of the study is before its training, as a source model with a head."""
    run, trial = run_of(study, **flat), trial_of(**flat)
    told = {
        "task": dict(run.parts.task.facts()), "mapper": trial.mapper, "head": trial.head,
        "fusion": trial.fusion,
    }  # fmt: skip
    save_source_model(out, run.parts.model, run.parts.spec.model_copy(update=told))
    return out


@pytest.mark.parametrize("fusion", ["concat", "gated", "mean"])
def test_a_teacher_of_two_columns_is_told_apart_whatever_they_are_called(
    data: dict[str, Path], tmp_path: Path, fusion: str
) -> None:
    out = stored(tmp_path / "two", study_of(data["both"], TWO, train=TRAIN), fusion=fusion)
    renamed = write_rows(tmp_path / "renamed", {"photo": "image", "words": "text"}, seed=3)
    said = []
    for place, text in ((data["both"], "text"), (renamed, "words")):
        models = {"teacher": {"path": out}, "net": {"parts": {text: BILSTM}}}
        taught_run = run_of(study_of(place, models, train=TRAIN), **DISTILLED)
        teacher = taught_run.parts.teacher
        assert teacher is not None
        said.append(teacher(next(taught_run.feeds["target"].train_batches())).out)
    # Both datasets hold the same rows, under other names.
    torch.testing.assert_close(said[0], said[1])
    assert said[0].std(0).min() > 0


@pytest.mark.parametrize("mapper", ["attention", "conv1x1"])
@pytest.mark.parametrize("recipe", ["distillation", "relational_distillation"])
def test_a_teacher_whose_mapper_reads_maps_is_given_them(
    data: dict[str, Path], tmp_path: Path, recipe: str, mapper: str
) -> None:
    study = study_of(data["images"], {"net": CNN}, train=TRAIN)
    out = stored(tmp_path / "attentive", study, mapper=mapper)
    models = TEACHER | {"teacher": {"path": out}}
    run = run_of(study_of(data["both"], models, train=TRAIN), **DISTILLED | {"recipe": recipe})
    assert np.isfinite(run.judge(run.train())["train/loss/total"])


@pytest.mark.parametrize("fusion", ["concat", "gated", "mean"])
def test_predictions_are_the_same_whatever_columns_are_called(
    data: dict[str, Path], tmp_path: Path, fusion: str
) -> None:
    run = run_of(study_of(data["both"], TWO, train=TRAIN), fusion=fusion)
    run.judge(run.train())
    trial = TrialConfig.from_flat({"source_model": "net", "fusion": fusion})
    told = {
        "task": dict(run.parts.task.facts()), "mapper": trial.mapper, "head": trial.head,
        "fusion": trial.fusion,
    }  # fmt: skip
    save_source_model(tmp_path / "two", run.parts.model, run.parts.spec.model_copy(update=told))
    renamed = write_rows(tmp_path / "renamed", {"photo": "image", "words": "text"}, seed=3)
    expected = predict_split(tmp_path / "two", data["both"], "test")
    found = predict_split(tmp_path / "two", renamed, "test")
    assert len({p for _, _, p in expected.rows}) > 1 and found == expected
    with pytest.raises(ModelError, match=r"reads image \(image\), text \(text\), but the domains"):
        predict_split(tmp_path / "two", data["images"], "test")


def test_names_of_columns_in_each_domain_are_those_of_the_data(data: dict[str, Path]) -> None:
    from raytl.config import DomainConfig, TargetDomainConfig

    target = Domain.open(TargetDomainConfig(dataset=data["texts"]))
    source = Domain.open(DomainConfig(dataset=data["series"]))
    domains = Domains(target, source)
    assert list(domains.columns) == ["text", "series"]
    assert domains.column_in(source, "text") is None
    assert domains.column_in(target, "series") is None
    models = {"net": {"parts": {"text": BILSTM, "series": GRU}}}
    study = across(data, "series", "texts", models)
    parts = build_trial(Material.of(study), TrialConfig(source_model="net", recipe="dann"), 1)
    assert list(parts.model.named_branches) == ["text", "series"]
