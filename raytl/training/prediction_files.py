"""Predictions as files: a table, or a file for each row. No torch here: that nothing can be written
is said before it is loaded."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING

from raytl.config import TASK_FACTS, TaskName
from raytl.files import check_writable, write_atomically
from raytl.folders import new_folder, refuse_existing

if TYPE_CHECKING:
    from raytl.training.predict import Prediction


def check_out(task: TaskName, out: Path) -> None:
    """Raise UserError where a task's predictions cannot be written at `out`."""
    if TASK_FACTS[task].files:
        refuse_existing(out, force=False)
    else:
        check_writable(out)


def write(prediction: Prediction, out: Path) -> None:
    """Write a CSV, in the order of ids, or a new folder with ID.png for each row."""
    if not TASK_FACTS[prediction.task].files:
        buffer = io.StringIO()
        writer = csv.writer(buffer)
        writer.writerow(prediction.columns)
        writer.writerows(sorted(prediction.rows))
        write_atomically(out, buffer.getvalue())
        return
    with new_folder(out, force=False) as folder:
        for number, content in prediction.rows:
            (folder / f"{number:06d}.png").write_bytes(content)
