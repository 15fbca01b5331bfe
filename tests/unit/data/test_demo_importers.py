"""Importers that make their rows on the spot: what is known of these rows."""

from pathlib import Path

import numpy as np
import pytest

from raytl.data.dataset import Dataset
from raytl.data.importers.docstrings import sentences_of
from raytl.data.importers.motions import MOTIONS
from raytl.data.importers.named_digits import NAMES, Slips, misspelt
from raytl.data.shard import shard, shard_options
from raytl.errors import ConfigError, DataError

DOMAINS = {
    "docstrings": ("scipy", "numpy"),
    "tumours": ("small", "large"),
    "diabetes-ages": ("younger", "older"),
    "motions": ("clean", "noisy"),
    "tones": ("flute", "reed"),
    "named-digits": ("rendered", "handwritten"),
}
OF_CHOSEN_ROWS = ("docstrings", "motions", "tones", "named-digits")
SMALL = {"rows": 40}


def made(kind: str, source: str, out: Path, **options: int) -> Dataset:
    shard(kind, source, out, options=shard_options(**options))
    return Dataset.open(out)


def rows_option(kind: str, source: str) -> dict[str, int]:
    return SMALL if kind in OF_CHOSEN_ROWS and source != "handwritten" else {}


@pytest.mark.parametrize(("kind", "domains"), DOMAINS.items())
def test_both_domains_have_the_same_columns_and_other_rows(
    kind: str, domains: tuple[str, str], tmp_path: Path
) -> None:
    one, other = (made(kind, d, tmp_path / d, **rows_option(kind, d)) for d in domains)
    assert set(one.columns) == set(other.columns)
    assert one.info.fingerprint != other.info.fingerprint
    for name in one.inputs:
        assert one.columns[name].kind == other.columns[name].kind


@pytest.mark.parametrize(("kind", "domains"), DOMAINS.items())
def test_rows_are_a_function_of_the_seed(
    kind: str, domains: tuple[str, str], tmp_path: Path
) -> None:
    of = rows_option(kind, domains[0])
    prints = [
        made(kind, domains[0], tmp_path / str(i), seed=seed, **of).info.fingerprint
        for i, seed in enumerate([3, 3, 4])
    ]
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize("kind", OF_CHOSEN_ROWS)
def test_rows_are_as_many_as_are_asked_for(kind: str, tmp_path: Path) -> None:
    dataset = made(kind, DOMAINS[kind][0], tmp_path / "d", **SMALL)
    assert sum(split.rows for split in dataset.info.splits.values()) == 40


@pytest.mark.parametrize("kind", DOMAINS)
def test_an_unknown_domain_names_the_nearest(kind: str, tmp_path: Path) -> None:
    known = DOMAINS[kind][1]
    with pytest.raises(DataError, match=f"no domain '{known}s'; did you mean '{known}'"):
        made(kind, f"{known}s", tmp_path / "d")


def test_handwritten_digits_with_names_cannot_be_more(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--rows is of rendered digits"):
        made("named-digits", "handwritten", tmp_path / "d", rows=40)


DOCUMENTATION = """Return the Cholesky factor of a matrix, see `numpy.linalg.qr` for others.

    It is found by numpy.linalg as it has always been. The second sentence of the two is this.

    Parameters
    ----------
    a : array_like
        The matrix that is to be decomposed here.

    See Also
    --------
    eigh : The eigenvalues of a matrix that is symmetric.

    Examples
    --------
    >>> np.linalg.cholesky(a)
    The output of this call is not read at all.
    """


def test_sentences_are_prose_without_code_and_the_names_of_modules() -> None:
    assert list(sentences_of(DOCUMENTATION)) == [
        "Return the Cholesky factor of a matrix see for others",
        "It is found by as it has always been",
        "The second sentence of the two is this",
        "The matrix that is to be decomposed here",
    ]


def test_docstrings_of_a_function_stand_in_one_split_and_no_sentence_in_both_libraries(
    tmp_path: Path,
) -> None:
    seen: dict[str, list[str]] = {}
    for library in DOMAINS["docstrings"]:
        dataset = made("docstrings", library, tmp_path / library)
        groups = [set(dataset.split(s).all("function").tolist()) for s in ("train", "test")]
        assert not groups[0] & groups[1]
        seen[library] = [t for s in ("train", "test") for t in dataset.split(s).all("text")]
        assert len(seen[library]) == len(set(seen[library])) > 300
        assert set(np.unique(dataset.split("test").all("label"))) == {0, 1, 2}
    assert not set(seen["scipy"]) & set(seen["numpy"])


def test_a_python_without_docstrings_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raytl.data.importers.docstrings._documented", lambda place: iter(()))
    with pytest.raises(DataError, match="no docstrings; run it without -OO"):
        made("docstrings", "numpy", tmp_path / "d")


def test_halves_of_the_tumours_are_parted_by_their_radius(tmp_path: Path) -> None:
    radii, benign = {}, {}
    for domain in DOMAINS["tumours"]:
        dataset = made("tumours", domain, tmp_path / domain)
        values = [dataset.split(split).all("table") for split in ("train", "test")]
        labels = [dataset.split(split).all("label") for split in ("train", "test")]
        radii[domain] = np.concatenate(values)[:, 0]
        benign[domain] = np.concatenate(labels).mean()
    assert radii["small"].max() < radii["large"].min()
    assert len(radii["small"]) + len(radii["large"]) == 569
    assert benign["small"] > 0.9 > 0.4 > benign["large"]


def test_halves_of_the_patients_are_parted_by_their_age(tmp_path: Path) -> None:
    ages = {}
    for domain in DOMAINS["diabetes-ages"]:
        dataset = made("diabetes-ages", domain, tmp_path / domain)
        values = [dataset.split(split).all("table") for split in ("train", "test")]
        ages[domain] = np.concatenate(values)[:, 0]
        assert dataset.split("train").all("progression").min() >= 25
    assert ages["younger"].max() < ages["older"].min()
    assert len(ages["younger"]) + len(ages["older"]) == 442


def test_motions_are_of_unequal_lengths_and_the_noisy_sensor_samples_less_often(
    tmp_path: Path,
) -> None:
    steps = {}
    for domain, rate in [("clean", 25), ("noisy", 12)]:
        rows = made("motions", domain, tmp_path / domain, rows=60).split("train")
        motions = rows.all("motion")
        assert {m.shape[1] for m in motions} == {3} and motions[0].dtype == np.float32
        steps[domain] = {len(motion) for motion in motions}
        assert len(steps[domain]) > 5
        assert 1.2 * rate <= min(steps[domain]) and max(steps[domain]) <= 2.4 * rate + 1
        assert set(np.unique(rows.all("label"))) == set(range(len(MOTIONS)))
    assert max(steps["clean"]) > max(steps["noisy"])


def pitches(sound: np.ndarray) -> tuple[float, float]:
    """Return the strongest frequency, in cycles a sample, of the second and the last fifth."""
    part = len(sound) // 5
    cut = (sound[part : 2 * part], sound[-part:])
    strongest = [np.abs(np.fft.rfft(c * np.hanning(part), 8192))[64:].argmax() + 64 for c in cut]
    return strongest[0] / 8192, strongest[1] / 8192


def test_pitches_of_tones_go_where_their_class_says(tmp_path: Path) -> None:
    dataset = made("tones", "flute", tmp_path / "d", rows=80)
    assert dataset.columns["sound"].model_dump()["rate"] == 8000
    rows = dataset.split("train")
    for sound, label in zip(rows.all("sound"), rows.all("label"), strict=True):
        first, last = pitches(sound)
        moved = np.log2(last / first)
        if label == 0:
            assert moved > 0.08
        elif label == 1:
            assert moved < -0.08
        elif label == 2:
            assert abs(moved) < 0.05


def test_names_go_with_the_digits_and_are_misspelt(tmp_path: Path) -> None:
    dataset = made("named-digits", "rendered", tmp_path / "d", rows=400)
    rows = dataset.split("train")
    assert rows.all("image").shape == (320, 28, 28, 1)
    names, labels = rows.all("name"), rows.all("label")
    right = [name == NAMES[label] for name, label in zip(names, labels, strict=True)]
    assert 0.1 < np.mean(right) < 0.6
    twos = [name for name, label in zip(names, labels, strict=True) if label == 2]
    assert np.mean(["t" in name for name in twos]) > 0.5


def test_slips_do_what_they_are_called() -> None:
    def spelt(**chances: float) -> str:
        none = {"lost": 0.0, "other": 0.0, "swapped": 0.0, "added": 0.0}
        return misspelt("seven", Slips(**(none | chances)), np.random.default_rng(0))

    assert spelt() == "seven"
    assert spelt(lost=1.0) == ""
    assert spelt(swapped=1.0) == "evens"
    assert spelt(added=1.0)[::2] == "seven" and len(spelt(added=1.0)) == 10
    assert len(spelt(other=1.0)) == 5 and spelt(other=1.0) != "seven"
