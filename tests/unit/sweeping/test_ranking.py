"""Source models ranked before training, and what the search does with the order."""

from collections.abc import Callable
from pathlib import Path

import pytest
from scipy.stats import weightedtau

import raytl
from raytl.config import Study
from raytl.errors import ConfigError, CorruptError
from raytl.scoring.agreement import agreement
from raytl.sweeping.opening import open_study
from raytl.sweeping.preflight import preflight
from raytl.sweeping.ranked import load_ranking, order
from raytl.sweeping.ranking import sizes_of
from raytl.sweeping.search.objective import objective_metric
from raytl.sweeping.search.sampling import open_sampler

MODELS = {
    "narrow": {"backbone": "small_cnn", "args": {"width": 2}},
    "wide": {"backbone": "small_cnn", "args": {"width": 8}},
}
SPACE = {
    "source_model": {"choice": ["narrow", "wide"]},
    "optimizer.lr": {"float": [1e-3, 1e-1], "log": True},
}


def test_every_source_model_is_scored_and_its_cost_told(
    tiny_study: Callable[..., Study], tmp_path: Path
) -> None:
    study = tiny_study(source_models=MODELS, space=SPACE, search={"trials": 4})
    ranking = raytl.rank(study, out=tmp_path / "ranking.json")
    assert [ranked.source_model for ranked in ranking] == ["narrow", "wide"]
    assert ranking[0].rows == 16  # of 20 labelled rows; a fifth is held out
    assert set(ranking[0].scores) == {"size", "log_me", "h_score", "n_leep"}
    assert set(ranking[0].seconds) == {"features", "log_me", "h_score", "n_leep"}
    assert order(ranking, "size") == ["wide", "narrow"]
    assert load_ranking(tmp_path / "ranking.json") == ranking
    assert raytl.rank(study)[1].scores == ranking[1].scores


@pytest.mark.parametrize("text", ["", "[{", "null", '{"a": 1}', "[1]", '[{"source_model": "a"}]'])
def test_a_ranking_that_is_broken_says_what_to_do(tmp_path: Path, text: str) -> None:
    file = tmp_path / "ranking.json"
    file.write_text(text)
    with pytest.raises(CorruptError, match="remove it, and the source models are ranked again"):
        load_ranking(file)


def test_ranking_needs_target_labels(
    tiny_study: Callable[..., Study], domains: tuple[Path, Path]
) -> None:
    study = tiny_study(target_domain={"dataset": domains[1], "labels": "none"})
    with pytest.raises(ConfigError, match=r"needs target labels, but target_domain\.labels is non"):
        raytl.rank(study)


def test_a_ranking_by_labels_that_are_not_there_is_refused_and_one_by_size_is_not(
    tiny_study: Callable[..., Study], domains: tuple[Path, Path]
) -> None:
    unlabelled = {"dataset": domains[1], "labels": "none"}
    study = tiny_study(target_domain=unlabelled, search={"ranking": "log_me"})
    with pytest.raises(ConfigError, match=r"search\.ranking: log_me needs target labels"):
        preflight(study)
    search = {"ranking": "size", "objective": "bnm"}
    study = tiny_study(target_domain=unlabelled, source_models=MODELS, space=SPACE, search=search)
    sizes = sizes_of(preflight(study))
    assert [set(ranked.scores) for ranked in sizes] == [{"size"}, {"size"}]
    assert order(sizes, "size") == ["wide", "narrow"]


def test_promising_source_models_are_tried_first(tiny_study: Callable[..., Study]) -> None:
    study = tiny_study(
        source_models=MODELS, space=SPACE, search={"trials": 6, "control_tries": 1, "seed": 0}
    )
    space = preflight(study).space
    sampler = open_sampler(study, space, objective_metric(study), ["wide", "narrow"])
    first, second = sampler.ask(), sampler.ask()
    assert first is not None and second is not None
    assert [first["source_model"], second["source_model"]] == ["narrow", "wide"]  # 0 is default
    assert first["optimizer.lr"] == second["optimizer.lr"]


def test_agreement_is_the_weighted_tau() -> None:
    ranking = [
        {"source_model": name, "scores": {"log_me": float(score), "size": float(-score)}}
        for name, score in zip("abcd", (3, 1, 2, 9), strict=True)
    ]
    realised = {"a": 0.9, "b": 0.3, "c": 0.5}
    found = agreement(ranking, realised)
    assert found["log_me"] == pytest.approx(1.0)
    assert found["size"] == pytest.approx(weightedtau([-3, -1, -2], [0.9, 0.3, 0.5]).statistic)
    assert agreement(ranking, {"a": 0.9}) == {}


@pytest.mark.parametrize("name", ["iwv", "dev", "circv"])
def test_validators_on_source_rows_are_for_unlabelled_targets(
    tiny_study: Callable[..., Study], name: str
) -> None:
    with pytest.raises(ConfigError, match=f"search.objective: {name} reads labelled source rows"):
        open_study(tiny_study(search={"objective": name}))
