"""What happens to machines, against what is wrong with a trial itself.

An error of a trial's own configuration ends it. What comes from a machine (a lost process or node,
a full disk, a slow bucket, a corrupt copy, a GPU that is not to be seen) never does. Of all else
one look does not tell which it is: whether it comes again elsewhere, at the same step, does (see
`retries`).
"""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import ray
from ray.exceptions import RayError, RayTaskError
from ray.train import TrainingFailedError

from raytl.errors import (
    ConfigError,
    MissingModelError,
    ModelError,
    RaytlError,
    TrainingError,
    UserError,
)

Kind = Literal["own", "machine", "doubtful"]

# Packages whose errors are of the network or of what is behind it, but no OSErrors.
NETWORK = frozenset(
    {
        "aiobotocore", "aiohttp", "azure", "adlfs", "botocore", "fsspec", "gcsfs", "google", "grpc",
        "httpcore", "httpx", "huggingface_hub", "requests", "s3fs", "urllib3",
    }
)  # fmt: skip
# How libraries that raise RuntimeError for everything speak of peers, and of devices.
PEER = re.compile(
    "NCCL|gloo|Socket ?Timeout|TCPStore|connection (was )?(closed|reset|refused)|broken pipe", re.I
)
DEVICE = re.compile(
    r"CUDA error|CUDA driver|CUDA-capable|No CUDA GPUs|NVIDIA driver|NVML|HIP error|\bECC\b", re.I
)
# Of these, what a kernel may have met because of what the trial gave it.
KERNEL = re.compile(
    "device-side assert|illegal memory access|misaligned|illegal instruction|launch failure"
    "|launch failed|invalid configuration|invalid argument|out of memory",
    re.I,
)
STEP = re.compile(r"\bat step (\d+) of \d+")  # as `training.loop` says it


@dataclass(frozen=True)
class Failure:
    """Why a trial stopped, as whoever met it knows. `text`: in a line. `name`: of the error's
    class. `epoch`: how many were done. `step`: the training step at which it came, if it had begun.
    `node`: on which, by Ray's id. `sound`: whether the process can train other trials."""

    kind: Kind
    text: str
    name: str = ""
    epoch: int = 0
    step: int | None = None
    node: str | None = None
    sound: bool = False

    @classmethod
    def of(cls, error: Exception, epoch: int = 0) -> "Failure":
        """Return what an error that came in this process, after so many epochs, says."""
        said = "\n".join([str(error), *getattr(error, "__notes__", [])])
        step = STEP.search(said)
        return cls(
            kind_of(error), describe(error), type(error).__name__, epoch,
            None if step is None else int(step[1]), own_node(),
            sound=isinstance(error, UserError | TrainingError),
        )  # fmt: skip

    @property
    def symptom(self) -> tuple[str, int | None, int | None]:
        """What is the same where it comes again. Steps are counted over all epochs."""
        return self.name, self.epoch if self.step is None else None, self.step

    def dump(self) -> str:
        """Return it as JSON, which Tune leaves as it is."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> "Failure":
        """Return what `dump` wrote."""
        return cls(**json.loads(text))


def own_node() -> str | None:
    """Return Ray's id of the node that this process runs on; None outside Ray."""
    return ray.get_runtime_context().get_node_id() if ray.is_initialized() else None


class MetByWorkerError(Exception):
    """What one of a trial's several workers met, for whoever runs its driver."""

    def __init__(self, failure: Failure, trace: str) -> None:
        super().__init__(failure, trace)
        self.failure, self.trace = failure, trace


def kind_of(error: BaseException) -> Kind:
    """Return what an error that stopped a trial says of it."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, ConfigError | ModelError) and not isinstance(cause, MissingModelError):
        return "own"
    if isinstance(cause, UserError | TrainingError):
        # Preflight has seen data, models and folders; a number is as good as what computed it
        return "doubtful"
    if isinstance(cause, RaytlError | RayError | OSError | MemoryError):
        return "machine"
    if isinstance(
        cause, TrainingFailedError
    ):  # after many tries; workers tell of errors themselves
        return "machine"
    if any(_is_of_network(each) or _is_of_device(each) for each in _chain(cause)):
        return "machine"
    return "doubtful"


def is_of_peers(error: Exception) -> bool:
    """Whether the error of one of several workers may be that another of them was lost."""
    return any(_is_of_network(each) for each in _chain(error))


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it was raised from."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__


def _is_of_network(error: BaseException) -> bool:
    packages = {base.__module__.split(".")[0] for base in type(error).__mro__}
    of_peers = isinstance(error, RuntimeError) and PEER.search(str(error)) is not None
    return bool(packages & NETWORK) or of_peers or isinstance(error, ConnectionError)


def _is_of_device(error: BaseException) -> bool:
    text = str(error)
    of_device = isinstance(error, RuntimeError) and DEVICE.search(text) is not None
    return of_device and KERNEL.search(text) is None


def describe(error: Any) -> str:
    """Return in a line what a trial failed of."""
    text = " ".join(str(error).split())
    return text if isinstance(error, RaytlError) else f"{type(error).__name__}: {text}"
