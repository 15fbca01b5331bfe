"""What trains on the CPU trains on a GPU. Skipped where there is none."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from raytl.config import Study, TrialConfig
from raytl.devices import free_gpu_memory
from raytl.errors import TrainingError
from raytl.training import loop
from raytl.training.compiling import missing_compiler
from raytl.training.material import Material
from raytl.training.trial import TrialRun, run_trial

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]

MakeStudy = Callable[..., Study]


def losses(make: MakeStudy, device: str, recipe: str, **train: Any) -> list[float]:
    study = make(
        source_models={"net": {"backbone": "small_cnn", "args": {"width": 4}}},
        train={"epochs": 2, "batch_size": 8, "steps_per_epoch": 5} | train,
    )
    trial = TrialConfig.from_flat({"source_model": "net", "recipe": recipe, "optimizer.lr": 0.02})
    seen: list[dict[str, Any]] = []
    material = Material.of(study)
    run_trial(material, trial, 3, lambda metrics, _: seen.append(metrics), device=device, test=True)
    return [metrics["train/loss/total"] for metrics in seen]


@pytest.mark.parametrize("recipe", ["finetune", "dann", "mcc", "dan"])
def test_losses_are_those_of_the_cpu(tiny_study: MakeStudy, recipe: str) -> None:
    expected = losses(tiny_study, "cpu", recipe)
    assert losses(tiny_study, "cuda", recipe) == pytest.approx(expected, rel=2e-2)


def test_bfloat16_is_near(tiny_study: MakeStudy) -> None:
    expected = losses(tiny_study, "cuda", "dann")
    found = losses(tiny_study, "cuda", "dann", precision="bfloat16")
    assert found == pytest.approx(expected, rel=5e-2)


def test_one_worker_over_nccl_is_one_worker(tiny_study: MakeStudy, tmp_path: Path) -> None:
    expected = losses(tiny_study, "cuda", "dann")
    dist.init_process_group("nccl", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        assert losses(tiny_study, "cuda", "dann") == pytest.approx(expected, rel=1e-3)
    finally:
        dist.destroy_process_group()


class Syncs:
    """Lets every wait of the host for the device be an error."""

    def __enter__(self) -> None:
        torch.cuda.set_sync_debug_mode("error")

    def __exit__(self, *_: object) -> None:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("recipe", ["finetune", "dann", "cdan", "mcc", "tradaboost", "adda"])
def test_a_step_makes_the_host_wait_for_nothing(
    tiny_study: MakeStudy, monkeypatch: pytest.MonkeyPatch, recipe: str
) -> None:
    study = tiny_study(
        source_models={"net": {"backbone": "small_cnn", "args": {"width": 4}}},
        train={"epochs": 3, "batch_size": 8, "steps_per_epoch": 5},
    )
    trial = TrialConfig.from_flat({"source_model": "net", "recipe": recipe})
    run = TrialRun(Material.of(study), trial, 3, device="cuda")
    run.train()
    run.train()
    plain = loop._fill_gradients

    def watched(*given: Any) -> Any:
        with Syncs():
            return plain(*given)

    monkeypatch.setattr(loop, "_fill_gradients", watched)
    run.train()
    run.close()


@pytest.mark.parametrize("kind", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("bad", [0, 2, 4])
def test_a_step_that_is_not_finite_never_counts(
    tiny_study: MakeStudy, monkeypatch: pytest.MonkeyPatch, kind: str, bad: int
) -> None:
    study = tiny_study(train={"epochs": 1, "batch_size": 8, "steps_per_epoch": 5})
    trial = TrialConfig.from_flat({"source_model": "net", "recipe": "dann", "optimizer": kind})
    run = TrialRun(Material.of(study), trial, 3, device="cuda")
    plain, before = run.trainer.recipe.losses, list[list[torch.Tensor]]()

    def losses(model: Any, batch: Any, progress: float) -> Any:
        before.append([p.detach().clone() for p in model.parameters()])
        found = plain(model, batch, progress)
        return {k: v * torch.nan for k, v in found.items()} if len(before) - 1 == bad else found

    monkeypatch.setattr(run.trainer.recipe, "losses", losses)
    with pytest.raises(TrainingError, match=f"at step {bad} of 5 got"):
        run.train()
    run.close()
    after = [p.detach() for p in run.trainer.model.parameters()]
    assert all(torch.equal(*pair) for pair in zip(before[bad], after, strict=True))


def test_batches_are_pinned_and_nobody_reads_on(tiny_study: MakeStudy) -> None:
    run = TrialRun(Material.of(tiny_study()), TrialConfig(source_model="net"), 3, device="cuda")
    batches = run.feeds["labelled"].train_batches()
    given = next(batches).inputs["image"].rows
    assert isinstance(given, torch.Tensor) and given.is_pinned()
    batches.close()  # type: ignore[attr-defined]
    run.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "raytl-ahead"]


def test_stored_maps_keep_their_channels_last(tiny_study: MakeStudy) -> None:
    study = tiny_study(train={"epochs": 2, "batch_size": 8, "steps_per_epoch": 12})
    trial = TrialConfig(source_model="net", frozen_depth=2)
    run = TrialRun(Material.of(study), trial, 3, device="cuda")
    given = next(run.feeds["labelled"].train_batches()).inputs["image"]
    assert given.done == 2 and isinstance(given.rows, torch.Tensor)
    assert given.rows.is_contiguous(memory_format=torch.channels_last)
    assert torch.isfinite(torch.tensor(run.train()["train/loss/total"]))
    run.close()


def test_compiled_and_deterministic_losses_are_near(tiny_study: MakeStudy) -> None:
    if missing_compiler(torch.device("cuda")) is not None:
        pytest.skip("there is no compiler")
    expected = losses(tiny_study, "cuda", "dann")
    assert losses(tiny_study, "cuda", "dann", compile=True) == pytest.approx(expected, rel=2e-2)
    once = losses(tiny_study, "cuda", "dann", deterministic=True)
    assert losses(tiny_study, "cuda", "dann", deterministic=True) == once
    assert once == pytest.approx(expected, rel=2e-2)


def test_memory_is_given_back(tiny_study: MakeStudy) -> None:
    losses(tiny_study, "cuda", "finetune")
    free_gpu_memory()
    assert torch.cuda.memory_reserved() <= 64 * 2**20  # cuBLAS's workspaces stay
