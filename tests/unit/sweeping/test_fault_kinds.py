"""What an error says of whose fault it is."""

import errno
import pickle

import pytest
import torch
from ray.exceptions import ActorDiedError, NodeDiedError, OutOfMemoryError, RayTaskError
from ray.train import WorkerGroupError

from raytl.errors import (
    CheckpointError,
    ConfigError,
    CorruptError,
    DataError,
    MissingModelError,
    ModelError,
    RaytlError,
    TrainingError,
    UserError,
)
from raytl.sweeping.on_ray.faults import Failure, MetByWorkerError, is_of_peers, kind_of


def raised(cause: Exception) -> RayTaskError:
    """Return what a task's caller gets where the task raised `cause`."""
    return RayTaskError("train", "a traceback", cause)


def of_package(name: str) -> Exception:
    """Return an error of a package's own, which is no OSError."""
    return type("SlowDownError", (Exception,), {"__module__": f"{name}.exceptions"})("slow down")


def caused_by(cause: Exception) -> Exception:
    try:
        raise ValueError("cannot read") from cause
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    "error",
    [
        ActorDiedError(),
        NodeDiedError("gone"),
        OutOfMemoryError("the node's"),
        raised(ActorDiedError()),
        OSError(errno.ENOSPC, "no space left"),
        OSError("AWS Error SLOW_DOWN during PutObject: please reduce your request rate"),
        ConnectionResetError("by peer"),
        TimeoutError(),
        MemoryError(),
        CheckpointError("cut off"),
        raised(RaytlError("cannot write: the disk is full")),
        raised(CorruptError("a shard")),
        RaytlError("Ray gave this trial a GPU, but torch sees none"),
        of_package("botocore"),
        of_package("aiohttp"),
        of_package("google.api_core"),
        caused_by(of_package("botocore")),
        RuntimeError("CUDA error: uncorrectable ECC error encountered"),
        RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable"),
        RuntimeError("No CUDA GPUs are available"),
        RuntimeError("Found no NVIDIA driver on your system."),
        torch.AcceleratorError("CUDA error: unspecified driver error"),
        torch.distributed.DistBackendError("NCCL error in: ProcessGroupNCCL.cpp:1"),
        RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:1"),
        WorkerGroupError("all were lost", {0: ActorDiedError()}),
    ],
)
def test_what_comes_from_machines(error: Exception) -> None:
    assert kind_of(error) == "machine"


@pytest.mark.parametrize("error", [ConfigError("x"), ModelError("x")])
def test_what_is_of_the_trials_own_configuration(error: Exception) -> None:
    assert kind_of(error) == kind_of(raised(error)) == "own"


@pytest.mark.parametrize(
    "error",
    [
        TrainingError("loss must be finite"),
        DataError("has no dataset.json"),  # it had one on the driver's machine
        MissingModelError("no source model here"),
        UserError("may not read it"),  # the driver may
        ValueError("a bug"),
        KeyError("width"),
        RuntimeError("CUDA error: device-side assert triggered"),
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
        RuntimeError("a successor of the device"),  # has "ECC" in no word of its own
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
)
def test_what_one_look_does_not_tell(error: Exception) -> None:
    assert kind_of(error) == kind_of(raised(error)) == "doubtful"


def test_that_another_worker_was_lost_is_told_from_what_is_ones_own() -> None:
    assert is_of_peers(RuntimeError("Connection closed by peer [127.0.0.1]:3"))
    assert is_of_peers(torch.distributed.DistBackendError("NCCL error: remote process exited"))
    assert not is_of_peers(TrainingError("loss must be finite"))
    assert not is_of_peers(OSError(errno.ENOSPC, "no space left"))


def test_a_failure_knows_the_step_wherever_it_is_said() -> None:
    error = TrainingError("loss and gradient must be finite, but at step 17 of 300 got task=nan")
    failure = Failure.of(error, 2)
    assert (failure.step, failure.epoch, failure.sound) == (17, 2, True)
    noted = ValueError("a bug")
    noted.add_note("at step 41 of 300")
    assert Failure.of(noted, 1).step == 41
    assert Failure.of(ValueError("a bug"), 1).step is None


def test_the_same_symptom_is_the_same_error_at_the_same_step() -> None:
    here = Failure("doubtful", "loss=nan", "TrainingError", epoch=2, step=17, node="a")
    there = Failure("doubtful", "loss=inf", "TrainingError", epoch=1, step=17, node="b")
    assert here.symptom == there.symptom
    for other in (
        Failure("doubtful", "loss=nan", "TrainingError", epoch=2, step=18, node="b"),
        Failure("doubtful", "loss=nan", "ValueError", epoch=2, step=17, node="b"),
        Failure("doubtful", "loss=nan", "TrainingError", epoch=2, node="b"),
    ):
        assert other.symptom != here.symptom
    early = [Failure("doubtful", "no", "DataError", epoch=epoch) for epoch in (0, 1)]
    assert early[0].symptom != early[1].symptom


def test_a_failure_goes_through_tune_and_between_processes() -> None:
    failure = Failure.of(KeyError("width"), 3)
    assert failure.text == "KeyError: 'width'"
    assert Failure.of(TrainingError("a\n  b")).text == "a b"
    assert Failure.parse(failure.dump()) == failure
    error = pickle.loads(pickle.dumps(MetByWorkerError(failure, "a traceback")))
    assert (error.failure, error.trace) == (failure, "a traceback")
