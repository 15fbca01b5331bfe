"""Reading weights that others have saved, without running what they have put there."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from raytl.errors import ModelError

NESTED = ("state_dict", "model", "model_state_dict")


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """Return a state dict from .safetensors, .pth, .pt or .th.

    One nested under `state_dict` or `model` is unwrapped, and DataParallel's `module.` prefix is
    taken off. Raises ModelError where the file is missing, broken, or holds more than tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ModelError(f"{path}: no such weights file") from None
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read as weights: {_first_line(error)}") from None
    except Exception as error:  # pickle.UnpicklingError and whatever broken bytes provoke
        raise ModelError(
            f"{path}: refused: it is not a plain state dict of tensors ({_first_line(error)}); "
            "save model.state_dict() instead"
        ) from None
    return _strip(_unwrap(content, path))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]


def _unwrap(content: Any, path: Path) -> dict[str, Tensor]:
    for key in NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(v, Tensor) for v in content.values()):
        raise ModelError(f"{path}: holds no state dict of tensors; save model.state_dict()")
    return dict(content)


def _strip(state: dict[str, Tensor]) -> dict[str, Tensor]:
    if state and all(key.startswith("module.") for key in state):
        return {key.removeprefix("module."): value for key, value in state.items()}
    return state


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], what: str) -> None:
    """Load a state dict whole; raises ModelError that names up to three keys that do not fit."""
    own = module.state_dict()
    problems = [f"'{key}' is missing" for key in own if key not in state]
    problems += [f"'{key}' is unknown" for key in state if key not in own]
    problems += [
        f"'{key}' is {tuple(state[key].shape)}, not {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise ModelError(f"{what}: the weights do not fit: {', '.join(problems[:3])}{more}")
    module.load_state_dict(dict(state))
