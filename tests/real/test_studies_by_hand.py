"""The studies of texts, tables, series, sounds and emoji on real data, with fewer and shorter
trials: what must hold whatever the seed. The whole studies' figures stand in the README."""

import csv
from pathlib import Path

import pytest
from tests_support import REAL_DATA, SEARCH_SPACES

import raytl
from raytl.config import load_study
from raytl.sweeping.study_run import StudyResult
from raytl.sweeping.verdict.confirmed import Candidate, Confirmation

pytestmark = [
    pytest.mark.real,
    pytest.mark.ray,
    pytest.mark.study,
    pytest.mark.usefixtures("ray_cluster"),
]

SHORT = ("search.trials=2", "search.control_tries=1", "confirm={top: 1, seeds: 3}")
HEART = {"target": "target", "positive": ">0", "test": 0.3}
# Trial 0, and so the controls, are the small network; trial 1 is the large one, frozen.
SMALL_THEN_LARGE = {
    name: ("search.sampler=grid", f"space={{source_model: {{choice: [{small}, {large}]}}}}")
    for name, small, large in [("sentiment", "glove_bilstm", "minilm"), ("emoji", "small", "both")]
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, whose `data` has the weights that studies name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    weights = REAL_DATA / "pretrained"
    for name, of in {
        "minilm_l6": "minilm_l6",
        "glove.npz": "glove_twitter_25d_12k.npz",
        "squeezenet1_0.pth": "squeezenet1_0_imagenet_deepcompression.pth",
    }.items():
        (tmp_path / "data" / name).symlink_to(weights / of)
    return tmp_path


def shard(kind: str, source: str | None, name: str, **options: object) -> None:
    path = None if source is None else str(REAL_DATA / source)
    if path is not None and not Path(path).exists():
        pytest.skip(f"the test data {path} is absent")
    raytl.shard(kind, path, Path("data") / name, **options)


def sweep(name: str, *overrides: str) -> StudyResult:
    study = load_study(SEARCH_SPACES / f"{name}.yaml", [*SHORT, *overrides])
    return raytl.verbs.sweep(study, Path("run"))


def confirmed(result: StudyResult) -> Confirmation:
    assert result.confirmation is not None
    return result.confirmation


def mean_of(candidate: Candidate | None) -> float:
    assert candidate is not None and candidate.mean is not None
    return candidate.mean


@pytest.mark.parametrize("network", ["lstm", "cnn"])
def test_motions_are_told_apart_by_either_network(network: str) -> None:
    shard("series", "timeseries/BasicMotions", "motions")
    found = confirmed(sweep("motions", f"space.source_model={{choice: [{network}]}}",
                            f"defaults.source_model={network}", "search.trials=1"))  # fmt: skip
    assert found.test_rows == 40
    assert mean_of(found.selected) >= 0.95


def test_a_language_model_reads_sentences_on_films_after_those_on_phones() -> None:
    for name in ("amazon_cells", "imdb"):
        shard("text-lines", f"text/sentiment/{name}.txt", name, test=0.2)
    found = confirmed(sweep("sentiment", *SMALL_THEN_LARGE["sentiment"]))
    # Ridge on the same features and rows: 84.0 %, with a standard error of 2.6.
    assert mean_of(found.selected) >= 0.84 - 2 * 0.026


def test_progression_of_diabetes_is_predicted_as_ridge_does() -> None:
    shard("diabetes", None, "diabetes")
    found = confirmed(sweep("diabetes"))
    assert found.metric == "r2" and found.test_rows == 100
    # Ridge on the same rows: 0.409, with a standard error of 0.075.
    assert mean_of(found.selected) >= 0.409 - 2 * 0.075
    # Of another kind, a constant guess has none of it.
    assert all(c.mean is None or c.mean < 0.05 for c in found.candidates if c.control == "constant")


@pytest.mark.parametrize(
    ("name", "options", "least"),
    [
        # Ridge on the same rows: 0.617 with a standard error of 0.063, and 0.477 with 0.072.
        ("german", {"target": "c20"}, 0.617 - 2 * 0.063),
        ("mammography", {"target": "c6", "positive": "'1'"}, 0.477 - 2 * 0.072),
    ],
)
def test_rare_classes_are_judged_by_average_precision(
    name: str, options: dict[str, str], least: float
) -> None:
    shard("table", f"tabular/{name}.csv", name, no_header=True, test=0.2, **options)
    found = confirmed(sweep(name, "search.trials=1"))
    assert found.metric == "average_precision"
    assert mean_of(found.selected) >= least


def test_a_hospital_helps_another_with_like_patients() -> None:
    for name in ("cleveland", "hungarian"):
        shard("table", f"tabular/heart/{name}.csv", f"heart_{name}", **HEART)
    found = confirmed(sweep("heart", "source_domain.dataset=data/heart_cleveland",
                            "target_domain.dataset=data/heart_hungarian"))  # fmt: skip
    assert found.metric == "auc"
    assert mean_of(found.selected) >= 0.75  # a constant guess has 0.5


def test_names_and_pictures_of_emoji_together_are_read_better_than_pictures_alone() -> None:
    for vendor in ("google", "twitter"):
        shard("table", "emoji/emoji.csv", f"emoji_{vendor}", image=f"{vendor}/{{row}}.png",
              size=32, text=["name"], target="category", test=0.3)  # fmt: skip
    found = confirmed(
        sweep(
            "emoji", *SMALL_THEN_LARGE["emoji"], "train.epochs=8",
            "source_models.both.parts.image.input_size=64",  # half the pixels of the whole study
        )
    )  # fmt: skip
    # Ridge on the same rows: 72.7 % of both (standard error 1.9), 41.4 % of pictures alone.
    assert mean_of(found.selected) >= 0.727 - 2 * 0.019


def test_adaptation_carries_digits_over_to_a_quiet_speaker() -> None:
    for speaker in ("george", "theo"):
        shard("audio-folder", "speech/fsdd", f"fsdd_{speaker}", test=0.3,
              pattern="{label}_{group}_{take}.wav", where=[f"group={speaker}"])  # fmt: skip
    found = confirmed(sweep("speech", "search.trials=1", "train.epochs=25"))
    # Ridge on log-mel energies: 29 %.
    assert mean_of(found.selected) >= 0.29 + 0.2


def test_a_domain_without_any_label_is_learnt_and_ranked_but_not_judged(folder: Path) -> None:
    shard("table", "tabular/heart/cleveland.csv", "heart_cleveland", **HEART)
    rows = list(csv.reader((REAL_DATA / "tabular/heart/hungarian.csv").open()))
    place = rows[0].index("target")
    unknown = [[*row[:place], "", *row[place + 1 :]] for row in rows[1:]]
    with (folder / "unknown.csv").open("w", newline="") as file:
        csv.writer(file).writerows([rows[0], *unknown])
    raytl.shard("table", "unknown.csv", Path("data/heart_unknown"), unlabelled=True, **HEART)
    result = sweep("heart", "source_domain.dataset=data/heart_cleveland",
                   "target_domain.dataset=data/heart_unknown")  # fmt: skip
    assert result.confirmation is None
    assert result.leaderboard.unconfirmed is not None
    assert any(row.objective is not None for row in result.leaderboard.trials)
    assert (folder / "run" / "best").is_dir()
