"""Files of weights, before torch is needed to read them."""

from pathlib import Path

from raytl.errors import MissingModelError, ModelError


def check_file(path: Path) -> None:
    """Raise ModelError where there is no file of weights. Reads nothing."""
    if not path.exists():
        raise MissingModelError(f"{path}: no such weights file")
    if not path.is_file():
        raise ModelError(f"{path}: is no file; give the .pth or .safetensors file itself")
