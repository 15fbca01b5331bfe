"""Where a run may be resumed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from raytl.config import Study, dump_study
from raytl.errors import CorruptError, UserError
from raytl.sweeping.run_folder import check_run_folder


def test_a_run_is_resumed_where_it_was_started(
    tiny_study: Callable[..., Study], tmp_path: Path
) -> None:
    study, run = tiny_study(), tmp_path / "run"
    run.mkdir()
    (run / "study.yaml").write_text(dump_study(study))
    check_run_folder(study, run, resume=True)  # killed before it wrote where it is
    facts = run / "environment.json"
    facts.write_text(json.dumps({"run": str(run)}))
    check_run_folder(study, run, resume=True)
    facts.write_text(json.dumps({"run": "/elsewhere/run"}))
    with pytest.raises(UserError, match="was started in /elsewhere/run; move it back"):
        check_run_folder(study, run, resume=True)
    facts.write_text("{}")
    with pytest.raises(UserError, match="started by an earlier version of raytl"):
        check_run_folder(study, run, resume=True)
    facts.write_text("{")
    with pytest.raises(CorruptError, match=r"environment\.json: cannot be read"):
        check_run_folder(study, run, resume=True)
