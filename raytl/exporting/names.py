"""What the formats are called. No torch here: an unknown one is said before it is loaded."""

from raytl.config import nearest
from raytl.errors import UserError

NAMES = ("torch", "onnx", "huggingface", "timm")


def check_format(to: str) -> None:
    """Raise UserError for an unknown format."""
    if to not in NAMES:
        raise UserError(f"--to {to}: unknown format; {nearest(to, list(NAMES))}")
