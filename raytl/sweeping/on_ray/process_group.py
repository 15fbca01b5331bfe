"""The process group of a trial's workers.

Ray Train's own backend for torch imports torch in each trial's driver and in its controller, too,
which both run on the head: 0.5 GB each, for nothing. Here only the workers do.
"""

import socket
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal

import ray
from ray.train.backend import Backend, BackendConfig
from ray.util import get_node_ip_address

# What one worker may wait for before it comes to what all do together: an entry of prefix features,
# one of its chunks and its end, of two branches. Ray Train's own 30 minutes are fewer than one.
WAITS = 6


@dataclass
class ProcessGroup(BackendConfig):
    """`kind`: torch.distributed's name of what carries tensors between the workers."""

    kind: Literal["nccl", "gloo"]

    @property
    def backend_cls(self) -> type[Backend]:
        """What sets it up."""
        return _Joining


class _Joining(Backend):
    """Runs in Ray Train's controller."""

    share_cuda_visible_devices = True  # NCCL wants to see the other workers' GPUs on its node

    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        """Have all workers join the group. Called by Ray Train before they train."""
        url, size = worker_group.execute_single(0, _meeting_point), len(worker_group)
        joining = [
            worker_group.execute_single_async(rank, _join, backend_config.kind, url, rank, size)
            for rank in range(size)
        ]
        ray.get(joining)


def _meeting_point() -> str:
    """Return the URL of a free port of this worker's node."""
    address = get_node_ip_address()
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    host = f"[{address}]" if ":" in address else address
    return f"tcp://{host}:{port}"


def _join(kind: str, url: str, rank: int, size: int) -> None:
    import torch.distributed as dist

    dist.init_process_group(kind, init_method=url, rank=rank, world_size=size, timeout=patience())


def patience() -> timedelta:
    """Return how long workers wait for one of them in what they do together. A worker that is lost
    is found by Ray Train long before."""
    # Imported here, in the worker: it needs torch.
    from raytl.training.prefix_cache import LOCK_S

    return timedelta(seconds=WAITS * LOCK_S)
