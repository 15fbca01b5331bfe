"""`report.html`: one file that opens offline."""

import json
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from matplotlib.figure import Figure

from raytl.config import AugmentConfig
from raytl.files import write_atomically
from raytl.reporting import plots
from raytl.reporting.importance import Histories, importance
from raytl.reporting.pareto import pareto_front
from raytl.scoring.agreement import agreement
from raytl.sweeping.verdict.confirmed import load_confirmation


def write_report(run: Path) -> Path:
    """Write the report of a run folder, complete or not; return its path."""
    board = _read(run / "leaderboard.json")
    confirmation = _confirmation(run)
    environment = Environment(
        loader=PackageLoader("raytl.reporting", "."),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
    )
    study_text = (run / "study.yaml").read_text(encoding="utf-8")
    histories: Histories = [(row, row.get("curve", [])) for row in board["trials"]]
    front = pareto_front(board["trials"], board["objective"]["mode"])
    mattered = importance(histories, board["objective"]["mode"])
    selected = next((c for c in (confirmation or {}).get("candidates", []) if c["selected"]), None)
    text = environment.get_template("report.html.j2").render(
        board=board,
        confirmation=confirmation,
        selected=selected,
        looks=_looks(confirmation),
        ranking=_ranking(run, board),
        ranked_by_validators=any(row["mean_rank"] for row in board["trials"]),
        environment=_read(run / "environment.json"),
        augment=_augmentation(study_text),
        study_text=study_text,
        mattered=mattered,
        metrics=_shown_metrics(board["trials"]),
        front=front,
        figures={
            "confirmed": _svg(plots.confirmed_figure(confirmation) if confirmation else None),
            "importance": _svg(
                plots.importance_figure(mattered.shares) if mattered.shares else None
            ),
            "heat_map": _svg(plots.heat_map_figure(board["trials"], board["objective"])),
            "seconds": _svg(plots.seconds_figure(board["trials"], front, board["objective"])),
            "curves": _svg(plots.curves_figure(histories, board["objective"])),
            "confusion": _svg(
                plots.confusion_figure(selected["confusion"], confirmation["classes"])
                if confirmation and selected and selected["confusion"]
                else None
            ),
        },
    )
    write_atomically(run / "report.html", text)
    return run / "report.html"


def _confirmation(run: Path) -> dict[str, Any] | None:
    if not (run / "confirmation.json").exists():
        return None
    return load_confirmation(run).model_dump(mode="json")


def _looks(confirmation: dict[str, Any] | None) -> int:
    comparisons = confirmation["comparisons"] if confirmation else []
    return max((c["difference"]["looks"] for c in comparisons), default=1)


def _ranking(run: Path, board: dict[str, Any]) -> dict[str, Any] | None:
    """Return the source models' scores before training beside what their best trials reached."""
    if not (run / "ranking.json").exists():
        return None
    scored = _read(run / "ranking.json")
    sign = 1 if board["objective"]["mode"] == "max" else -1
    realised: dict[str, float] = {}
    for row in board["trials"]:
        if row["status"] == "completed" and not row["control"]:
            name, value = row["config"]["source_model"], sign * row["objective"]
            realised[name] = max(value, realised.get(name, value))
    return {
        "scored": scored,
        "realised": {name: sign * value for name, value in realised.items()},
        "agreement": agreement(scored, realised),
    }


def _augmentation(study_text: str) -> AugmentConfig:
    train = yaml.safe_load(study_text).get("train", {})
    return AugmentConfig.model_validate(train.get("augment", {}))


def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _svg(figure: Figure | None) -> Markup | None:
    return None if figure is None else Markup(plots.to_svg(figure))


def _shown_metrics(rows: list[dict[str, Any]]) -> list[str]:
    prefixes = ("target/", "source/", "oracle/")
    return sorted({key for row in rows for key in row["metrics"] if key.startswith(prefixes)})
