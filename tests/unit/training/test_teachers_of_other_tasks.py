"""Teachers that were trained for another task than their students: their features teach."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boxes_support import study_of_scenes
from masks_support import study_of_squares
from sentences_support import study_of_pairs
from several_columns import BILSTM, CNN, run_of, study_of, trial_of, write_rows

from raytl.config import Study
from raytl.models.source_model import save_source_model

TASKS: dict[str, tuple[Callable[..., dict[str, Any]], str, str]] = {
    "segmentation": (study_of_squares, "unet", "image"),
    "detection": (study_of_scenes, "faster_rcnn", "image"),
    "translation": (study_of_pairs, "gru_decoder", "text"),
}


@pytest.mark.parametrize("reuse_prefix", [True, False])
@pytest.mark.parametrize("task", TASKS)
def test_relations_are_taught_by_a_teacher_of_another_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str, reuse_prefix: bool
) -> None:
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "cache"))
    study_of_task, head, column = TASKS[task]
    flat = {"recipe": "finetune", "head": head}
    parts = run_of(Study.model_validate(study_of_task(tmp_path)), **flat).parts
    trial = trial_of(**flat)
    told = {"task": dict(parts.task.facts()), "mapper": trial.mapper, "head": trial.head}
    save_source_model(tmp_path / "taught", parts.model, parts.spec.model_copy(update=told))

    net = {"image": CNN, "text": BILSTM}[column]
    study = study_of(
        write_rows(tmp_path / "rows", {column: column}),
        {"teacher": {"path": tmp_path / "taught"}, "net": net},
        train={"epochs": 1, "batch_size": 8, "steps_per_epoch": 3, "reuse_prefix": reuse_prefix},
    )
    taught = {"source_model": "teacher", "student": "net", "recipe": "relational_distillation"}
    run = run_of(study, **taught)
    metrics = run.judge(run.train())
    assert np.isfinite(metrics["train/loss/total"]) and metrics["train/loss/distance"] > 0
