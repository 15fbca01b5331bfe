"""The study file: what is read, and what each mistake is told."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from raytl.config import (
    OptimizerConfig,
    SourceModelConfig,
    TrialConfig,
    dump_study,
    frozen_blocks,
    load_study,
    nearest,
)
from raytl.errors import ConfigError

STUDY = """
study: s
source_domain: {dataset: data/a}
target_domain: {dataset: data/b, labels: none}
source_models:
  lenet: {path: sources/lenet}
  scratch: {backbone: lenet}
space:
  frozen_depth: {choice: [0%, 50%, 100%]}
  mapper: {choice: [identity, mlp]}
  mapper.hidden: {int: [32, 256], log: true, when: {mapper: mlp}}
  recipe: {choice: [finetune, dann]}
  optimizer.lr: {float: [1e-4, 1.0e-1], log: true}
search: {trials: 4}
"""


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    return path


def test_reads_yaml_1_2_floats_as_numbers(study_file: Path) -> None:
    assert load_study(study_file).space["optimizer.lr"].bounds == (1e-4, 0.1)


@pytest.mark.parametrize("name", ["photos", "2024", "1e5", "no"])
def test_dump_reads_back_equal(name: str, study_file: Path, tmp_path: Path) -> None:
    study = load_study(study_file, [f"study='{name}'"])
    (tmp_path / "again.yaml").write_text(dump_study(study))
    assert load_study(tmp_path / "again.yaml") == study


def test_objective_follows_the_labels(study_file: Path) -> None:
    assert load_study(study_file).objective == "bnm"
    labelled = load_study(study_file, ["target_domain.labels=5"])
    assert labelled.objective == "target_metric"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("serch.trials=3", "unknown key 'serch'; did you mean 'search'?"),
        ("search.trails=3", "did you mean 'trials'?"),
        ("search.trials=0", ":14: search.trials: Input should be greater than 0"),
        ("target_domain.labels=-3", "target_domain.labels"),
        ("search.objective=target_accuracy", "needs target labels"),
        ("source_domain=null", "no labels to learn from"),
        ("source_models={}", "source_models"),
        ("source_models.x={path: a, backbone: lenet}", "exactly one of path, torchvision"),
        ("source_models.x={torchvision: resnet18}", "torchvision needs weights"),
        ("space.head={choice: []}", "space.head: choice has no values"),
        ("space.head={choice: [linear], int: [1, 2]}", "exactly one of choice, int and float"),
        ("space.head={chioce: [linear]}", "unknown key 'chioce'; did you mean 'choice'?"),
        ("space.mapper.hidden={int: [9, 3]}", "low <= high must hold, got [9, 3]"),
        ("space.optimizer.lr={float: [0, 1], log: true}", "log needs low > 0"),
        ("resources.workers_per_trial=0", "must be a number of workers >= 1, or [fewest, most]"),
        ("study=../evil", "study: "),
    ],
)
def test_each_mistake_names_its_place(study_file: Path, override: str, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_study(study_file, [override])
    message = str(caught.value)
    assert expected in message
    assert message.startswith(str(study_file))
    assert len(message.splitlines()) <= 4


@pytest.mark.parametrize("text", ["", "- 1", "a: [", "just words"])
def test_what_is_not_a_study_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        load_study(tmp_path / "bad.yaml")


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot read"):
        load_study(tmp_path / "none.yaml")


def test_set_needs_key_and_value(study_file: Path) -> None:
    with pytest.raises(ConfigError, match="expected key=value"):
        load_study(study_file, ["search.trials"])


def test_flat_and_nested_are_the_same_trial() -> None:
    flat = {"source_model": "a", "mapper": "mlp", "mapper.hidden": 7, "optimizer.lr": 0.5}
    trial = TrialConfig.from_flat(flat)
    assert (trial.mapper.name, trial.mapper.hidden, trial.optimizer.lr) == ("mlp", 7, 0.5)
    assert TrialConfig.from_flat(trial.flat()) == trial


def test_learning_rate_is_the_optimisers_usual_one_unless_given() -> None:
    rates = {
        name: TrialConfig.from_flat({"source_model": "a", "optimizer": name}).optimizer.lr
        for name in ("sgd", "adam", "adamw")
    }
    assert rates == {"sgd": 0.01, "adam": 0.002, "adamw": 0.002}
    given = {"source_model": "a", "optimizer": "adam", "optimizer.lr": 0.3}
    assert TrialConfig.from_flat(given).optimizer.lr == 0.3
    assert TrialConfig(source_model="a").optimizer == OptimizerConfig(name="adam", lr=0.002)


@pytest.mark.parametrize(
    ("depth", "blocks", "frozen"),
    [(0, 13, 0), (13, 13, 13), ("0%", 13, 0), ("50%", 13, 6), ("100%", 5, 5)],
)
def test_frozen_blocks(depth: int | str, blocks: int, frozen: int) -> None:
    assert frozen_blocks(depth, blocks, "net") == frozen


def test_frozen_depth_beyond_the_backbone() -> None:
    with pytest.raises(ConfigError, match="frozen_depth=9 for net with 5 blocks"):
        frozen_blocks(9, 5, "net")


@pytest.mark.parametrize(
    ("resources", "train", "message"),
    [
        ({"workers_per_trial": 0}, {}, "workers_per_trial"),
        ({"workers_per_trial": [4, 1]}, {}, r"1 <= fewest <= most, got \[4, 1\]"),
        ({"workers_per_trial": [1, 2, 3]}, {}, "1 <= fewest <= most"),
        ({"workers_per_trial": 2.5}, {}, "must be a number of workers"),
        ({"workers_per_trial": 2, "gpus_per_worker": 0.5}, {}, "need a GPU each"),
        ({"gpus_per_worker": 2}, {}, "got 2; take 1, and workers_per_trial: 2"),
        ({"gpus_per_worker": 1.5}, {}, "<= 1 must hold, .* got 1.5"),
        ({"workers_per_trial": 3}, {"batch_size": 8, "accumulation_steps": 3}, "got 8 for 9"),
    ],
)
def test_workers_that_cannot_be_are_refused(
    tiny_study: Any, resources: Any, train: Any, message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        tiny_study(resources=resources, train=train)


def test_a_folder_of_huggingface_is_meant_from_where_the_study_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data/minilm").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    own = SourceModelConfig(huggingface="data/minilm")
    of_hub = SourceModelConfig(huggingface="microsoft/minilm")
    assert own.huggingface == str(tmp_path / "data/minilm")
    assert of_hub.huggingface == "microsoft/minilm"


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("fientune", "did you mean 'finetune'?"),
        ("DANN", "did you mean 'Dann'?"),
        ("zzz", "known: finetune, Dann"),
    ],
)
def test_the_nearest_spelling_whatever_the_size_of_letters(word: str, told: str) -> None:
    assert nearest(word, ["finetune", "Dann"]) == told
