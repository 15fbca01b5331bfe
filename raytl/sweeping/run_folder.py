"""The folder of a run, before anything is written there."""

import json
from pathlib import Path

from raytl.config import Study, load_study
from raytl.errors import CorruptError, UserError
from raytl.folders import check_place


def check_run_folder(study: Study, run: Path, resume: bool) -> None:
    """Raise UserError where a run would be overwritten or cannot be written, and where one to
    resume is not there or another study's."""
    if run.exists() and not run.is_dir():
        raise UserError(f"{run}: is a file, not a run folder; give another --out")
    check_place(run)
    if not resume:
        if run.exists() and any(run.iterdir()):
            raise UserError(
                f"{run}: the run folder exists; go on with --resume, or give another --out"
            )
        return
    if not (run / "study.yaml").exists():
        raise UserError(f"{run}: nothing to resume here; leave out --resume to start the study")
    if load_study(run / "study.yaml") != study:
        raise UserError(
            f"{run}: this run was started with another study ({run / 'study.yaml'} differs); "
            "resume with the same file and --set, or give another --out"
        )
    _check_place_of_start(study, run)


def _check_place_of_start(study: Study, run: Path) -> None:
    """What Tune resumes knows its folder by its absolute path, unless it is kept behind a URL."""
    file = run / "environment.json"
    if not file.exists():
        return  # killed before it began
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CorruptError(
            f"{file}: cannot be read: {error}; start anew in another --out"
        ) from None
    if "run" not in facts:
        raise UserError(
            f"{run}: this run was started by an earlier version of raytl; resume it with that one, "
            "or give another --out to start anew"
        )
    if study.resources.storage_path is None and facts["run"] != str(run.absolute()):
        raise UserError(
            f"{run}: this run was started in {facts['run']}; move it back there to resume it, or "
            "give another --out to start anew"
        )
