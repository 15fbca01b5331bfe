"""The wing of series: what it refuses before there are data, and that weights come back."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raytl.config import SourceModelConfig
from raytl.errors import CorruptError, ModelError
from raytl.modalities.ragged import as_rows
from raytl.modalities.series.column import SeriesColumn
from raytl.modalities.series.wing import Series

WING = Series()
COLUMN = SeriesColumn(channels=("x", "y"))
ROWS = as_rows(np.random.default_rng(0).normal(size=(4, 9, 2)).astype(np.float32))
LSTM = {"backbone": "lstm", "args": {"width": 4}}


def test_a_fresh_network_reads_what_its_transform_gives() -> None:
    config = SourceModelConfig(**LSTM, transform={"max_length": 5})
    WING.check(config)
    transform = WING.fit(config, COLUMN, lambda: ROWS)
    backbone = WING.build("lstm", transform, config.args)
    assert backbone(transform.prepare(ROWS)).shape == (4, 8)
    assert WING.transform(transform.facts()).facts() == transform.facts()


def test_weights_of_a_file_are_loaded(tmp_path: Path) -> None:
    transform = WING.fit(SourceModelConfig(**LSTM), COLUMN, lambda: ROWS)
    trained = WING.build("lstm", transform, {"width": 4})
    torch.save(trained.state_dict(), tmp_path / "w.pth")
    config = SourceModelConfig(**LSTM, weights=str(tmp_path / "w.pth"))
    WING.check(config)
    x = transform.prepare(ROWS)
    assert torch.equal(WING.load(config, transform)(x), trained(x))


def test_weights_that_do_not_fit_or_are_broken_are_refused(tmp_path: Path) -> None:
    transform = WING.fit(SourceModelConfig(**LSTM), COLUMN, lambda: ROWS)
    torch.save(WING.build("lstm", transform, {"width": 5}).state_dict(), tmp_path / "w.pth")
    config = SourceModelConfig(**LSTM, weights=str(tmp_path / "w.pth"))
    with pytest.raises(ModelError, match=r"w\.pth: the weights do not fit"):
        WING.load(config, transform)
    (tmp_path / "w.pth").write_bytes(b"nothing")
    with pytest.raises(CorruptError, match=r"w\.pth"):
        WING.load(config, transform)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"torchvision": "resnet18", "weights": "DEFAULT"}, "have no networks for series"),
        ({"huggingface": "some/model"}, "'some/model': .* have no networks for series"),
        ({"backbone": "lstn"}, "did you mean 'lstm'"),
        ({"backbone": "lstm", "args": {"depth": 2}}, "lstm: args: unknown key 'depth'"),
        ({"backbone": "gru", "transform": {"scale": 1}}, "transform: unknown key 'scale'"),
        ({"backbone": "gru", "input_size": 32}, "input_size is of images"),
        ({"backbone": "gru", "weights": "DEFAULT"}, "there are none to download for series"),
        ({"backbone": "gru", "weights": "/nowhere/w.pth"}, "/nowhere/w.pth: no such weights file"),
    ],
)
def test_what_cannot_be_is_refused_before_there_are_data(config: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        WING.check(SourceModelConfig(**config))


def test_a_folder_says_itself_what_it_holds() -> None:
    WING.check(SourceModelConfig(path="/some/folder"))
