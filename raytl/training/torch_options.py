"""What a study asks of torch for as long as a trial trains, in a process that others train in after
it."""

import contextlib
import os
from collections.abc import Iterator

import torch

from raytl.config import TrainConfig
from raytl.errors import TrainingError

# Without it cuBLAS's products may differ from run to run; read when a process first multiplies.
WORKSPACE, OF_FIXED_SIZE = "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
REFUSED = "does not have a deterministic implementation"  # as torch puts it
# Of one piece of code: blocks of a network share theirs, and each has shapes of its own.
MOST_COMPILED = 128


@contextlib.contextmanager
def torch_options(train: TrainConfig) -> Iterator[None]:
    """Set `train.deterministic`, `train.benchmark` and what `train.compile` needs, and put back
    what was there before. What is not asked for stays as it is.

    Raises TrainingError for an operation that `train.deterministic` rules out.
    """
    with contextlib.ExitStack() as undone:
        if train.compile:
            undone.enter_context(_compiled_often())
        if train.benchmark:
            undone.enter_context(_benchmark(True))
        if train.deterministic:
            undone.enter_context(_benchmark(False))  # the fastest algorithm is not always the same
            undone.enter_context(_deterministic())
        yield


@contextlib.contextmanager
def _benchmark(wanted: bool) -> Iterator[None]:
    was = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = wanted
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = was


@contextlib.contextmanager
def _compiled_often() -> Iterator[None]:
    import torch._dynamo.config  # seconds, for those alone who ask for it

    with torch._dynamo.config.patch(recompile_limit=MOST_COMPILED):
        yield


@contextlib.contextmanager
def _deterministic() -> Iterator[None]:
    was = torch.are_deterministic_algorithms_enabled()
    only_warned = torch.is_deterministic_algorithms_warn_only_enabled()
    workspace = os.environ.get(WORKSPACE)
    os.environ.setdefault(WORKSPACE, OF_FIXED_SIZE)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    except RuntimeError as error:
        if REFUSED not in str(error):
            raise
        raise TrainingError(
            f"train.deterministic: {str(error).partition(REFUSED)[0]}{REFUSED} here; take another "
            "backbone or recipe, or leave train.deterministic out"
        ) from error
    finally:
        torch.use_deterministic_algorithms(was, warn_only=only_warned)
        if workspace is None:
            os.environ.pop(WORKSPACE, None)
