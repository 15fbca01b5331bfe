"""What hangs on the device is told apart without one: torch's answers are set by hand."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from raytl.config import TrainConfig
from raytl.devices import (
    arithmetic_of,
    begin_read,
    cpu_kind,
    free_gpu_memory,
    gpus_without_bfloat16,
    lacks_bfloat16,
    runs_beside,
)
from raytl.training.precision import autocasts

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let torch tell of these GPUs: names and compute capabilities."""

    def have(*found: tuple[str, tuple[int, int]]) -> None:
        def of(device: torch.device) -> tuple[str, tuple[int, int]]:
            return found[device.index or 0]

        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(found))
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: of(device)[0])
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: of(device)[1])

    return have


def test_a_gpu_runs_beside_the_host_and_a_cpu_does_not() -> None:
    assert runs_beside(GPU) and not runs_beside(CPU)


def test_what_a_cpu_holds_is_read_as_it_is() -> None:
    assert begin_read(torch.tensor([True, False]))() == [True, False]


def test_a_flag_is_read_once_its_copy_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []

    class Copy:
        def tolist(self) -> list[bool]:
            done.append("read")
            return [False]

    class Flags:
        is_cuda, device = True, GPU

        def to(self, place: str, *, non_blocking: bool) -> Copy:
            done.append(f"copy to {place}, non_blocking={non_blocking}")
            return Copy()

    class Event:
        def record(self, stream: str) -> None:
            done.append(f"recorded on {stream}")

        def synchronize(self) -> None:
            done.append("waited")

    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"stream of {device}")
    flags: Any = Flags()
    read = begin_read(flags)
    assert done == ["copy to cpu, non_blocking=True", "recorded on stream of cuda:0"]
    assert read() == [False]
    assert done[2:] == ["waited", "read"]


def test_a_t4_has_no_bfloat16(gpus: Callable[..., None]) -> None:
    gpus(("NVIDIA A100", (8, 0)), ("Tesla T4", (7, 5)), ("NVIDIA H100", (9, 0)))
    assert gpus_without_bfloat16() == ["Tesla T4 (7.5)"]
    assert [lacks_bfloat16(torch.device("cuda", i)) for i in range(3)] == [False, True, False]
    assert not lacks_bfloat16(CPU)


def test_a_trial_without_bfloat16_says_so_and_trains_in_float32(gpus: Callable[..., None]) -> None:
    gpus(("Tesla T4", (7, 5)))
    wanted = TrainConfig(precision="bfloat16")
    with pytest.warns(UserWarning, match=r"Tesla T4 \(7.5\) has no bfloat16, .* in float32"):
        assert not autocasts(wanted, GPU)
    assert not autocasts(TrainConfig(), GPU)
    assert autocasts(wanted, CPU)
    gpus(("NVIDIA A100", (8, 0)))
    assert autocasts(wanted, GPU)


@pytest.mark.parametrize(
    "change",
    [
        lambda patch: patch.setattr(torch.cuda, "get_device_name", lambda device: "Tesla T4"),
        lambda patch: patch.setattr(torch.backends.cudnn, "allow_tf32", False),
        lambda patch: torch.set_float32_matmul_precision("high"),
        lambda patch: patch.setenv("NVIDIA_TF32_OVERRIDE", "0"),
        lambda patch: patch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True),
        lambda patch: patch.setattr(torch.backends.cudnn, "benchmark", True),
    ],
)
def test_how_a_gpu_rounds_is_what_it_is_and_how_it_is_set(
    gpus: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[pytest.MonkeyPatch], None],
) -> None:
    gpus(("NVIDIA A100", (8, 0)))
    before = arithmetic_of(GPU)
    assert arithmetic_of(GPU) == before
    assert before["device"] == "cuda NVIDIA A100"
    assert arithmetic_of(CPU) == {"device": cpu_kind()}, "and on a CPU, nothing else"
    try:
        change(monkeypatch)
        assert arithmetic_of(GPU) != before
        assert arithmetic_of(CPU) == {"device": cpu_kind()}
    finally:
        torch.set_float32_matmul_precision("highest")


def test_memory_goes_back_where_a_gpu_was_used(monkeypatch: pytest.MonkeyPatch) -> None:
    emptied: list[int] = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: emptied.append(1))
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    free_gpu_memory()
    assert emptied == []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    free_gpu_memory()
    assert emptied == [1]
