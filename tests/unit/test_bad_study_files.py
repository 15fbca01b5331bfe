"""Study files that no person meant to write: each is refused with its place and a remedy."""

import os
import re
from pathlib import Path

import pytest

from raytl.config import load_study
from raytl.errors import ConfigError

STUDY = """study: s
target_domain: {dataset: data/b}
source_models:
  lenet: {path: sources/lenet}
space:
  recipe: {choice: [finetune, scratch]}
"""


def refused(path: Path, content: str | bytes, *overrides: str) -> str:
    """Return what is said of a study with this content."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as caught:
        load_study(path, list(overrides))
    message = str(caught.value)
    assert message.startswith((str(path), "--set"))
    assert len(message.splitlines()) <= 4
    assert all(len(line) < 400 for line in message.splitlines())
    return message


def bomb(levels: int) -> str:
    """Return aliases of aliases that stand for 9^levels values."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (STUDY.encode("utf-16"), "is UTF-16; save it as UTF-8"),
        (STUDY.encode("utf-16-le"), "not text: .* save it as UTF-8"),
        (STUDY.encode("utf-32"), "is UTF-32; save it as UTF-8"),
        (bytes(range(1, 256)), "not text in UTF-8: byte 0x80 at position 127"),
        (b"study: caf\xe9\n", "not text in UTF-8: byte 0xe9"),
        (b"PK\x03\x04\x00\x00", "not text"),
        ("# " + "x" * 2**21, "is larger than 256 KiB"),
        ("", "expected a study with keys"),
        ("# nothing but a comment\n", "expected a study with keys"),
        ("- a\n- b\n", "expected a study with keys"),
        ("true", "expected a study with keys"),
        (STUDY + "study: t\n", "bad.yaml:7: 'study' stands here and in line 1; remove one"),
        (
            STUDY + "train:\n  epochs: 1\n  batch_size: 2\n  epochs: 3\n",
            "bad.yaml:10: 'train.epochs' stands here and in line 8; remove one",
        ),
        (STUDY + "defaults: &d {head: *d}\n", ":7: 'defaults.head' holds itself, through an alias"),
        (STUDY + "defaults: &d [*d]\n", "holds itself, through an alias"),
        (bomb(9), "aliases make more than 10,000 values of it"),
        (STUDY + f"train: {{epochs: {'9' * 5000}}}\n", "an integer of 5000 digits"),
        (STUDY + f"train: {{epochs: -{'9' * 19}}}\n", ":7: train.epochs: an integer of 19 digits"),
        (STUDY + "train: {epochs: 010}\n", ":7: train.epochs: 010 is one number in YAML 1.1"),
        (STUDY + "train: {epochs: 0_017}\n", ":7: train.epochs: 0_017 is one number in YAML"),
        (STUDY + "train: {epochs: 1:30}\n", ":7: train.epochs: 1:30 is one number in YAML 1.1"),
        (STUDY + "optimizer: {lr: 1:30.5}\n", "1:30.5 is one number in YAML 1.1"),
        (STUDY + f"train: {{epochs: 0x{'f' * 5000}}}\n", "an integer of 5000 digits"),
        ("[" * 3000, "nested deeper than 50"),
        ("[" * 3000 + "]" * 3000, "nested deeper than 50"),
        (STUDY + "defaults: " + "{a: " * 60 + "1" + "}" * 60, "nested deeper than 50"),
        ("study: s\n\ttarget_domain: x\n", "bad.yaml:2: not valid YAML: .*indent with spaces"),
        ("study: s\nspace: [\n", "not valid YAML"),
        ("study: \x07\n", "not valid YAML: .*special characters"),
        (STUDY + "---\nstudy: t\n", "not valid YAML: .*another document"),
        (STUDY + "defaults: !!python/object/apply:os.system [ls]\n", ":7: not valid YAML"),
        (STUDY + "defaults: {[a]: 1}\n", ":7: not valid YAML"),
        (STUDY + "defaults: {a: 2024-99-99}\n", ":7: defaults.a: "),
        (STUDY + "defaults: {a: *b}\n", ":7: not valid YAML: .*undefined alias"),
    ],
)  # fmt: skip
def test_what_is_no_study_is_refused_in_its_place(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    text = refused(tmp_path / "bad.yaml", content)
    assert re.search(message, text), text


def test_a_byte_order_mark_and_plain_aliases_are_read(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + STUDY.encode())
    assert load_study(path).study == "s"
    twice = STUDY.replace("{path: sources/lenet}", "&net {backbone: lenet}") + "  other: *net\n"
    path.write_text(twice.replace("  other: *net\n", "").replace("space:", "  other: *net\nspace:"))
    assert len(load_study(path).source_models) == 2


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder; give the study's YAML file"):
        load_study(tmp_path)
    with pytest.raises(ConfigError, match="is no regular file"):
        load_study("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="is no regular file"):
        load_study(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="cannot read the study: File name too long"):
        load_study("x" * 5000)
    with pytest.raises(ConfigError, match="cannot read the study"):
        load_study("a\0b")


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("search.trials", "expected key=value"),
        ("=3", "expected key=value"),
        (".=3", "a name is empty"),
        ("search..trials=3", "a name is empty"),
        ("search.=3", "a name is empty"),
        ("search.trials=[", "not valid YAML"),
        ("search.trials={a: 1, a: 2}", "'a' stands here and in line 1"),
        (f"search.trials={'9' * 5000}", "an integer of 5000 digits"),
        ("search.trials=&a [*a]", "holds itself"),
        ("study.name=3", "goes through a value"),
        ("space.recipe.choice=[finetune]", "space.recipe.choice"),
        ("search.trials=\x00", "not valid YAML"),
        ("space=1\n2: {", "not valid YAML"),
    ],
)
def test_assignments_that_are_none(tmp_path: Path, assignment: str, message: str) -> None:
    assert message in refused(tmp_path / "study.yaml", STUDY, assignment)


def test_an_assignment_into_a_space_that_is_a_function(tmp_path: Path) -> None:
    study = STUDY.split("space:")[0] + "space: module:function\n"
    assert "goes through a value" in refused(tmp_path / "s.yaml", study, "space.recipe=1")


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("optimizer.lr: {choice: [0.1, 0.2, 0.1]}", "choice has 0.1 twice; remove one"),
        ("lora_rank: {choice: [1, true]}", "choice has 1 and True, which count as one value"),
        ("frozen_depth: {choice: [[1], [1]]}", r"choice has \[1\] twice"),
        ("optimizer.lr: {float: [0.1, .inf]}", "bounds must be finite, got .*inf"),
        ("optimizer.lr: {float: [-.inf, 1]}", "bounds must be finite, got .*-inf"),
        ("optimizer.lr: {float: [.nan, 1]}", "bounds must be finite, got .*nan"),
        ("optimizer.lr: {float: [0.1, 1e999]}", "bounds must be finite"),
        ("optimizer.lr: {float: [1e-300, 1e300], log: true}", "high / low must be finite"),
        ("optimizer.lr: {float: [-1e308, 1e308]}", "high - low must be finite"),
        ("optimizer.lr: {float: [0.1, 1], step: .inf}", "step"),
        ("optimizer.lr: {float: [0.1, 1], step: 2}", "step <= high - low must hold"),
        ("mapper.hidden: {int: [1, 9], step: 0.5}", "step of an int range must be whole, got 0.5"),
        ("mapper.hidden: {int: [1.5, 9]}", "space.mapper.hidden"),
        ("mapper.hidden: {int: [1]}", "space.mapper.hidden"),
        ("mapper.hidden: {int: 7}", "space.mapper.hidden"),
        ("mapper.hidden: {choice: mlp}", "space.mapper.hidden"),
        ("mapper.hidden: {choice: {a: 1}}", "space.mapper.hidden"),
        ("mapper.hidden: [1, 2]", "expected one of"),
        ("mapper.hidden:", "expected one of"),
    ],
)
def test_ranges_that_cannot_be_searched(tmp_path: Path, space: str, message: str) -> None:
    text = refused(tmp_path / "bad.yaml", STUDY + f"  {space}\n")
    assert re.search(message, text), text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train: {epochs: .inf}", "train.epochs"),
        ("resources: {wait_s: .inf}", "resources.wait_s: Input should be a finite number"),
        ("resources: {gpus_per_worker: .inf}", "finite number"),
        ("resources: {gpus_per_worker: .nan}", "resources.gpus_per_worker"),
        ("search: {seed: -1}", "search.seed"),
        ("resources: {storage_path: 5}", "resources.storage_path: must be a URL such as s3://"),
        ("resources: {storage_path: [s3://bucket/runs]}", "resources.storage_path: must be a URL"),
        ("train:", "train"),
    ],
)
def test_values_that_are_none(tmp_path: Path, line: str, message: str) -> None:
    assert message in refused(tmp_path / "bad.yaml", STUDY + line + "\n")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("{backbone: lenet, normalization: {mean: [0.5], std: [0]}}", "greater than 0"),
        ("{backbone: lenet, normalization: {mean: [.nan], std: [1]}}", "finite number"),
        ("{backbone: lenet, normalization: {mean: [0.5], std: [.inf]}}", "finite number"),
        ("{backbone: lenet, normalization: {mean: [], std: []}}", "a number a channel"),
        (
            "{backbone: lenet, normalization: {mean: [0.5, 0.5], std: [1]}}",
            "mean and std must be as long, got 2 and 1",
        ),
        ("{backbone: lenet, input_size: 100000}", "less than or equal to 4096"),
        ("{backbone: lenet, input_size: 0}", "greater than 0"),
        ("{backbone: lenet, args: [1]}", "args"),
        ("{path: a, input_size: 32}", "remove input_size"),
        ("{}", "exactly one of path, torchvision, timm, huggingface"),
        ("", "source_models.lenet"),
    ],
)
def test_source_models_that_cannot_be(tmp_path: Path, model: str, message: str) -> None:
    study = STUDY.replace("{path: sources/lenet}", model)
    assert message in refused(tmp_path / "bad.yaml", study)


def test_a_value_of_several_kinds_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    space = refused(path, STUDY + "  optimizer.lr: {float: [2, 1]}\n")
    assert space == f"{path}:7: space.optimizer.lr: low <= high must hold, got [2.0, 1.0]"
    labels = refused(path, STUDY, "target_domain.labels=yes")
    assert labels.endswith("true or false, as which YAML reads yes, no, on and off, got True")
    labels = refused(path, STUDY, "target_domain.labels=-1")
    assert labels.endswith("should be 'none' or 'all', or greater than 0, got -1")
    objective = refused(path, STUDY, "search.objective=acuracy")
    assert (
        "should be 'auto' or 'target_accuracy', or 'target_metric', 'target_entropy'" in objective
    )
