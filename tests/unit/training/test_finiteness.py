"""A step that is not finite never counts, and where a device computes beside the host nobody waits
for the device to say so. The device here is the CPU, told apart by a patch."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from raytl import devices
from raytl.config import Study, TrialConfig
from raytl.data.mixing import joint_batches
from raytl.errors import TrainingError
from raytl.models.transfer_model import TransferModel
from raytl.recipes import RECIPES
from raytl.training import loop
from raytl.training.finiteness import Finiteness, update_if_finite
from raytl.training.fused import Member, train_fused_epoch
from raytl.training.material import Material
from raytl.training.optimization import clip_gradients
from raytl.training.trial import TrialRun

MakeStudy = Callable[..., Study]
CPU = torch.device("cpu")
WAITS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal"}
UNTRAINED = {"constant", "naive", "seasonal_naive"}
TRAINING = sorted(RECIPES.keys() - UNTRAINED - {"distillation"})
KINDS = ["sgd", "adam", "adamw"]


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the CPU for a device that computes beside the host. It has no memory to pin."""
    monkeypatch.setattr(devices, "runs_beside", lambda device: True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda values: values)


def make_run(tiny_study: MakeStudy, recipe: str = "dann", **flat: Any) -> TrialRun:
    study = tiny_study(
        source_models={"net": {"backbone": "lenet"}},  # batch norm magnifies Adam's rounding
        train={"epochs": 2, "batch_size": 8, "steps_per_epoch": 4},
    )
    plain = {"source_model": "net", "recipe": recipe, "optimizer.lr": 0.02}
    return TrialRun(Material.of(study), TrialConfig.from_flat(plain | flat), seed=3)


Weights = dict[str, torch.Tensor]


def spoil(run: TrialRun, bad: int, monkeypatch: pytest.MonkeyPatch) -> list[Weights]:
    """Let the loss of step `bad` be NaN; return the weights before each step that was begun."""
    plain, steps = run.trainer.recipe.losses, list[Weights]()

    def losses(model: TransferModel, batch: Any, progress: float) -> Any:
        steps.append(weights(run))
        found = plain(model, batch, progress)
        return {k: v * torch.nan for k, v in found.items()} if len(steps) - 1 == bad else found

    monkeypatch.setattr(run.trainer.recipe, "losses", losses)
    return steps


def weights(run: TrialRun) -> Weights:
    return {name: p.detach().clone() for name, p in run.trainer.model.named_parameters()}


def same(one: Weights, two: Weights) -> bool:
    return all(torch.equal(value, two[name]) for name, value in one.items())


def told(run: TrialRun) -> str:
    with pytest.raises(TrainingError) as caught:
        run.train()
    assert caught.value.__notes__ == [f"at step {run.trainer.step} of 8"]
    return str(caught.value)


@pytest.mark.parametrize("bad", [0, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_late_or_not_the_same_is_told_and_no_weight_is_spoilt(
    tiny_study: MakeStudy, monkeypatch: pytest.MonkeyPatch, kind: str, bad: int
) -> None:
    flat = {"optimizer": kind, "optimizer.clip_norm": 0}
    at_once = make_run(tiny_study, **flat)
    assert spoil(at_once, bad, monkeypatch) == []
    text = told(at_once)
    assert text.startswith(f"loss and gradient must be finite, but at step {bad} of 8 got")

    monkeypatch.setattr(devices, "runs_beside", lambda device: True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda values: values)
    late = make_run(tiny_study, **flat)
    steps = spoil(late, bad, monkeypatch)
    assert told(late) == text
    assert len(steps) == min(bad + 2, 4), "one step late, or at the epoch's end"
    assert late.trainer.step == at_once.trainer.step == bad
    assert all(same(steps[bad], then) for then in steps[bad:]) and same(steps[bad], weights(late))


@pytest.mark.parametrize("kind", KINDS)
def test_the_optimiser_leaves_out_a_step_whole(
    beside: None, tiny_study: MakeStudy, kind: str
) -> None:
    run = make_run(tiny_study, optimizer=kind)
    run.train()
    optimizer, before = run.trainer.optimizer, weights(run)
    states = {
        key: value.clone()
        for parameter in run.trainer.model.parameters()
        for key, value in optimizer.state[parameter].items()
        if torch.is_tensor(value)
    }
    for parameter in run.trainer.model.parameters():
        parameter.grad = torch.full_like(parameter, torch.nan)
    update_if_finite(optimizer, torch.tensor(False))
    assert same(before, weights(run))
    for parameter in run.trainer.model.parameters():
        for key, value in optimizer.state[parameter].items():
            assert value.isfinite().all(), key
    assert states
    for parameter in run.trainer.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    update_if_finite(optimizer, torch.tensor(True))
    assert not same(before, weights(run))


@pytest.mark.parametrize("recipe", ["adda", "gradual_unfreezing", "dann"])
@pytest.mark.parametrize("kind", KINDS)
def test_optimisers_that_may_leave_out_steps_train_as_the_others(
    tiny_study: MakeStudy, monkeypatch: pytest.MonkeyPatch, recipe: str, kind: str
) -> None:
    """In adda the discriminator gets its first gradient in the middle of training."""
    plain = make_run(tiny_study, recipe, optimizer=kind)
    expected = [plain.train(), plain.train()]
    monkeypatch.setattr(devices, "runs_beside", lambda device: True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda values: values)
    fused = make_run(tiny_study, recipe, optimizer=kind)
    assert all(group["fused"] for group in fused.trainer.optimizer.param_groups)
    for then in expected:
        now = fused.train()
        for name in then.keys() - {"train/seconds"}:
            assert now[name] == pytest.approx(then[name], rel=1e-3, abs=1e-6), name


def test_what_was_not_finite_comes_before_what_came_of_it(
    beside: None, tiny_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tiny_study)
    spoil(run, 1, monkeypatch)
    plain, calls = run.trainer.recipe.losses, list[int]()

    def losses(model: TransferModel, batch: Any, progress: float) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise ValueError("a network that cannot take a NaN")
        return plain(model, batch, progress)

    monkeypatch.setattr(run.trainer.recipe, "losses", losses)
    assert "at step 1 of 8 got" in told(run)


class Waits(TorchDispatchMode):
    """Counts the operations for whose outcome the host would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        masked = name == "aten::index" and any(
            part is not None and part.dtype == torch.bool for part in args[1]
        )
        if name in WAITS or masked:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("recipe", TRAINING)
def test_in_a_step_the_host_waits_for_nothing(
    beside: None, tiny_study: MakeStudy, recipe: str
) -> None:
    """But for the flag itself, which is read beside. The means are read at the epoch's end."""
    net = {"backbone": "small_cnn", "args": {"width": 4}}
    study = tiny_study(
        source_models={"net": net, "other": net},
        train={"epochs": 3, "batch_size": 8, "steps_per_epoch": 4, "reuse_prefix": False},
    )
    flat: dict[str, Any] = {"source_model": "net", "recipe": recipe, "optimizer": "adam"}
    flat |= {"student": "other"} if RECIPES[recipe].uses_student else {}
    run = TrialRun(Material.of(study), TrialConfig.from_flat(flat), seed=3)
    run.train()
    run.train()  # adda has switched by now
    with Waits() as waits:
        metrics = run.train()
    means = [name for name in metrics if name.startswith("train/loss/")]
    assert len(waits.seen) == len(means) + 1, waits.seen


class BlockingCopies(TorchDispatchMode):
    """Notes the copies to another device that the host would wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if func._schema.name == "aten::_to_copy":
            moves = out.device != args[0].device
            if moves and not kwargs.get("non_blocking", False):
                self.seen.append(f"{tuple(args[0].shape)} to {out.device}")
        return out


@pytest.mark.parametrize("recipe", TRAINING)
def test_in_a_step_the_host_waits_for_no_copy(
    tiny_study: MakeStudy, monkeypatch: pytest.MonkeyPatch, recipe: str
) -> None:
    """Torch's `meta` device, which has shapes alone, stands for a GPU."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # it knows no meta
    net = {"backbone": "small_cnn", "args": {"width": 4}}
    study = tiny_study(source_models={"net": net, "other": net}, train={"reuse_prefix": False})
    flat: dict[str, Any] = {"source_model": "net", "recipe": recipe, "class_weights": "balanced"}
    flat |= {"student": "other"} if RECIPES[recipe].uses_student else {}
    run = TrialRun(Material.of(study), TrialConfig.from_flat(flat), seed=3)
    trainer, meta = run.trainer, torch.device("meta")
    for module in (trainer.model, trainer.recipe):
        module.to(meta)
    trainer.device = meta
    batches = joint_batches(run.feeds)
    loop._fill_gradients(trainer, next(batches), 0.1)
    with BlockingCopies() as copies:
        loop._fill_gradients(trainer, next(batches), 0.2)
        clip_gradients(trainer.optimizer, 5.0)
    assert copies.seen == []


def test_a_group_learns_late_too_whose_step_was_not_finite(
    tiny_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def epoch() -> list[Any]:
        flat = {"frozen_depth": "100%", "mapper": "linear"}
        runs = [
            make_run(tiny_study, "finetune", **flat, **{"optimizer.lr": lr}) for lr in (0.1, 1e38)
        ]
        results = train_fused_epoch(
            [Member(run.trainer, run.epoch_seed) for run in runs],
            lambda i: joint_batches(runs[i].feeds, runs[i].trainer.step),
            4,
            same_rows=True,
        )
        return [*results, weights(runs[0])]

    one, bad, kept = epoch()
    monkeypatch.setattr(devices, "runs_beside", lambda device: True)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda values: values)
    late, late_bad, late_kept = epoch()
    assert isinstance(bad, TrainingError) and str(late_bad) == str(bad)
    assert late == one and same(kept, late_kept)


def test_of_several_it_is_told_which_and_late_if_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = torch.tensor([True, True, True]), torch.tensor([True, False, False])
    at_once = Finiteness[str](CPU)
    assert at_once.look(good, "first") is None
    found = at_once.look(bad, "second")
    assert found is not None and (found.step, found.trials) == ("second", [1, 2])
    assert at_once.settle() is None
    monkeypatch.setattr(devices, "runs_beside", lambda device: True)
    late = Finiteness[str](CPU)
    assert late.look(bad, "first") is None
    found = late.look(good, "second")
    assert found is not None and (found.step, found.trials) == ("first", [1, 2])
    assert late.look(torch.tensor(False), "third") is None
    found = late.settle()
    assert found is not None and (found.step, found.trials) == ("third", [0])
    assert late.settle() is None


@pytest.mark.parametrize("kind", KINDS)
def test_a_trial_goes_on_where_optimisers_may_leave_out_steps(
    beside: None, tiny_study: MakeStudy, tmp_path: Path, kind: str
) -> None:
    whole, cut = (make_run(tiny_study, optimizer=kind) for _ in range(2))
    for run in (whole, cut):
        run.judge(run.train())
    cut.save(tmp_path)
    trial = TrialConfig.from_flat(
        {"source_model": "net", "recipe": "dann", "optimizer.lr": 0.02, "optimizer": kind}
    )
    again = TrialRun(cut.material, trial, seed=3, resume_from=tmp_path)
    again.train()
    whole.train()
    assert same(weights(whole), weights(again))
