"""Sounds by folder or by name, at one rate."""

import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile
from unit.data.importing import in_order, sharded, written

from raytl.data.dataset import Dataset
from raytl.data.importers.inputs import Bad, seal_files
from raytl.data.importers.sounds import looks, sound_reading
from raytl.errors import ConfigError, DataError
from raytl.modalities.audio.column import AudioColumn


def sound(path: Path, value: int = 100, rate: int = 8000, samples: int = 80) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, rate, np.full(samples, value, np.int16))
    return path


@pytest.fixture
def spoken(tmp_path: Path) -> Path:
    for digit in range(2):
        for number, who in enumerate(("al", "bo", "cy")):
            for take in range(2):
                sound(tmp_path / f"in/{digit}_{who}_{take}.wav", 100 * number + 10 * digit + take)
    return tmp_path / "in"


PATTERN = "{label}_{group}_{take}.wav"


def test_names_say_class_and_group(spoken: Path, tmp_path: Path) -> None:
    sharded("audio-folder", spoken, tmp_path / "d", pattern=PATTERN, test=0.3)
    dataset = Dataset.open(tmp_path / "d")
    assert dataset.columns["audio"] == AudioColumn(rate=8000, typical_samples=80)
    sounds, labels, groups = in_order(tmp_path / "d", "test", "audio", "label", "group")
    assert len(labels) == 4 and len(set(groups)) == 1
    assert [s[0] // 10 % 10 for s in sounds] == labels.tolist()
    assert [s[0] // 100 for s in sounds] == groups.tolist()


def test_sounds_may_have_no_class(tmp_path: Path) -> None:
    for name in ("take-1", "b/take-2", "take-3"):
        sound(tmp_path / f"in/{name}.wav")
    sharded("audio-folder", tmp_path / "in", tmp_path / "d", unlabelled=True, classes="a,b")
    assert sorted(in_order(tmp_path / "d", "train", "label")[0]) == [-1, -1, 1]


def test_one_speaker_is_kept(spoken: Path, tmp_path: Path) -> None:
    sharded("audio-folder", spoken, tmp_path / "d", pattern=PATTERN, where=["group=bo"], test=0.5)
    [sounds] = in_order(tmp_path / "d", "train", "audio")
    assert {int(s[0]) // 100 for s in sounds} == {1}


def test_other_rates_are_resampled_to_that_of_most(tmp_path: Path) -> None:
    for name in ("a/1", "a/2", "b/1"):
        sound(tmp_path / f"in/{name}.wav")
    sound(tmp_path / "in/b/2.wav", rate=16000, samples=160)
    report = sharded("audio-folder", tmp_path / "in", tmp_path / "d")
    [sounds] = in_order(tmp_path / "d", "train", "audio")
    assert [len(s) for s in sounds] == [80, 80, 80, 80]
    assert any("1 sounds of another rate are resampled to 8000" in note for note in report.notes)
    sharded("audio-folder", tmp_path / "in", tmp_path / "e", rate=4000)
    assert {len(s) for s in in_order(tmp_path / "e", "train", "audio")[0]} == {40}


def test_a_float_file_makes_all_floats(tmp_path: Path) -> None:
    sound(tmp_path / "in/a/1.wav", 16384)
    (tmp_path / "in/b").mkdir()
    wavfile.write(tmp_path / "in/b/1.wav", 8000, np.full(9, 0.25, np.float32))
    sharded("audio-folder", tmp_path / "in", tmp_path / "d")
    [sounds] = in_order(tmp_path / "d", "train", "audio")
    assert [float(s[0]) for s in sounds] == [0.5, 0.25]


def test_broken_sounds_are_told_or_left_out(spoken: Path, tmp_path: Path) -> None:
    whole = (spoken / "0_al_0.wav").read_bytes()
    written(spoken / "1_al_9.wav", whole[:60])
    with pytest.raises(DataError, match=r"1_al_9\.wav: is truncated.*--skip-bad"):
        sharded("audio-folder", spoken, tmp_path / "d", pattern=PATTERN)
    report = sharded("audio-folder", spoken, tmp_path / "d", pattern=PATTERN, skip_bad=True)
    assert report.info.splits["train"].rows == 12
    assert "1_al_9.wav" in report.skipped[0]


def test_a_name_that_does_not_fit_is_told_or_left_out(spoken: Path, tmp_path: Path) -> None:
    sound(spoken / "noise.wav")
    written(spoken / "README", "x")
    with pytest.raises(DataError, match=r"noise\.wav: its name is not as --pattern"):
        sharded("audio-folder", spoken, tmp_path / "d", pattern=PATTERN)
    report = sharded("audio-folder", spoken, tmp_path / "d", pattern=PATTERN, skip_bad=True)
    assert len(report.skipped) == 2


def test_options_that_do_not_fit(spoken: Path, tmp_path: Path) -> None:
    for options, message in [
        ({"pattern": "{who}.wav"}, "must have a {label}"),
        ({"pattern": "{label}_{label}.wav"}, "must be a word, and stand there once"),
        ({"pattern": "{label"}, "does not hold"),
        ({"pattern": PATTERN, "where": ["who=x"]}, "the pattern has no {who}"),
        ({"pattern": PATTERN, "where": ["group=x"]}, "no file has it; known: al, bo, cy"),
        ({"where": ["group=al"]}, "give their --pattern too"),
    ]:
        with pytest.raises(ConfigError, match=message):
            sharded("audio-folder", spoken, tmp_path / "d", **options)
    with pytest.raises(DataError, match=r"no file's name is as --pattern '\{label\}\.mp3'"):
        sharded("audio-folder", spoken, tmp_path / "d", pattern="{label}.mp3")
    with pytest.raises(DataError, match="no such folder"):
        sharded("audio-folder", tmp_path / "none", tmp_path / "d")


def test_a_column_of_a_table_names_sounds(tmp_path: Path) -> None:
    for i in range(2):
        sound(tmp_path / f"{i}.wav", i + 1)
    source = written(tmp_path / "a.csv", "file,out\n1.wav,x\n0.wav,y\n")
    sharded("table", source, tmp_path / "d", target="out", audio="file")
    [sounds] = in_order(tmp_path / "d", "train", "file")
    assert [int(s[0]) for s in sounds] == [2, 1]


def test_threads_leave_the_filters_of_warnings_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [sound(tmp_path / f"{number}.wav") for number in range(8)]
    files[3].write_bytes(files[3].read_bytes()[:100])
    monkeypatch.setattr("raytl.data.importers.sounds.is_far", lambda file: True)
    entered, plain = [], warnings.catch_warnings.__enter__

    def enter(context: warnings.catch_warnings) -> object:
        entered.append(threading.current_thread())
        return plain(context)

    monkeypatch.setattr(warnings.catch_warnings, "__enter__", enter)
    for read in (looks, sound_reading(AudioColumn(rate=8000), seal_files).read):
        found = read(files)
        assert [isinstance(one, Bad) for one in found] == [n == 3 for n in range(8)]
    assert set(entered) == {threading.main_thread()}
