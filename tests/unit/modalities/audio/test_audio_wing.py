"""The wing of sounds: image networks read spectrograms."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from raytl.config import AugmentConfig, DomainConfig, SourceModelConfig, TargetDomainConfig
from raytl.data.domain import Domain, Domains
from raytl.data.writer import Chunk, write_dataset
from raytl.errors import ModelError
from raytl.modalities.audio.column import AudioColumn
from raytl.modalities.audio.wing import Audio
from raytl.modalities.ragged import as_rows
from raytl.tasks.columns import LabelColumn
from raytl.training.material import Samples

WING = Audio()
COLUMN = AudioColumn(rate=8000)
SOUNDS = as_rows(
    (np.random.default_rng(n).standard_normal(n) * 3000).astype(np.int16) for n in (1600, 2400)
)
SMALL = {"backbone": "small_cnn", "args": {"width": 4}, "transform": {"n_mels": 24}}


def test_an_image_network_reads_what_the_transform_gives() -> None:
    config = SourceModelConfig(**SMALL)
    WING.check(config)
    transform = WING.fit(config, COLUMN, lambda: SOUNDS)
    backbone = WING.build("small_cnn", transform, config.args)
    images = transform(transform.prepare(SOUNDS))
    assert images.shape == (2, *transform.input_shape) == (2, 1, 30, 30)
    assert backbone(images).shape == (2, 16) and backbone.state == "maps"
    assert WING.transform(transform.facts()).facts() == transform.facts()


def test_a_sound_scaled_by_its_own_energies_is_the_same_however_loud_it_was_recorded() -> None:
    config = SourceModelConfig(backbone="small_cnn", transform={"n_mels": 24, "per_row": True})
    loud = as_rows(sound / np.float32(4096.0) for sound in SOUNDS)
    quiet = as_rows(sound / np.float32(10.0) for sound in loud)
    transform = WING.fit(config, COLUMN, lambda: SOUNDS)
    rows, of_quiet = transform.prepare(loud), transform.prepare(quiet)
    assert torch.allclose(rows, of_quiet, atol=1e-2)
    assert rows[1].mean().abs() < 1e-4 and (rows[1].std() - 1).abs() < 1e-2
    again = WING.transform(transform.facts())
    assert torch.equal(again.prepare(loud), rows)
    by_all = WING.fit(SourceModelConfig(**SMALL), COLUMN, lambda: SOUNDS)
    assert not torch.allclose(by_all.prepare(loud), by_all.prepare(quiet), atol=1.0)


def test_spectrograms_are_shifted_in_bands_and_frames_and_never_turned_round() -> None:
    rows = torch.arange(1.0, 13.0).reshape(1, 3, 4)
    draws = np.array([[0.0, 0.99, 0.0]])  # flipped, were it an image; one down, one to the left
    found = WING.augmented(rows, AugmentConfig(flip=True, crop=1), draws)
    assert isinstance(found, torch.Tensor) and WING.augments == {"crop"}
    expected = [[0, 5, 6, 7], [0, 9, 10, 11], [0, 0, 0, 0]]
    assert found.tolist() == [expected]


def test_a_network_of_coloured_images_gets_three_channels_and_the_size_that_is_asked_for() -> None:
    config = SourceModelConfig(backbone="squeezenet1_1", input_size=64)
    assert WING.fit(config, COLUMN, lambda: SOUNDS).input_shape == (3, 64, 64)


def test_weights_of_a_file_are_loaded(tmp_path: Path) -> None:
    transform = WING.fit(SourceModelConfig(**SMALL), COLUMN, lambda: SOUNDS)
    trained = WING.build("small_cnn", transform, {"width": 4}).eval()
    torch.save(trained.state_dict(), tmp_path / "w.pth")
    config = SourceModelConfig(**SMALL, weights=str(tmp_path / "w.pth"))
    WING.check(config)
    x = transform(transform.prepare(SOUNDS))
    assert torch.equal(WING.load(config, transform).eval()(x), trained(x))


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"backbone": "small_cn"}, "did you mean 'small_cnn'"),
        ({"backbone": "lenet", "transform": {"n_mel": 1}}, "did you mean 'n_mels'"),
        ({"backbone": "lenet", "transform": {"hop": 0}}, "transform: hop: .*greater than 0"),
        (
            {"backbone": "lenet", "normalization": {"mean": [0.5], "std": [0.5]}},
            "normalization is of images",
        ),
        ({"backbone": "lenet", "weights": "/nowhere/w.pth"}, "/nowhere/w.pth: no such weights"),
    ],
)
def test_what_cannot_be_is_refused_before_there_are_data(config: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        WING.check(SourceModelConfig(**config))


def test_a_folder_says_itself_what_it_holds() -> None:
    WING.check(SourceModelConfig(path="/some/folder"))


def test_sounds_are_mixed_row_by_row() -> None:
    own = as_rows([np.array([100], np.int16), np.array([100, 0], np.int16)])
    partner = as_rows([np.array([0, 20], np.int16), np.array([0], np.int16)])
    assert [row.tolist() for row in WING.mix(own, partner, 0.5)] == [[50, 10], [50, 0]]
    assert WING.mixes


def test_the_transform_is_fitted_to_as_many_sounds_of_each_domain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Audio, "most_fitted", 4, raising=False)
    for name, first in (("target", 100), ("source", 200)):
        columns = {"audio": COLUMN, "label": LabelColumn(classes=("a", "b"))}
        sounds = as_rows(np.full(first + row, row, np.int16) for row in range(10))
        chunk = Chunk({"audio": sounds, "label": np.arange(10) % 2}, np.arange(10))
        write_dataset(tmp_path / name, columns, {"train": [chunk], "test": [chunk]}, {})
    target = Domain.open(TargetDomainConfig(dataset=tmp_path / "target", labels="all"))
    source = Domain.open(DomainConfig(dataset=tmp_path / "source"))
    lengths = [len(sound) for sound in Samples(Domains(target, source), 0)("audio")]
    assert [length // 100 for length in lengths] == [1] * 4 + [2] * 4
