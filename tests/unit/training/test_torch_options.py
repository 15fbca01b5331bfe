"""What a study asks of torch holds for its trials, is put back after them, and is another study."""

import os
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch

from raytl.config import Study, TrainConfig, TrialConfig
from raytl.errors import TrainingError
from raytl.training.material import Material
from raytl.training.torch_options import OF_FIXED_SIZE, WORKSPACE, torch_options
from raytl.training.trial import run_trial

MakeStudy = Callable[..., Study]
Flags = tuple[bool, bool, bool, str | None]


def flags() -> Flags:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
        os.environ.get(WORKSPACE),
    )


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WORKSPACE, raising=False)


@pytest.mark.parametrize(
    ("train", "during"),
    [
        ({}, (False, False, False, None)),
        ({"benchmark": True}, (False, False, True, None)),
        ({"deterministic": True}, (True, False, False, OF_FIXED_SIZE)),
    ],
)
@pytest.mark.parametrize("error", [None, OSError, SystemExit])
def test_they_hold_for_a_trial_and_are_put_back(
    tiny_study: MakeStudy, train: dict[str, Any], during: Flags, error: type[BaseException] | None
) -> None:
    before, seen = flags(), list[Flags]()

    def report(metrics: dict[str, Any], save: Any) -> None:
        seen.append(flags())
        if error is not None:
            raise error

    study = tiny_study(train={"epochs": 1, "batch_size": 8, "steps_per_epoch": 2} | train)
    trial = TrialConfig.from_flat({"source_model": "net"})
    with nullcontext() if error is None else pytest.raises(error):
        run_trial(Material.of(study), trial, 3, report)
    assert seen == [during]
    assert flags() == before


def test_what_somebody_else_has_set_is_put_back_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(WORKSPACE, ":16:8")
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with torch_options(TrainConfig(deterministic=True)):
            assert flags() == (True, False, False, ":16:8")
        assert flags() == (True, True, True, ":16:8")
    finally:
        torch.use_deterministic_algorithms(False)


def test_an_operation_that_is_never_the_same_is_refused_by_name() -> None:
    values = torch.zeros(4)
    with (
        pytest.raises(TrainingError, match=r"^train\.deterministic: put_ .* here; take another"),
        torch_options(TrainConfig(deterministic=True)),
    ):
        values.put_(torch.tensor([0]), torch.ones(1), accumulate=False)
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(RuntimeError, match="a bug"), torch_options(TrainConfig(deterministic=True)):
        raise RuntimeError("a bug")


def test_the_fastest_algorithm_is_not_always_the_same() -> None:
    with pytest.raises(ValueError, match="deterministic and benchmark exclude each other"):
        TrainConfig(deterministic=True, benchmark=True)


def test_deterministic_changes_no_number_on_a_cpu(tiny_study: MakeStudy) -> None:
    def losses(**train: Any) -> list[Any]:
        seen: list[Any] = []
        budget = {"epochs": 2, "batch_size": 8, "steps_per_epoch": 3}
        trial = TrialConfig.from_flat({"source_model": "net", "recipe": "dann"})
        study = tiny_study(train=budget | train)
        run_trial(Material.of(study), trial, 3, lambda metrics, _: seen.append(metrics), test=True)
        return [{k: v for k, v in of.items() if k != "train/seconds"} for of in seen]

    assert losses(deterministic=True) == losses()
