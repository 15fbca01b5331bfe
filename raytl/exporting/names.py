"""What the formats are called. No torch here: an unknown one is said before it is loaded."""

from raytl.config import nearest
from raytl.errors import UserError

# By which file of it an export is told from other folders
TOLD_BY = {
    "torch": "model.json",
    "onnx": "model.json",
    "huggingface": "config.json",
    "timm": "config.json",
}
NAMES = tuple(TOLD_BY)


def check_format(to: str) -> None:
    """Raise UserError for an unknown format."""
    if to not in NAMES:
        raise UserError(f"--to {to}: unknown format; {nearest(to, list(NAMES))}")
