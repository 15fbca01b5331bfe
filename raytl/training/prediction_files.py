"""Predictions as files: a table, or a file for each row. No torch here: that nothing can be written
is said before it is loaded."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raytl.config import TASK_FACTS, TaskName
from raytl.errors import UserError
from raytl.files import check_writable, write_atomically
from raytl.folders import check_place, new_folder

if TYPE_CHECKING:
    from raytl.training.answers import Answers
    from raytl.training.predict import Prediction


def check_out(task: TaskName, out: Path, reads: Iterable[Path]) -> None:
    """Raise UserError where a task's predictions cannot be written at `out`, or where it is, or is
    in, what the command `reads`."""
    if TASK_FACTS[task].files:
        if os.path.lexists(out):
            raise UserError(f"{out}: exists already; remove it, or give another folder")
        check_place(out)
    else:
        check_writable(out, reads)


def write(prediction: Prediction, out: Path) -> None:
    """Write a CSV, in the order of ids, or a new folder with ID.png for each row."""
    if not TASK_FACTS[prediction.task].files:
        write_atomically(out, csv_of(prediction.columns, sorted(prediction.rows)))
        return
    with new_folder(out, force=False) as folder:
        for number, content in prediction.rows:
            (folder / f"{number:06d}.png").write_bytes(content)


def write_answers(answers: Answers, out: Path) -> None:
    """Write a CSV of raw rows' answers, in their order, or a new folder with a PNG for each, called
    after its file or row."""
    if not TASK_FACTS[answers.task].files:
        write_atomically(out, csv_of(answers.columns, answers.rows))
        return
    with new_folder(out, force=False) as folder:
        names = [str(name) for name, _ in answers.rows]
        numbers = answers.columns[0] == "row"
        called = [f"{int(name):06d}.png" for name in names] if numbers else _pngs(names)
        for name, (_, content) in zip(called, answers.rows, strict=True):
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)


def _pngs(names: Sequence[str]) -> list[str]:
    """Return what to call the PNG of each file: as it is called, and where that is no PNG with .png
    behind it, as a.jpg may stand beside a.png; twice or more where a file or folder of `names` is
    called so."""
    taken = {str(path) for name in names for path in (Path(name), *Path(name).parents)}
    called = []
    for name in names:
        if not name.lower().endswith(".png"):
            name += ".png"
            while name in taken:
                name += ".png"
            taken.add(name)
        called.append(name)
    return called


def csv_of(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return rows as CSV, the names of their columns first."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(columns)
    writer.writerows(rows)
    return buffer.getvalue()
