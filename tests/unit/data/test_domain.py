"""Which columns a study learns from, which it learns, and which of two domains are the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raytl.config import DomainConfig
from raytl.data.dataset import Dataset
from raytl.data.domain import Domain, Domains
from raytl.data.group_column import GroupColumn
from raytl.data.writer import Chunk, write_dataset
from raytl.errors import ConfigError, DataError
from raytl.modalities.column import Column, Values
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.text.column import TextColumn
from raytl.tasks.box_column import BoxColumn
from raytl.tasks.columns import LabelColumn, ValueColumn
from raytl.tasks.mask_column import MaskColumn
from raytl.tasks.sentence_column import SentenceColumn
from raytl.tasks.steps_column import StepsColumn

IMAGE, TEXT = ImageColumn(shape=(2, 2, 1), dtype="uint8"), TextColumn()
LABEL, VALUE = LabelColumn(classes=("a", "b")), ValueColumn()
GROUP = GroupColumn(groups=3)
ROWS = 4


def values_of(column: Column) -> Values:
    numbers = np.arange(ROWS)
    made = {
        "image": numbers[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8),
        "text": np.array([f"row {number}" for number in numbers], dtype=object),
        "label": numbers % 2,
        "value": numbers / 2,
        "group": numbers % 3,
    }
    values = made[column.kind]
    return values.astype(np.uint8) if column.kind == "image" else values


def made(out: Path, **columns: Column) -> Dataset:
    """A dataset with these columns, split `train`."""
    chunk = Chunk({name: values_of(of) for name, of in columns.items()}, np.arange(ROWS))
    write_dataset(out, columns, {"train": [chunk]}, {})
    return Dataset.open(out)


def domain(out: Path, columns: dict[str, Column], **config: Any) -> Domain:
    made(out, **columns)
    return Domain.open(DomainConfig(dataset=out, **config))


def test_what_a_dataset_can_be_learnt_from_and_for(tmp_path: Path) -> None:
    dataset = made(tmp_path / "d", patient=GROUP, x=IMAGE, words=TEXT, y=LABEL, price=VALUE)
    assert dataset.inputs == ("x", "words")
    assert dataset.targets == ("y", "price")
    assert dataset.group == "patient"
    split = dataset.split("train")
    assert split.groups().tolist() == [0, 1, 2, 0]  # type: ignore[union-attr]
    assert split.read("words", [2, 0]).tolist() == ["row 2", "row 0"]
    assert made(tmp_path / "e", x=IMAGE, y=LABEL).split("train").groups() is None


def test_all_inputs_and_the_only_target_are_taken_unless_named(tmp_path: Path) -> None:
    found = domain(tmp_path / "d", {"x": IMAGE, "words": TEXT, "y": LABEL, "patient": GROUP})
    assert (found.inputs, found.target) == (("x", "words"), "y")
    assert list(found.columns) == ["x", "words"] and found.target_column == LABEL
    assert found.targets("train").tolist() == [0, 1, 0, 1]


def test_inputs_and_target_are_taken_as_named(tmp_path: Path) -> None:
    columns = {"x": IMAGE, "words": TEXT, "y": LABEL, "price": VALUE}
    found = domain(tmp_path / "d", columns, inputs=["words"], target="price")
    assert dict(found.columns) == {"words": TEXT} and found.target_column == VALUE
    assert found.targets("train").tolist() == [0.0, 0.5, 1.0, 1.5]
    other = Domain.of(
        DomainConfig(dataset=tmp_path / "d", inputs=["words", "x"], target="y"),
        found.dataset,
    )
    assert list(other.columns) == ["words", "x"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"inputs": ["word"], "target": "y"}, "inputs: no column 'word' to learn from; did you m"),
        ({"inputs": ["y"], "target": "y"}, "inputs: no column 'y' to learn from; known: x, words"),
        ({"inputs": ["patient"], "target": "y"}, "inputs: no column 'patient' to learn from"),
        ({"inputs": ["x", "x"], "target": "y"}, "each column once, one at least, got ['x', 'x']"),
        ({"inputs": [], "target": "y"}, "each column once, one at least, got []; known: x, words"),
        ({"target": "pric"}, "target: no column 'pric' to be learnt; did you mean 'price'?"),
        ({"target": "words"}, "target: no column 'words' to be learnt; known: y, price"),
        ({}, "target: name the column that is to be learnt, as"),
        ({}, "has 2 (y, price)"),
    ],
)
def test_columns_that_cannot_play_their_part(
    tmp_path: Path, config: dict[str, Any], message: str
) -> None:
    columns = {"x": IMAGE, "words": TEXT, "y": LABEL, "price": VALUE, "patient": GROUP}
    with pytest.raises(ConfigError) as caught:
        domain(tmp_path / "d", columns, **config)
    assert message in str(caught.value)


def test_a_dataset_with_nothing_to_learn_or_to_learn_from(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="to be learnt, as .* has none"):
        domain(tmp_path / "d", {"x": IMAGE})
    with pytest.raises(ConfigError, match="has no column to learn from; shard it again"):
        domain(tmp_path / "e", {"y": LABEL, "patient": GROUP})


def test_an_unknown_split_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="unknown split 'tran'; did you mean 'train'"):
        domain(tmp_path / "d", {"x": IMAGE, "y": LABEL}).split("tran")


def both(tmp_path: Path, target: dict[str, Column], source: dict[str, Column]) -> Domains:
    return Domains(
        domain(tmp_path / "target", target | {"y": LABEL}),
        domain(tmp_path / "source", source | {"y": LABEL}),
    )


def test_without_a_source_domain_there_are_the_targets_columns(tmp_path: Path) -> None:
    target = domain(tmp_path / "d", {"x": IMAGE, "y": LABEL})
    domains = Domains(target, None)
    assert dict(domains.columns) == {"x": IMAGE}
    assert domains.column_in(target, "x") == "x" and domains.column_in(target, "z") is None


def test_columns_of_one_name_are_the_same(tmp_path: Path) -> None:
    domains = both(tmp_path, {"x": IMAGE, "scan": IMAGE}, {"scan": IMAGE, "x": IMAGE})
    assert list(domains.columns) == ["x", "scan"]
    assert domains.source is not None
    assert [domains.column_in(domains.source, n) for n in ("x", "scan")] == ["x", "scan"]


def test_the_only_columns_of_a_kind_are_the_same_under_the_targets_name(tmp_path: Path) -> None:
    domains = both(tmp_path, {"x": IMAGE, "words": TEXT}, {"text": TEXT, "photo": IMAGE})
    assert list(domains.columns) == ["x", "words"]
    assert domains.source is not None
    assert domains.column_in(domains.source, "x") == "photo"
    assert domains.column_in(domains.source, "words") == "text"
    assert domains.column_in(domains.target, "x") == "x"


def test_a_column_of_another_kind_has_a_branch_of_its_own(tmp_path: Path) -> None:
    domains = both(tmp_path, {"x": IMAGE}, {"words": TEXT})
    assert dict(domains.columns) == {"x": IMAGE, "words": TEXT}
    assert domains.source is not None
    assert domains.column_in(domains.source, "x") is None
    assert domains.column_in(domains.source, "words") == "words"
    assert domains.column_in(domains.target, "words") is None


def test_of_several_of_a_kind_none_is_guessed(tmp_path: Path) -> None:
    domains = both(tmp_path, {"x": IMAGE}, {"front": IMAGE, "back": IMAGE})
    assert list(domains.columns) == ["x", "front", "back"]
    assert domains.source is not None and domains.column_in(domains.source, "x") is None
    (tmp_path / "more").mkdir()
    turned = both(tmp_path / "more", {"front": IMAGE, "back": IMAGE}, {"x": IMAGE})
    assert list(turned.columns) == ["front", "back", "x"]
    assert turned.source is not None and turned.column_in(turned.source, "front") is None


def test_a_name_that_is_shared_leaves_the_others_alone(tmp_path: Path) -> None:
    domains = both(tmp_path, {"x": IMAGE}, {"x": IMAGE, "scan": IMAGE})
    assert list(domains.columns) == ["x", "scan"]
    assert domains.source is not None and domains.column_in(domains.source, "x") == "x"


def test_one_name_for_two_kinds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"source_domain.inputs: column 'x' is text, but the target's is image"
    ):
        both(tmp_path, {"x": IMAGE}, {"x": TEXT})


def test_a_name_that_no_domain_reads_may_be_of_two_kinds(tmp_path: Path) -> None:
    target = domain(tmp_path / "target", {"x": IMAGE, "y": LABEL})
    columns: dict[str, Column] = {"x": TEXT, "photo": IMAGE, "y": LABEL}
    source = domain(tmp_path / "source", columns, inputs=["photo"])
    assert Domains(target, source).column_in(source, "x") == "photo"


def test_which_targets_some_rows_may_lack() -> None:
    for column, can in [
        (LabelColumn(classes=("a", "b")), True),
        (ValueColumn(), True),
        (MaskColumn(shape=(2, 2), classes=("a", "b")), True),
        (BoxColumn(shape=(2, 2), classes=("a",)), True),
        (SentenceColumn(mean_bytes=3), True),
        (StepsColumn(horizon=2, channel="load", season=2), False),
        (GroupColumn(groups=2), False),
    ]:
        assert not column.may_lack
        assert can is ("nulls" in type(column).model_fields)
        assert not can or column.model_copy(update={"nulls": True}).may_lack
