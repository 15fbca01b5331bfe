"""What trains on the CPU trains on a GPU. Skipped where there is none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from raytl.config import Study, TrialConfig
from raytl.training.material import Material
from raytl.training.trial import run_trial

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
