"""Every recipe on sentences: two epochs of two steps of the real loop, or a refusal."""

import csv
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from contract_run import TAUGHT, able, run, trains_resumes_and_streams, unable
from sentences_support import TEST, pairs, study_of_pairs, write_pairs

from raytl import verbs
from raytl.config import OptimizerConfig, Study, TrialConfig
from raytl.data.domain import Domain
from raytl.data.writer import Chunk, write_dataset
from raytl.errors import ConfigError, ModelError
from raytl.modalities.image.column import ImageColumn
from raytl.sweeping.opening import open_study
from raytl.sweeping.preflight import preflight
from raytl.tasks.sentence_column import SentenceColumn
from raytl.training.building import build_trial
from raytl.training.material import Material
from raytl.training.predict import predict_split
from raytl.training.pretrain import pretrain
from raytl.training.readers import Stored
from raytl.training.trial import TrialRun

pytest.importorskip("sacrebleu", reason="sentences are judged by sacrebleu: raytl[text]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sentences")


def material_of(folder: Path, **train: Any) -> Material:
    plain = study_of_pairs(folder)
    plain["source_models"] |= {"other": {"backbone": "text_cnn", "args": {"dim": 4}}}
    return Material.of(Study.model_validate(plain | {"train": plain["train"] | train}))


def trial(recipe: str, **flat: Any) -> TrialConfig:
    plain = {
        "source_model": "net", "recipe": recipe, "frozen_depth": 1, "head.hidden": 16,
        "head": "constant" if recipe == "constant" else "transformer_decoder",
        "head.dropout": 0.1, "optimizer": "adam", "label_smoothing": 0.1,
    }  # fmt: skip
    if recipe in TAUGHT:
        plain |= {"source_model": "other", "student": "net"}
    return TrialConfig.from_flat(plain | flat)


@pytest.mark.parametrize("recipe", able("translation"))
def test_a_recipe_trains_resumes_and_reads_the_same_streamed(
    folder: Path, tmp_path: Path, recipe: str
) -> None:
    material = partial(material_of, folder)
    _, said = trains_resumes_and_streams(material, trial(recipe), tmp_path)
    assert said.predicted_N is None and said.target_N.tolist() == [0] * TEST
    words = said.given("sentences")[:, 1]
    assert sorted(words) == sorted(len(text.split()) for text in pairs(TEST, 11)[1])


@pytest.mark.parametrize("recipe", unable("translation"))
def test_other_recipes_are_refused_by_name(folder: Path, recipe: str) -> None:
    study = study_of_pairs(folder, space={"recipe": {"choice": [recipe]}})
    with pytest.raises(
        ConfigError, match=rf"recipe {recipe} needs .* column 'sentence' holds sentences"
    ):
        preflight(Study.model_validate(study))


@pytest.mark.parametrize("depth", [1, "100%"])
@pytest.mark.parametrize("head", ["transformer_decoder", "gru_decoder"])
def test_kept_states_of_a_prefix_give_the_same_trial(folder: Path, depth: Any, head: str) -> None:
    config = trial("dann", frozen_depth=depth, head=head, **{"head.dropout": 0.0})
    reading = material_of(folder, steps_per_epoch=None)
    assert isinstance(TrialRun(reading, config, 5)._readers.by_branch["text"], Stored)
    kept, again = run(reading, config)
    plain, parts = run(material_of(folder, steps_per_epoch=None, reuse_prefix=False), config)
    for ours, theirs in zip(kept, plain, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-6)
    for name, value in parts.model.state_dict().items():
        torch.testing.assert_close(again.model.state_dict()[name], value, rtol=1e-3, atol=1e-5)


def test_rows_without_a_sentence_are_not_learnt_from(tmp_path: Path) -> None:
    write_pairs(tmp_path / "target", 1, nulls=True)
    study = study_of_pairs(tmp_path, source_domain=None)
    study["target_domain"]["labels"] = "all"
    domain = Domain.open(Study.model_validate(study).target_domain)
    marks = domain.targets("train")
    assert (marks == -1).sum() == 8 and (marks == 0).sum() == 16
    reported, _ = run(Material.of(Study.model_validate(study)), trial("finetune"))
    assert np.isfinite(reported[-1]["train/loss/task"])


def test_without_labels_a_trial_is_selected_by_weighted_source_losses(folder: Path) -> None:
    study = study_of_pairs(folder)
    study["target_domain"]["labels"] = "none"
    study["space"] = {"recipe": {"choice": ["dann"]}}
    opened = open_study(Study.model_validate(study)).study
    assert (opened.objective, opened.metric) == ("iwv", "bleu")
    assert opened.defaults["head"] == "transformer_decoder"
    reported, _ = run(Material.of(opened), trial("dann"))
    assert np.isfinite(reported[-1]["target/validator/iwv"])
    assert "oracle/target_validation_bleu" in reported[-1]


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("head", "mlp", "space.head: head mlp is not for it, as the target column 'sentence'"),
        ("mapper", "linear", "space.mapper: mapper linear maps a row's features, but the target"),
    ],
)
def test_parts_that_sentences_cannot_have_are_refused(
    folder: Path, key: str, value: str, text: str
) -> None:
    study = study_of_pairs(folder, space={key: {"choice": [value]}})
    with pytest.raises(ConfigError, match=text):
        preflight(Study.model_validate(study))


def test_a_metric_of_classes_is_refused(folder: Path) -> None:
    study = study_of_pairs(folder, search={"metric": "accuracy"})
    with pytest.raises(ConfigError, match="accuracy is not of sentences, .* auto, bleu or chrf"):
        open_study(Study.model_validate(study))


def test_a_width_that_heads_of_attention_cannot_share_is_refused(folder: Path) -> None:
    config = trial("finetune", **{"head.hidden": 12})
    with pytest.raises(ModelError, match="head.hidden must be a multiple of 8, but got 12"):
        build_trial(material_of(folder), config, 5)


def test_a_network_without_tokens_is_refused(tmp_path: Path) -> None:
    _, sentences = pairs(12, 0)
    columns = {
        "image": ImageColumn(shape=(8, 8, 1), dtype="uint8"), "sentence": SentenceColumn()
    }  # fmt: skip
    images = np.zeros((12, 8, 8, 1), np.uint8)
    rows = [Chunk({"image": images, "sentence": sentences}, np.arange(12))]
    write_dataset(tmp_path / "target", columns, {"train": rows, "test": rows}, {"kind": "test"})
    study = study_of_pairs(tmp_path, source_domain=None)
    study["source_models"] = {"net": {"backbone": "lenet", "input_size": 28}}
    with pytest.raises(ModelError, match="a translation needs a network whose blocks give tokens"):
        preflight(Study.model_validate(study))


def test_a_pretrained_model_translates_and_gives_its_backbone(folder: Path, tmp_path: Path) -> None:
    study_of_pairs(folder)
    spec = pretrain(
        folder / "source", "bilstm", tmp_path / "net", epochs=3, batch_size=8,
        optimizer=OptimizerConfig(name="adam", lr=0.01),
    )  # fmt: skip
    assert spec.score.keys() == {
        "validation_bleu",
    }  # type: ignore[union-attr]
    assert spec.head is not None and spec.head.name == "transformer_decoder"
    found = predict_split(tmp_path / "net", folder / "target", "test")
    assert (
        found.task == "translation"
        and found.columns == ("id", "sentence")
        and len(found.rows) == TEST
    )
    assert all(isinstance(row[1], str) for row in found.rows) and "bleu" in found.metrics
    verbs.predict(tmp_path / "net", folder / "target", out=tmp_path / "said.csv")
    rows = list(csv.reader((tmp_path / "said.csv").open(encoding="utf-8")))
    assert rows[0] == ["id", "sentence"] and len(rows) == TEST + 1
    plain = study_of_pairs(folder, source_models={"net": {"path": tmp_path / "net"}})
    reported, _ = run(Material.of(Study.model_validate(plain)), trial("linear_probe"))
    assert reported[-1]["frozen_blocks"] == 2
