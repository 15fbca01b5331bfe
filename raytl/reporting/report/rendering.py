"""The page: templates, style, scripts and data in one file."""

import json
import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from raytl.reporting.report.row_cards import path_of
from raytl.reporting.report.transfer_figures import shade_of
from raytl.sweeping.search.objective import figure

PAGE = "raytl.reporting.report"
SCRIPTS = ("drawing.js", "figures.js", "parallel.js", "page.js")
# What `Recipe.reads` says too: asking it would load torch, which a report does without
ADVERSARIAL = ("dann", "cdan", "mdd", "adda")
ALIGNING = ("dan", "deep_coral", "mcc", "entropy_minimisation")


def render(template: str, values: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """Return a page of `values`, with `data` for its scripts. All text from outside is escaped."""
    return _templates().get_template(template).render(
        **values,
        style=Markup(_asset("style.css")),
        script=Markup('"use strict";\n{' + "\n".join(map(_asset, SCRIPTS)) + "}"),
        data=Markup(as_json(data)),
    )  # fmt: skip


def as_json(data: Any) -> str:
    """Return data as JSON that no HTML can end: numbers with six digits, those that are not finite
    null."""
    text = json.dumps(_finite(data), allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return float(f"{data:.6g}") if math.isfinite(data) else None
    if isinstance(data, Mapping):
        return {str(key): _finite(value) for key, value in data.items()}
    return [_finite(value) for value in data] if isinstance(data, list | tuple) else data


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader(PAGE, "page"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "figure": figure, "strength": _strength, "line": path_of, "shade": shade_of
    }  # fmt: skip
    return environment


@cache
def _asset(name: str) -> str:
    return (files(PAGE) / "page" / name).read_text(encoding="utf-8")


def _strength(row: Mapping[str, Any]) -> str:
    """Return λ of a trial whose recipe has one."""
    config = row["config"]
    for recipes, key in ((ADVERSARIAL, "adversarial_lambda"), (ALIGNING, "alignment_lambda")):
        if config.get("recipe") in recipes and isinstance(config.get(key), int | float):
            return f"{config[key]:.3g}"
    return ""
