"""What is particular to the device that trains: that it computes beside the host, how it rounds,
and what it cannot do."""

import gc
import os
import platform
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

# Compute capability from which on a GPU has bfloat16: Ampere's. A T4 has 7.5, a V100 7.0.
BFLOAT16_FROM = (8, 0)
Moved = TypeVar("Moved", bound=nn.Module)


def runs_beside(device: torch.device) -> bool:
    """Whether the device computes beside the host, which must then not wait for it in each step."""
    return device.type == "cuda"


def placed(module: Moved, device: torch.device) -> Moved:
    """Return the module moved to the device, with the channels of its kernels last: maps of images
    are then computed so, which is what a GPU is fastest with."""
    return module.to(device).to(memory_format=torch.channels_last)


def device_for(gpus: float) -> str | None:
    """Return what trains where so many GPUs are asked for; None where torch sees none of them.
    RAYTL_DEVICE overrides it, as where GPUs are there by name only."""
    given = os.environ.get("RAYTL_DEVICE")
    if given is not None or not gpus:
        return given or "cpu"
    return "cuda" if torch.cuda.is_available() else None


def current(device: torch.device) -> AbstractContextManager[object]:
    """Make the device the one that this thread works with."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


def begin_read(values: Tensor) -> Callable[[], list[Any]]:
    """Begin to copy a device's values, (N,), to the host; return what waits for them, and for
    nothing that the device is asked for from now on."""
    if not values.is_cuda:
        return values.tolist
    copied = values.to("cpu", non_blocking=True)  # into pinned memory
    done = torch.cuda.Event()
    done.record(torch.cuda.current_stream(values.device))

    def read() -> list[Any]:
        done.synchronize()
        return copied.tolist()

    return read


def free_gpu_memory() -> None:
    """Give back what this process holds of a GPU's memory and nothing refers to any more: torch
    keeps it for itself, and other trials may share the GPU."""
    if torch.cuda.is_initialized():
        gc.collect()
        torch.cuda.empty_cache()


def cpu_kind() -> str:
    """Return the CPU with the instruction set that torch uses of it."""
    return f"cpu {platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


def arithmetic_of(device: torch.device) -> dict[str, Any]:
    """Return what the last digits of a frozen network's output hang on, besides network, rows and
    versions: the kind of device, and on a GPU whether products and convolutions are in TF32
    (10 bits of mantissa, NVIDIA's from Ampere on) and by which algorithms they are computed."""
    if device.type != "cuda":
        return {"device": cpu_kind() if device.type == "cpu" else device.type}
    return {
        "device": f"cuda {torch.cuda.get_device_name(device)}",
        "tf32": [*_float32_precisions(), os.environ.get("NVIDIA_TF32_OVERRIDE")],
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "benchmark": torch.backends.cudnn.benchmark,
    }


def _float32_precisions() -> tuple[object, object]:
    """Return how a GPU computes float32's products and convolutions, in torch's own words."""
    try:
        cudnn: Any = torch.backends.cudnn  # mypy knows no `conv`
        return torch.backends.cuda.matmul.fp32_precision, cudnn.conv.fp32_precision
    except AttributeError:  # torch before 2.9; from then on the older words are errors for some
        return torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32


def lacks_bfloat16(device: torch.device) -> bool:
    """Whether a GPU would have to emulate bfloat16, slowly where it can at all."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) < BFLOAT16_FROM


def gpus_without_bfloat16() -> list[str]:
    """Return those of this machine that torch sees, with their compute capabilities."""
    every = [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    return [described(device) for device in every if lacks_bfloat16(device)]


def described(device: torch.device) -> str:
    """Return a GPU's name and its compute capability."""
    major, minor = torch.cuda.get_device_capability(device)
    return f"{torch.cuda.get_device_name(device)} ({major}.{minor})"
