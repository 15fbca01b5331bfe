"""The search space: conditions, trial 0, the grid, and its errors."""

import pickle
from pathlib import Path
from typing import Any

import optuna
import pytest

from raytl.config import Study
from raytl.errors import ConfigError
from raytl.search_space import SearchSpace, check_callable_space, quantiles

SPACE: dict[str, Any] = {
    "mapper.hidden": {"int": [32, 256], "log": True, "when": {"mapper": ["mlp"]}},
    "mapper": {"choice": ["identity", "mlp"]},
    "recipe": {"choice": ["finetune", "dann"]},
    "adversarial_lambda": {"float": [0.01, 1.0], "log": True, "when": {"recipe": "dann"}},
}


def study(space: Any, **more: Any) -> Study:
    return Study.model_validate(
        {
            "study": "s",
            "source_domain": {"dataset": "a"},
            "target_domain": {"dataset": "b"},
            "source_models": {"one": {"backbone": "lenet"}, "two": {"path": "p"}},
            "space": space,
            **more,
        }
    )


def suggest(space: SearchSpace, **fixed: Any) -> dict[str, Any]:
    return space(optuna.trial.FixedTrial(fixed))


def test_conditional_keys_are_asked_for_only_where_active() -> None:
    space = SearchSpace(study(SPACE))
    assert suggest(space, mapper="identity", recipe="finetune") == {
        "mapper": "identity",
        "recipe": "finetune",
    }
    active = suggest(
        space, **{"mapper": "mlp", "mapper.hidden": 64, "recipe": "dann", "adversarial_lambda": 0.1}
    )
    assert set(active) == set(SPACE)


def test_every_suggestion_resolves_to_a_trial() -> None:
    space = pickle.loads(pickle.dumps(SearchSpace(study(SPACE))))
    search = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        params = space(search.ask())
        trial = space.resolve(params)
        assert trial.recipe == params["recipe"]


def test_trial_0_is_the_defaults_where_the_space_has_them() -> None:
    space = SearchSpace(study(SPACE, defaults={"recipe": "dann", "mapper.hidden": 40}))
    assert space.default_params() == {
        "mapper": "identity",
        "recipe": "dann",
        "adversarial_lambda": 1.0,
    }
    outside = SearchSpace(study({"optimizer.lr": {"float": [1e-4, 1e-3], "log": True}}))
    params = outside.default_params()
    assert params is not None
    assert params["optimizer.lr"] == pytest.approx(10**-3.5)


def test_grid_multiplies_only_active_keys() -> None:
    space = SearchSpace(
        study(
            {
                "mapper": {"choice": ["identity", "mlp"]},
                "mapper.hidden": {"int": [32, 96], "step": 32, "when": {"mapper": "mlp"}},
                "head.dropout": {"float": [0.0, 0.5], "step": 0.25},
            }
        )
    )
    grid = list(space.grid())
    assert len(grid) == 3 * (1 + 3)
    assert {"mapper": "mlp", "mapper.hidden": 96, "head.dropout": 0.5} in grid
    with pytest.raises(ConfigError, match="needs a choice or a step"):
        list(SearchSpace(study(SPACE)).grid())


def test_quantiles_lie_evenly_on_the_scale() -> None:
    log = SearchSpace(study({"optimizer.lr": {"float": [1e-3, 1e-1], "log": True}}))
    assert quantiles(log.distributions["optimizer.lr"], 2) == pytest.approx([10**-2.5, 10**-1.5])


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "space: it is empty"),
        ({"maper": {"choice": ["mlp"]}}, "unknown key 'maper'; did you mean 'mapper'?"),
        ({"mapper": {"choice": ["mpl"]}}, "space.mapper: .*'identity', 'linear', 'matrix'"),
        ({"optimizer.lr": {"float": [-1, 1]}}, "space.optimizer.lr: .*greater than 0, got -1"),
        ({"source_model": {"choice": ["on"]}}, "unknown source model 'on'; did you mean 'one'?"),
        ({"frozen_depth": {"choice": ["101%"]}}, "0%..100%, got '101%'"),
        ({"frozen_depth": {"choice": [[1]]}}, "not a plain value"),
        ({"optimizer.lr": {"choice": [True]}}, "space.optimizer.lr: must not be true or false"),
        (
            {"mapper.hidden": {"int": [1, 2], "when": {"mapper": "mlp"}}},
            "'mapper' must be a choice of this space",
        ),
        (SPACE | {"head": {"choice": ["mlp"], "when": {"mapper": "linear"}}}, "never chosen"),
        (
            {
                "mapper": {"choice": ["mlp"], "when": {"head": "mlp"}},
                "head": {"choice": ["mlp"], "when": {"mapper": "mlp"}},
            },
            "when goes in a circle",
        ),
        ("nowhere_module:space", "cannot load 'nowhere_module:space'"),
    ],
)
def test_each_mistake_is_told(space: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SearchSpace(study(space))


@pytest.mark.parametrize(
    ("defaults", "message"),
    [
        ({"head": "constant"}, "defaults: recipe constant and head constant go together, and"),
        ({"frozen_depth": "101%"}, "defaults.frozen_depth: frozen_depth must be .*, got '101%'$"),
        ({"optimizer.momentum": 1}, "defaults.optimizer.momentum: .* less than 1, got 1$"),
    ],
)
def test_a_default_that_cannot_be_is_told_once(defaults: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^{message}"):
        SearchSpace(study(SPACE, defaults=defaults))


def test_defaults_are_checked() -> None:
    with pytest.raises(ConfigError, match="did you mean 'optimizer.lr'"):
        SearchSpace(study(SPACE, defaults={"optimiser.lr": 1}))
    with pytest.raises(ConfigError, match="lies outside space.mapper"):
        SearchSpace(study(SPACE, defaults={"mapper": "linear"}))


def test_a_default_source_model_that_the_space_has_not_is_told() -> None:
    models = {name: {"backbone": "small_cnn"} for name in ("small", "large")}
    space = {"source_model": {"choice": ["small"]}}
    with pytest.raises(ConfigError, match="defaults.source_model: 'large' lies outside space"):
        SearchSpace(study(space, defaults={"source_model": "large"}, source_models=models))


def test_callable_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_space.py").write_text(
        "def space(trial):\n"
        "    trial.suggest_float('optimizer.lr', 1e-3, 1e-1, log=True)\n"
        "    return {'mapper': 'mlp'}\n"
        "def wrong(trial):\n"
        "    return {'maper': 'mlp'}\n"
        "def fails(trial):\n"
        "    return 1 / 0\n"
        "def list_(trial):\n"
        "    return ['mlp']\n"
        "three = 3\n"
    )
    monkeypatch.chdir(tmp_path)
    space = SearchSpace(study("my_space:space"))
    params = suggest(space, **{"optimizer.lr": 0.01})
    assert space.resolve(params).mapper.name == "mlp"
    assert space.default_params() is None
    with pytest.raises(ConfigError, match="has no grid"):
        list(space.grid())
    for name, message in {
        "wrong": "unknown key 'maper'",
        "fails": r"my_space:fails fails: ZeroDivisionError: division by zero \(my_space.py:7\)",
        "list_": "must return a dictionary",
        "three": "is no function but 3",
        "four": "cannot load 'my_space:four'",
    }.items():
        with pytest.raises(ConfigError, match=message):
            check_callable_space(SearchSpace(study(f"my_space:{name}")))
    (tmp_path / "broken_space.py").write_text("def (:\n")
    with pytest.raises(ConfigError, match="cannot load 'broken_space:space'.*SyntaxError"):
        SearchSpace(study("broken_space:space"))


def test_combinations_are_what_trials_may_have_at_once() -> None:
    space = SearchSpace(
        study(
            SPACE
            | {
                "inputs": {"choice": ["image", "text"], "when": {"mapper": "mlp"}},
                "frozen_depth": {"int": [0, 3]},
            }
        )
    )
    assert sorted(space.combinations("inputs", "recipe")) == [
        (inputs, recipe) for inputs in ("all", "image", "text") for recipe in ("dann", "finetune")
    ]
    assert list(space.combinations("inputs", "mapper")) == [
        ("all", "identity"), ("image", "mlp"), ("text", "mlp"),
    ]  # fmt: skip
    # A range has its ends, or where any number may be drawn its default
    assert list(space.combinations("frozen_depth", "head")) == [(0, "linear"), (3, "linear")]
    assert list(space.combinations("optimizer.lr", "frozen_depth.image")) == [(0.002, None)]
