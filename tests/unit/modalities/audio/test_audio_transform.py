"""Sounds become images of one size, scaled by what was fitted."""

import json
from typing import Any

import numpy as np
import pytest
import torch

from raytl.errors import ModelError
from raytl.modalities.audio.column import AudioColumn
from raytl.modalities.audio.fitting import AudioOptions, fitted_scale, fitted_spectrogram
from raytl.modalities.audio.transform import (
    AudioFacts,
    AudioTransform,
    LogMel,
    audio_transform,
    mean_and_std,
)
from raytl.modalities.audio.wav import resampled
from raytl.modalities.ragged import as_rows

RATE = 8000


def noises(*lengths: int) -> np.ndarray:
    random = np.random.default_rng(0)
    return as_rows((random.standard_normal(n) * 3000).astype(np.int16) for n in lengths)


SOUNDS = noises(1600, 2400, 800, 4000)


def fitted(
    shape: tuple[int, int, int] = (3, 32, 32), rate: int = RATE, **options: Any
) -> AudioTransform:
    spectrogram = fitted_spectrogram(AudioOptions(n_mels=32, **options), rate, SOUNDS)
    mean, std = fitted_scale(spectrogram, SOUNDS)
    return AudioTransform(
        AudioFacts(spectrogram=spectrogram, mean=mean, std=std, input_shape=shape)
    )


def test_defaults_follow_the_rate() -> None:
    for rate, window, hop, n_fft in [(8000, 200, 80, 512), (16000, 400, 160, 1024)]:
        found = fitted_spectrogram(AudioOptions(), rate, SOUNDS)
        assert (found.window, found.hop, found.n_fft) == (window, hop, n_fft)
        assert (found.n_mels, found.f_min, found.f_max) == (64, 0, rate / 2)


def test_the_length_is_that_which_most_sounds_do_not_exceed() -> None:
    found = fitted_spectrogram(AudioOptions(), RATE, noises(*range(1, 102)))
    assert found.samples == 96
    assert fitted_spectrogram(AudioOptions(seconds=0.5), RATE, SOUNDS).samples == 4000


def test_prepared_rows_have_one_size_and_the_recordings_in_their_middle() -> None:
    transform = fitted(
        seconds=0.3, centre="clip"
    )  # 2400 samples: 31 frames; the sounds have 21, 31, 11, 51
    rows = transform.prepare(SOUNDS)
    assert rows.shape == (4, 32, 31) and rows.dtype == torch.float32
    silent = (rows == 0).all(1)
    assert [row.nonzero().flatten().tolist() for row in silent[:3]] == [
        [*range(5), *range(26, 31)],
        [],
        [*range(10), *range(21, 31)],
    ]


def test_longer_recordings_are_cut_at_both_ends() -> None:
    transform = fitted(seconds=0.3, centre="clip")
    middle = as_rows([SOUNDS[3][800:3200]])
    assert torch.equal(transform.prepare(SOUNDS[3:]), transform.prepare(middle))


def word_at(start: int, length: int) -> np.ndarray:
    """Return a recording of so many samples, silent but for 480 loud ones."""
    recording = np.zeros(length, np.int16)
    recording[start : start + 480] = noises(480)[0]
    return recording


def test_a_sound_stands_in_the_middle_wherever_it_is_in_its_recording() -> None:
    transform = fitted(seconds=0.3)  # 2400 samples, 31 frames 80 apart
    recordings = [(960, 2400), (0, 2400), (1920, 2400), (80, 800), (4000, 4800), (0, 480)]
    rows = transform.prepare(as_rows(word_at(*at) for at in recordings))
    loud = rows[:, :, 12:19]  # six hops in the middle
    assert loud.std() > 0.5
    assert torch.allclose(loud, loud[:1].expand_as(loud), atol=1e-5)


def test_what_a_recording_lacks_around_its_sound_is_the_mean() -> None:
    transform = fitted(seconds=0.3)
    rows = transform.prepare(as_rows([word_at(0, 2400), word_at(1920, 2400), word_at(80, 800)]))
    absent = [row.nonzero().flatten().tolist() for row in (rows == 0).all(1)]
    assert absent == [[*range(12)], [*range(19, 31)], [*range(11), *range(22, 31)]]


def test_silence_and_an_even_sound_have_their_centre_in_the_middle() -> None:
    for recording in (np.zeros(801, np.int16), np.full(800, 7, np.int16), np.zeros(1, np.int16)):
        rows = [
            fitted(seconds=0.3, centre=centre).prepare(as_rows([recording]))
            for centre in ("energy", "clip")
        ]
        assert torch.equal(*rows)


def test_folders_of_before_there_was_a_choice_show_the_middle_of_the_recording() -> None:
    facts = fitted(seconds=0.3, centre="clip").facts()
    del facts["spectrogram"]["centre"]
    sounds = as_rows([word_at(0, 2400), word_at(0, 800), *SOUNDS])
    older = audio_transform(facts).prepare(sounds)
    assert torch.equal(older, fitted(seconds=0.3, centre="clip").prepare(sounds))
    assert not torch.equal(older, fitted(seconds=0.3).prepare(sounds))


def test_a_rows_own_frames_have_mean_zero_and_deviation_one() -> None:
    rows = fitted(seconds=0.5).prepare(SOUNDS)
    own = rows.transpose(1, 2)[~(rows == 0).all(1)]
    assert own.mean().item() == pytest.approx(0, abs=1e-4)
    assert own.std(correction=0).item() == pytest.approx(1, abs=1e-4)


def test_both_types_of_samples_give_the_same() -> None:
    floats = as_rows(sound.astype(np.float32) / 32768 for sound in SOUNDS)
    assert torch.equal(fitted().prepare(floats), fitted().prepare(SOUNDS))


def test_a_row_does_not_hang_on_the_rows_beside_it() -> None:
    assert torch.equal(fitted().prepare(SOUNDS)[1:2], fitted().prepare(SOUNDS[1:2]))


@pytest.mark.parametrize("shape", [(3, 48, 48), (1, 32, 32), (3, 16, 16)])
def test_images_have_the_shape_that_the_network_takes(shape: tuple[int, int, int]) -> None:
    transform = fitted(shape)
    images = transform(transform.prepare(SOUNDS))
    assert images.shape == (4, *shape)
    assert all(torch.equal(images[:, 0], images[:, c]) for c in range(shape[0]))


def test_an_image_of_the_spectrograms_own_size_is_not_resized() -> None:
    rows = fitted(seconds=0.3).prepare(SOUNDS)
    assert torch.equal(fitted((1, 32, 31), seconds=0.3)(rows).squeeze(1), rows)


def test_sounds_at_another_rate_are_brought_to_the_networks_own() -> None:
    transform = fitted(seconds=0.5)
    twice = as_rows(resampled(sound, 8000, 16000) for sound in SOUNDS)
    found = transform.for_column(AudioColumn(rate=16000)).prepare(twice)
    own = transform.prepare(SOUNDS)
    low = slice(0, 24)  # the filter takes something of the uppermost bands
    assert (found - own)[:, low].abs().mean() < 0.05 * own[:, low].abs().mean()
    assert found.shape == own.shape


def test_facts_go_through_json_and_make_the_same_transform() -> None:
    own = fitted()
    again = audio_transform(json.loads(json.dumps(own.facts())))
    assert torch.equal(again.prepare(SOUNDS), own.prepare(SOUNDS))
    assert again.facts() == own.facts() and again.input_shape == own.input_shape


def test_facts_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match=r"std.*greater than 0"):
        audio_transform(fitted().facts() | {"std": 0.0})
    with pytest.raises(ValueError, match="did you mean 'mean'"):
        audio_transform(fitted().facts() | {"meam": 0.0})


def test_the_example_is_like_prepared_rows() -> None:
    transform = fitted()
    assert transform.example(2).shape == transform.prepare(SOUNDS[:2]).shape
    assert transform(transform.example(2)).shape == (2, 3, 32, 32)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"window": 600, "n_fft": 512}, r"window <= n_fft must hold, got 600 > 512"),
        ({"f_max": 5000.0}, r"f_max <= rate / 2 must hold, got 0, 5000 and 4000 Hz"),
        ({"f_min": 900.0, "f_max": 800.0}, "f_min < f_max"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelError, match=says):
        fitted_spectrogram(AudioOptions(**options), RATE, SOUNDS)


def test_bands_too_narrow_for_the_transform_are_refused() -> None:
    spectrogram = fitted_spectrogram(AudioOptions(n_mels=128, n_fft=256), RATE, SOUNDS)
    with pytest.raises(ModelError, match="lower n_mels or raise n_fft"):
        LogMel(spectrogram)


def test_sounds_that_are_all_silent_are_not_divided_by_zero() -> None:
    silence = as_rows([np.zeros(800, np.int16)])
    spectrogram = fitted_spectrogram(AudioOptions(n_mels=32), RATE, silence)
    assert fitted_scale(spectrogram, silence) == (pytest.approx(np.log(1e-6), rel=1e-5), 1.0)


def test_mean_and_deviation_count_every_energy_once() -> None:
    mean, std = mean_and_std([torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[6.0]])])
    assert mean == 3.0 and std == pytest.approx(3.5**0.5)
