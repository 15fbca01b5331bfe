"""The order of trials: cheap ones first."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from raytl.config import Study, TrialConfig
from raytl.data.predictions import Predictions
from raytl.sweeping.confirming import Confirming
from raytl.sweeping.fusing import members_of
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


def suggestions(study: Study) -> list[dict[str, Any]]:
    search = StudySearch(study, preflight(study).space, objective_metric(study))
    found = [search.suggest(f"trial-{index}") for index in range(search.num_searched)]
    return [s for s in found if isinstance(s, dict) and s["control"] is None]


LEARNING_RATES = {
    "recipe": {"choice": ["finetune", "mdd"]},
    "optimizer.lr": {"choice": [0.1, 0.03, 0.01]},
}


def test_trials_that_differ_in_numbers_alone_are_grouped(tiny_study: Callable[..., Study]) -> None:
    grid = {"sampler": "grid", "trials": 6}
    found = suggestions(
        tiny_study(space=LEARNING_RATES, search=grid, train={"fuse": 2, "epochs": 2})
    )
    rates = [trial["trial"]["optimizer.lr"] for trial in found]
    assert rates == [0.1, 0.03, 0.01] * 2  # mdd's losses do not vectorise; the third is left over
    assert ["fused" in trial for trial in found] == [True, True, False, False, False, False]
    first, second = (trial["fused"] for trial in found[:2])
    assert first["group"] == second["group"] and (first["index"], second["index"]) == (0, 1)
    for trial in found[:2]:
        members = members_of(trial)
        assert [member.trial.optimizer.lr for member in members] == [0.1, 0.03]
        assert members[trial["fused"]["index"]].trial == TrialConfig.from_flat(trial["trial"])
    plain = suggestions(
        tiny_study(space=LEARNING_RATES, search=grid, train={"fuse": "off", "epochs": 2})
    )
    assert [trial["trial"] for trial in plain] == [trial["trial"] for trial in found]
    assert not any("fused" in trial for trial in plain)


def test_tpe_is_asked_ahead_only_while_it_draws_at_random(
    tiny_study: Callable[..., Study],
) -> None:
    space = {"optimizer.lr": {"float": [1e-3, 1e-1], "log": True}}
    tpe = {"sampler": "tpe", "trials": 12, "seed": 1, "scheduler": "none", "control_tries": 1}
    found = suggestions(tiny_study(space=space, search=tpe))
    # Twelve trials: four at random, the rest learnt.
    assert ["fused" in trial for trial in found] == [True] * 4 + [False] * 8
    plain = suggestions(tiny_study(space=space, search=tpe, train={"fuse": "off", "epochs": 2}))
    assert [t["trial"] for t in found[:4]] == [t["trial"] for t in plain[:4]]


def test_what_was_asked_ahead_is_told_under_its_trials_name(
    tiny_study: Callable[..., Study],
) -> None:
    space = {"optimizer.lr": {"float": [1e-3, 1e-1], "log": True}}
    study = tiny_study(space=space, search={"sampler": "random", "trials": 3, "control_tries": 1})
    search = StudySearch(study, preflight(study).space, objective_metric(study))
    names = [f"trial-{index}" for index in range(search.num_searched)]
    controls = [search.suggest(name)["control"] for name in names]  # type: ignore[index, call-overload]
    mine = [name for name, control in zip(names, controls, strict=True) if control is None]
    assert search._inner is not None
    assert [search._inner.knows(name) for name in names] == [c is None for c in controls]
    result = {"training_iteration": 2, search.metric: 0.75}
    search.on_trial_complete(mine[1], result)
    assert search._inner._ot_study.best_value == 0.75  # type: ignore[union-attr]


def test_a_control_whose_tries_all_fail_is_tried_again_lower(
    tiny_study: Callable[..., Study],
) -> None:
    study = tiny_study(search={"sampler": "grid", "trials": 2, "control_tries": 2})
    search = StudySearch(study, preflight(study).space, objective_metric(study))
    tried: dict[str, list[float]] = {}
    for index in range(100):
        suggestion = search.suggest(f"trial-{index}")
        if not isinstance(suggestion, dict):
            break
        control = suggestion["control"]
        if control is not None:
            tried.setdefault(control, []).append(suggestion["trial"]["optimizer.lr"])
        failed = control == "scratch"
        result = None if failed else {"training_iteration": 2, search.metric: 0.5}
        search.on_trial_complete(f"trial-{index}", result, error=failed)
    assert suggestion == "FINISHED"
    rates, tries = tried["scratch"], len(tried["source_only"])
    assert len(rates) == 2 * tries
    assert max(rates[tries:]) < min(rates[:tries])


def test_tries_that_were_cut_before_the_best_failed_are_tried_again(
    tiny_study: Callable[..., Study],
) -> None:
    study = tiny_study(
        source_domain=None, space={"optimizer.lr": {"choice": [0.1]}},
        search={"sampler": "grid", "trials": 1, "control_tries": 3},
    )  # fmt: skip
    search = StudySearch(study, preflight(study).space, objective_metric(study))
    ends = iter([(1, False), (1, False), (1, True), (2, False), (2, False)])  # epochs, error
    rates = []
    for index in range(20):
        suggestion = search.suggest(f"trial-{index}")
        if not isinstance(suggestion, dict):
            break
        if suggestion["control"] is None:
            search.on_trial_complete(
                f"trial-{index}", {"training_iteration": 2, search.metric: 0.5}
            )
            continue
        rates.append(suggestion["trial"]["optimizer.lr"])
        epochs, error = next(ends)
        result = {"training_iteration": epochs, search.metric: 0.5}
        search.on_trial_complete(f"trial-{index}", result, error=error)
    assert rates[3:] == rates[:2]


def test_a_restored_search_goes_on_with_its_confirmation(
    tiny_study: Callable[..., Study], tmp_path: Path
) -> None:
    study = tiny_study(search={"sampler": "grid", "trials": 2, "control_tries": 1})

    def make() -> StudySearch:
        confirming = Confirming(study, Predictions.read)
        space = preflight(study).space
        return StudySearch(study, space, objective_metric(study), confirming=confirming)

    search, names = make(), []
    result = {"training_iteration": 2, "target/validation_accuracy": 0.5}
    for index in range(30):
        suggestion = search.suggest(f"trial-{index}")
        assert isinstance(suggestion, dict)
        if suggestion["phase"] == "confirm":
            names.append(suggestion["name"])
            if len(names) == 2:
                break
        search.on_trial_complete(f"trial-{index}", result)
    search.save(str(tmp_path / "search"))
    restored = make()
    restored.restore(str(tmp_path / "search"))
    assert [restored.suggest("next")["name"]] == [search.suggest("next")["name"]]  # type: ignore[index]


def test_no_more_trials_run_at_once_than_there_is_room_for(
    tiny_study: Callable[..., Study],
) -> None:
    study = tiny_study()
    search = StudySearch(study, preflight(study).space, objective_metric(study))
    assert search.set_max_concurrency(2)
    assert search.suggest("a") is not None and search.suggest("b") is not None
    assert search.suggest("c") is None
    search.on_trial_complete("a", {"training_iteration": 2, search.metric: 0.5})
    assert search.suggest("c") is not None
