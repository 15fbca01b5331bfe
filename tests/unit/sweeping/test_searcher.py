"""The order of trials: cheap ones first."""

from collections.abc import Callable
from typing import Any

from raytl.config import Study
from raytl.sweeping.objective import objective_metric
from raytl.sweeping.preflight import preflight
from raytl.sweeping.searcher import StudySearch, first_points

MODELS = {name: {"backbone": "small_cnn", "args": {"width": 4}} for name in ("a", "b")}


def searched(study: Study) -> list[dict[str, Any]]:
    search = StudySearch(study, preflight(study).space, objective_metric(study))
    found = []
    for index in range(search.num_searched):
        suggestion = search.suggest(f"trial-{index}")
        assert isinstance(suggestion, dict)
        if suggestion["control"] is None:
            found.append(suggestion["trial"])
    return found


def test_a_grid_begins_with_what_trains_least(tiny_study: Callable[..., Study]) -> None:
    space = {
        "frozen_depth": {"choice": ["0%", "100%", "50%"]},
        "mapper": {"choice": ["identity", "mlp"]},
    }
    study = tiny_study(space=space, search={"sampler": "grid", "trials": 6})
    trials = searched(study)
    assert [t["frozen_depth"] for t in trials] == ["100%"] * 2 + ["50%"] * 2 + ["0%"] * 2
    assert [t["mapper"] for t in trials] == ["identity", "mlp"] * 3


def test_each_frozen_depth_is_tried_before_the_sampler_suggests(
    tiny_study: Callable[..., Study],
) -> None:
    space = {
        "source_model": {"choice": ["a", "b"]},
        "frozen_depth": {"choice": [0, 1, 3]},
        "optimizer.lr": {"float": [1e-3, 1e-1], "log": True},
    }
    study = tiny_study(
        source_models=MODELS, space=space, search={"trials": 15, "seed": 0},
        defaults={"frozen_depth": 1},
    )  # fmt: skip
    firsts = first_points(preflight(study).space, ["b", "a"])
    assert [(p["source_model"], p["frozen_depth"]) for p in firsts] == [
        ("a", 1), ("b", 1), ("a", 3), ("a", 0),
    ]  # fmt: skip
    assert [t["frozen_depth"] for t in searched(study)[:3]] == [1, 3, 0]
