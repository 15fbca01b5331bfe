"""Reading weights that others have saved, without running what they have put there."""

import hashlib
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from raytl.errors import CorruptError, ModelError
from raytl.weight_files import check_file

NESTED = ("state_dict", "model", "model_state_dict")


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Return a state dict from .safetensors, .pth, .pt or .th.

    One nested under `state_dict` or `model` is unwrapped, and DataParallel's `module.` prefix is
    taken off. Raises ModelError where the file is missing or holds more than tensors, CorruptError
    where it is broken.
    """
    check_file(path)
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles' versions: the file is not ours
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever broken bytes provoke
        code = _CODE.search(str(error))
        if code is not None or _is_pickle(path, error):
            held = f"{code[1]}, which is code" if code else "a pickle, which may run code"
            raise ModelError(
                f"{path}: refused: it holds {held}, and only tensors are read; save "
                "model.state_dict() with torch.save instead"
            ) from None
        raise CorruptError(
            f"{path}: is no whole file of weights ({_reason(error)}); copy or save it again"
        ) from None
    return _strip(_unwrap(content, path))


# What torch's unpickler names where it meets anything but tensors and containers
_CODE = re.compile(r"GLOBAL ([A-Za-z_][\w.]*\.\w+)")


def _is_pickle(path: Path, error: Exception) -> bool:
    with path.open("rb") as file:
        return isinstance(error, UnpicklingError) and file.read(1) == b"\x80"


def _reason(error: Exception) -> str:
    """Return why a file cannot be read, without torch's advice to trust it after all."""
    own = (
        str(error).rpartition("WeightsUnpickler error:")[2].partition("Check the documentation")[0]
    )
    text = " ".join(own.split())
    return f"{type(error).__name__}: {text}"[:160] if text else type(error).__name__


def _unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    for key in NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        raise ModelError(f"{path}: holds no state dict of tensors; save model.state_dict()")
    return dict(content)


def _strip(state: dict[str, Tensor]) -> dict[str, Tensor]:
    if state and all(key.startswith("module.") for key in state):
        return {key.removeprefix("module."): value for key, value in state.items()}
    return state


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Load a state dict whole; raises ModelError that names up to three keys that do not fit.

    Batch norm's count of batches, which torch before 0.4.1 did not save, may be missing.
    """
    own = module.state_dict()
    counts = {key: value for key, value in own.items() if key.endswith(".num_batches_tracked")}
    state = counts | dict(state)
    problems = [f"'{key}' is missing" for key in own if key not in state]
    problems += [f"'{key}' is unknown" for key in state if key not in own]
    problems += [
        f"'{key}' is {tuple(state[key].shape)}, not {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    problems += [f"'{key}' {fault}" for key in own if (fault := _fault(state.get(key), own[key]))]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ModelError(f"{what}: the weights do not fit: {', '.join(problems[:3])}{more}")
    module.load_state_dict(dict(state))


def _fault(value: Tensor | None, own: Tensor) -> str | None:
    """Return what makes a tensor unusable as the weight `own`."""
    if value is None:
        return None
    if value.layout != torch.strided or value.is_quantized or value.is_meta or value.is_complex():
        return f"is no plain tensor of real numbers ({value.dtype}, {value.layout})"
    if value.is_floating_point() and not bool(value.float().isfinite().all()):
        return "has values that are not finite"
    if own.is_floating_point() and not value.is_floating_point():
        return f"is {value.dtype}, not {own.dtype}"
    return None


def digest_of_state(module: nn.Module) -> str:
    """Return the SHA-256 of all that a module's state dict holds."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
