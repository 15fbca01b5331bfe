"""Draws the pictures of the concepts: `python docs/figures/draw.py` writes them beside itself."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent.parent)]

import parts_of_a_model  # noqa: E402
import what_is_asked  # noqa: E402

DRAWN = {**parts_of_a_model.DRAWN, **what_is_asked.DRAWN}


def pictures() -> dict[str, str]:
    """Return the SVG of each picture, by its file's name."""
    return {f"{name}.svg": draw().svg() for name, draw in DRAWN.items()}


if __name__ == "__main__":
    for name, svg in pictures().items():
        (HERE / name).write_text(svg, encoding="utf-8")
