"""The module that docs/serving.md shows."""

import re
from pathlib import Path
from typing import Any

from tests_support import ROOT


def page_code() -> str:
    """Return it."""
    text = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
    (found,) = (part for part in re.findall(r"```python\n(.*?)```", text, re.S) if "serve" in part)
    return str(found)


def made_of(code: str, best: Path) -> dict[str, Any]:
    """Return the names of the module, for a model of one's own."""
    names: dict[str, Any] = {"__name__": "serve_model"}
    exec(compile(code.replace("runs/my_study/best", str(best)), "serve_model.py", "exec"), names)
    return names
