"""What a control takes over from the study, and its learning rates."""

from collections.abc import Callable
from typing import Any

import pytest

from raytl.config import TRIAL_KEYS, Study, TrialConfig
from raytl.config.learning_rates import LEARNING_RATES
from raytl.search_space import SearchSpace
from raytl.sweeping.search.controls import TAKEN_OVER, control_trials, lower_tries, spread
from raytl.sweeping.search.probe_controls import probe_controls

MakeStudy = Callable[..., Study]
# A value of each key that is not its default.
UNUSUAL: dict[str, Any] = {
    "frozen_depth": "50%", "tuned_blocks": "0-1", "lora_rank": 4, "lora_alpha": 2.0,
    "mapper": "mlp", "mapper.hidden": 7, "mapper.out": 7, "mapper.fit": "class_means",
    "mapper.batch_norm": True, "head": "mlp", "head.hidden": 7, "head.dropout": 0.5,
    "recipe": "dann", "adversarial_lambda": 0.3, "lambda_schedule": "constant",
    "discriminator_hidden": 7, "entropy_conditioning": True, "margin": 2.0,
    "alignment_lambda": 0.3, "temperature": 1.0, "probe_fraction": 0.9, "l2_sp": 0.1,
    "distillation_temperature": 1.0, "distillation_weight": 0.3, "student": "net",
    "label_smoothing": 0.3, "optimizer": "adamw", "optimizer.lr": 0.5, "optimizer.momentum": 0.1,
    "optimizer.weight_decay": 0.1, "optimizer.transferred_lr_scale": 0.0,
    "optimizer.layer_decay": 0.5, "optimizer.schedule": "constant", "optimizer.warmup": 0.7,
    "optimizer.clip_norm": 0.01, "class_weights": "balanced", "inputs": "image",
    "fusion": "gated", "fusion.width": 7, "fusion.dropout": 0.5,
}  # fmt: skip


def controls(study: Study) -> dict[str, list[TrialConfig]]:
    found: dict[str, list[TrialConfig]] = {}
    for control, trial in control_trials(study, SearchSpace(study)):
        found.setdefault(control, []).append(trial)
    return found


def weights(tiny_study: MakeStudy, **more: Any) -> Study:
    pretrained = {"backbone": "lenet", "weights": "lenet.pth"}
    space = {"margin": {"choice": [2.0, 4.0]}}
    return tiny_study(source_models={"net": pretrained}, space=space, **more)


def test_a_control_takes_over_source_model_head_and_optimiser_alone(tiny_study: MakeStudy) -> None:
    assert {"source_model", *UNUSUAL} == set(TRIAL_KEYS)
    found = controls(weights(tiny_study, defaults=UNUSUAL))
    assert list(found) == ["scratch", "source_only", "linear_probe", "target_only", "constant"]
    constant = found.pop("constant")[0]
    assert (constant.head.name, constant.optimizer.weight_decay) == ("constant", 0.0)
    plain = TrialConfig(source_model="net").flat()
    for control, tries in found.items():
        flat = tries[0].flat()
        given = {key: value for key, value in flat.items() if value != plain[key]}
        rate = {"optimizer.lr": flat["optimizer.lr"]}
        expected = {"recipe": control, "head": "mlp", "head.hidden": 7, "optimizer": "adamw"}
        expected |= {"class_weights": "balanced"}
        assert given == expected | rate
        assert all(flat[key] == (UNUSUAL | {"source_model": "net"})[key] for key in TAKEN_OVER)


def test_every_further_pretrained_source_model_is_probed(tiny_study: MakeStudy) -> None:
    models = {
        "net": {"backbone": "lenet", "weights": "lenet.pth"},
        "fresh": {"backbone": "lenet"},
        "other": {"backbone": "small_cnn", "weights": "small.pth"},
    }
    space = {"source_model": {"choice": ["net", "fresh", "other"]}}
    search = {"sampler": "random", "trials": 3, "control_tries": 3}
    study = tiny_study(source_models=models, space=space, search=search)
    probes = probe_controls(study, SearchSpace(study))
    assert [name for name, _ in probes] == ["other_frozen"] * 3
    own = [trial for name, trial in control_trials(study, SearchSpace(study))
           if name == "linear_probe"]  # fmt: skip
    assert [t.source_model for t in own] == ["net"] * 3
    assert [trial for _, trial in probes] == [t.replace(source_model="other") for t in own]
    alone = tiny_study(source_models={"net": models["fresh"]}, search=search)
    assert probe_controls(alone, SearchSpace(alone)) == []


def test_rates_suit_what_is_trained_and_not_the_study(tiny_study: MakeStudy) -> None:
    space = {"optimizer.lr": {"float": [1e-9, 1e-8], "log": True}}
    search = {"sampler": "random", "trials": 2, "control_tries": 3}
    pretrained = {"backbone": "lenet", "weights": "lenet.pth"}
    study = tiny_study(source_models={"net": pretrained}, space=space, search=search)
    ranges = LEARNING_RATES["adam"]
    rates = {name: [t.optimizer.lr for t in tries] for name, tries in controls(study).items()}
    assert rates == {
        "scratch": spread(*ranges["fresh"], 3),
        "source_only": spread(*ranges["transferred"], 3),
        "linear_probe": spread(*ranges["head"], 3),
        "target_only": spread(*ranges["transferred"], 3),
        "constant": [TrialConfig(source_model="net").optimizer.lr],  # it learns nothing
    }
    fresh = controls(tiny_study(search=search))
    assert [t.optimizer.lr for t in fresh["source_only"]] == spread(*ranges["fresh"], 3)


def test_rates_are_spread_over_their_range() -> None:
    assert spread(1e-3, 1e-1, 1) == pytest.approx([1e-2])
    assert spread(1e-6, 1e0, 3) == pytest.approx([1e-5, 1e-3, 1e-1])


def test_failed_tries_go_on_below(tiny_study: MakeStudy) -> None:
    study = weights(tiny_study, search={"control_tries": 3})
    tries = controls(study)["target_only"]
    low, high = LEARNING_RATES["adam"]["transferred"]
    lower = lower_tries(study, tries)
    assert [t.optimizer.lr for t in lower] == pytest.approx(spread(low * low / high, low, 3))
    assert [t.replace(optimizer__lr=1.0) for t in lower] == [
        t.replace(optimizer__lr=1.0) for t in tries
    ]
    assert lower_tries(study, lower) == [], "twice is enough"
