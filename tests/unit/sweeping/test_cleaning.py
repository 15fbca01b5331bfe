"""What `raytl clean` deletes of runs, what it leaves, and which runs it refuses."""

import json
import os
import socket
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

import raytl
from raytl.cli import app
from raytl.errors import CorruptError, UserError
from raytl.sweeping.cleaning import COPIES, ENDED, HALF, OLDER, OPTIMISER, SHARED, clean
from raytl.sweeping.kept.lease import Holder
from raytl.sweeping.kept.records import Trained, write_record
from raytl.sweeping.kept.storage import LEASE, RunStorage

STUDY = """study: tiny
target_domain: {dataset: target, labels: 10}
source_models: {net: {backbone: small_cnn}}
space: {recipe: {choice: [finetune]}}
"""
EPOCHS = 3


def config_of(name: str, **more: Any) -> dict[str, Any]:
    phase = "confirm" if name.startswith("confirm") else "search"
    return {"name": name, "id": name, "phase": phase, "control": None} | more


def trial(
    storage: RunStorage, name: str, epochs: int = EPOCHS, *, ended: bool = True, error: str = "",
    sure: bool = True, **config: Any,
) -> None:  # fmt: skip
    """Keep a trial with its last two checkpoints, 1,000 bytes of weights each."""
    own = config_of(name, **config)
    for epoch in range(1, epochs + 1):
        storage.trial(name).save(
            own, [{"epoch": e} for e in range(1, epoch + 1)],
            lambda folder: (folder / "checkpoint.pt").write_bytes(b"w" * 1000), last=False,
        )  # fmt: skip
    if ended:
        curve = [{"epoch": e} for e in range(1, epochs + 1)]
        write_record(storage, Trained(own, curve, error or None, sure))


def begin(run: Path, *, finished: bool = True, storage_path: str | None = None) -> RunStorage:
    run.mkdir(parents=True)
    where = f"resources: {{storage_path: '{storage_path}'}}\n" if storage_path else ""
    (run / "study.yaml").write_text(STUDY + where)
    state = {"state": "complete" if finished else "stopped", "unconfirmed": None}
    (run / "leaderboard.json").write_text(json.dumps(state))
    if finished:
        (run / "confirmation.json").write_text('{"candidates": []}')
    return RunStorage(run, storage_path)


def checkpoints(run: Path) -> list[str]:
    found = (folder for folder in run.glob("*/*/") if "checkpoint" in folder.name)
    return sorted(folder.relative_to(run).as_posix() for folder in found)


def test_a_finished_run_keeps_the_last_weights_of_its_retrainings(tmp_path: Path) -> None:
    run = tmp_path / "run"
    storage = begin(run)
    for name in ("trial-00000", "control-scratch-0", "confirm-scratch-seed0"):
        trial(storage, name)
    trial(storage, "trial-00001", ended=False)  # of a group to which the study did not come
    (run / "trial-00000" / ".checkpoint-00004.abc").mkdir()
    (run / "trial-00000" / ".checkpoint-00004.abc" / "a").write_bytes(b"x" * 50)
    (run / "prefix" / "key").mkdir(parents=True)
    (run / "prefix" / "key" / "values").write_bytes(b"x" * 500)
    (run / "best").mkdir()
    (run / "best" / "model.safetensors").write_bytes(b"x" * 70)
    before = sum(file.stat().st_size for file in run.rglob("*") if file.is_file())

    found = clean(run, dry_run=True)
    assert {why: count for why, (count, _) in found.reasons.items()} == {
        SHARED: 1, ENDED: 6, HALF: 1, OLDER: 1
    }  # fmt: skip
    assert found.reasons[SHARED] == (1, 500) and found.reasons[HALF] == (1, 50)
    assert found.bytes == before
    assert len(checkpoints(run)) == 9  # nothing has gone

    assert clean(run) == found
    assert checkpoints(run) == ["confirm-scratch-seed0/checkpoint-00003"]
    assert not (run / "prefix").exists()
    assert (run / "best" / "model.safetensors").exists()
    assert (run / "trial-00000" / "record.json").exists()
    left = sum(file.stat().st_size for file in run.rglob("*") if file.is_file())
    assert before - left == found.freed
    saved = storage.trial("confirm-scratch-seed0").newest()
    assert saved is not None and len(saved.curve) == EPOCHS
    assert clean(run).needless == ()


@pytest.mark.parametrize("text", ["", "null", '{"candidates": [1]}', "[" * 100_000])
def test_nothing_is_deleted_of_a_run_whose_confirmation_is_broken(
    tmp_path: Path, text: str
) -> None:
    storage = begin(tmp_path / "run")
    trial(storage, "retrained-by-an-earlier-one")
    (tmp_path / "run" / "confirmation.json").write_text(text)
    with pytest.raises(CorruptError, match="cannot be read .* so that nothing is deleted"):
        clean(tmp_path / "run")
    assert len(checkpoints(tmp_path / "run")) == 2


def test_a_trial_that_is_tried_again_goes_on_from_where_it_was(tmp_path: Path) -> None:
    run = tmp_path / "run"
    trial(begin(run), "trial-00000", error="loss=nan", sure=False)
    assert clean(run).needless == ()
    assert len(checkpoints(run)) == 2


def test_a_run_that_has_not_ended_is_cleaned_by_force_alone(tmp_path: Path) -> None:
    run = tmp_path / "run"
    storage = begin(run, finished=False)
    trial(storage, "trial-00000")
    trial(storage, "trial-00001", ended=False)
    trial(storage, "confirm-scratch-seed0", ended=False)
    members = [{"name": "trial-00002"}, {"name": "trial-00003"}]
    trial(storage, "trial-00002", fused={"members": members})  # the group needs it
    trial(storage, "trial-00003", ended=False, fused={"members": members})
    (run / "prefix").mkdir()
    (run / "prefix" / "values").write_bytes(b"needed")
    with pytest.raises(UserError, match=r"this study has not run to its end; go on with --resume"):
        clean(run)
    clean(run, force=True)
    names = ("confirm-scratch-seed0", "trial-00001", "trial-00002", "trial-00003")
    assert checkpoints(run) == [f"{n}/checkpoint-0000{e}" for n in names for e in (2, 3)]
    assert (run / "prefix" / "values").exists()


def test_complete_but_not_yet_confirmed_is_not_the_end(tmp_path: Path) -> None:
    run = tmp_path / "run"
    begin(run)
    (run / "confirmation.json").unlink()
    with pytest.raises(UserError, match="has not run to its end"):
        clean(run)
    state = {"state": "complete", "unconfirmed": "no verdict: no row has a label"}
    (run / "leaderboard.json").write_text(json.dumps(state))
    assert clean(run).needless == ()


def test_a_run_that_is_driven_is_refused(tmp_path: Path) -> None:
    run = tmp_path / "run"
    storage = begin(run)
    trial(storage, "trial-00000")
    here = Holder.here()
    (run / LEASE).write_text(json.dumps(asdict(here)))
    for force in (False, True):
        with pytest.raises(UserError, match=rf"process {os.getpid()} on {socket.gethostname()} dr"):
            clean(run, force=force)
    elsewhere = replace(here, machine="another", host="node7")
    (run / LEASE).write_text(json.dumps(asdict(elsewhere)))
    with pytest.raises(UserError, match="on node7 drives this run, or did when .* give --force"):
        clean(run)
    assert len(clean(run, force=True).needless) == 2
    (run / LEASE).write_text(json.dumps(asdict(replace(here, ticks=1))))  # it was killed
    assert clean(run).needless == ()


@pytest.mark.parametrize("content", [None, "x"])
def test_what_is_no_run_is_refused(tmp_path: Path, content: str | None) -> None:
    folder = tmp_path / "data"
    if content is not None:
        folder.mkdir()
        (folder / "checkpoint-00001").write_text(content)
    with pytest.raises(UserError, match="is no run folder: it holds no study.yaml"):
        clean(folder)


@pytest.mark.parametrize("content", ["a: [", "- 1", "", "resources: 3"])
def test_a_study_that_is_none_is_refused(tmp_path: Path, content: str) -> None:
    run = tmp_path / "run"
    begin(run)
    (run / "study.yaml").write_text(content)
    with pytest.raises(UserError, match=r"study\.yaml: is no study of a run: "):
        clean(run)


def test_a_run_behind_a_url_is_cleaned_there_and_here(tmp_path: Path) -> None:
    run = tmp_path / "here" / "run"
    storage = begin(run, storage_path=f"file://{tmp_path}/kept")
    storage.push()
    trial(storage, "trial-00000")
    trial(storage, "confirm-scratch-seed0")
    storage.newest_checkpoint("confirm-scratch-seed0")  # as an export fetches it
    assert checkpoints(run) == ["confirm-scratch-seed0/checkpoint-00003"]
    found = clean(run)
    assert {why: count for why, (count, _) in found.reasons.items()} == {
        ENDED: 2, OLDER: 1, COPIES: 1
    }  # fmt: skip
    assert checkpoints(run) == []
    assert checkpoints(tmp_path / "kept" / "run") == ["confirm-scratch-seed0/checkpoint-00003"]


def of_earlier(run: Path) -> None:
    """Write a run as the first releases did: Tune's names, the optimiser in every checkpoint."""
    begin(run)
    (run / "study.yaml").write_text("study: tiny\nkey_of_old: 1\n")
    runs = [{"folder": "confirm-a-seed0"}, {"folder": "old-name"}]
    (run / "confirmation.json").write_text(json.dumps({"candidates": [{"runs": runs}]}))
    state = {"model": {"w": torch.ones(1000)}, "optimizer": {"m": torch.ones(5000)}, "epoch": 3}
    for name in ("trial-00000", "confirm-a-seed0", "old-name"):
        for number in range(2):
            folder = run / name / f"checkpoint_00000{number}"
            folder.mkdir(parents=True)
            torch.save(state, folder / "checkpoint.pt")
    (run / "old-name" / "checkpoint_000001" / "checkpoint.pt").write_bytes(b"not readable")


def test_of_earlier_runs_weights_stay_and_optimisers_go(tmp_path: Path) -> None:
    run = tmp_path / "run"
    of_earlier(run)
    found = clean(run)
    assert found.of_earlier
    counts = {why: count for why, (count, _) in found.reasons.items()}
    assert counts == {ENDED: 2, OLDER: 2, OPTIMISER: 1}
    assert checkpoints(run) == [
        "confirm-a-seed0/checkpoint_000001", "old-name/checkpoint_000001"
    ]  # fmt: skip
    file = run / "confirm-a-seed0" / "checkpoint_000001" / "checkpoint.pt"
    state = torch.load(file, weights_only=True)
    assert state["optimizer"] is None and state["epoch"] == 3
    assert torch.equal(state["model"]["w"], torch.ones(1000))
    assert found.reasons[OPTIMISER][1] > 5000 * 4
    assert (run / "old-name" / "checkpoint_000001" / "checkpoint.pt").read_bytes() == (
        b"not readable"
    )
    assert clean(run).needless == ()


def test_the_command_says_what_goes_and_what_is_lost(tmp_path: Path) -> None:
    runs = [tmp_path / "a", tmp_path / "b"]
    for run in runs:
        trial(begin(run), "trial-00000")
    names = [str(run) for run in runs]
    dry = CliRunner().invoke(app, ["clean", *names, "--dry-run"])
    assert dry.exit_code == 0 and all(len(checkpoints(run)) == 2 for run in runs)
    lines = dry.stdout.splitlines()
    assert lines[0].startswith(f"{runs[0]}: would free 0.0 MB of ")
    assert lines[1:3] == [
        "  0.0 MB: checkpoints of trials that have ended (2)",
        "  nothing is lost: going on, report and export are as before",
    ]
    (tmp_path / "c").mkdir()
    refused = CliRunner().invoke(app, ["clean", *names, str(tmp_path / "c")])
    assert isinstance(refused.exception, UserError)
    assert all(len(checkpoints(run)) == 2 for run in runs)  # all are looked at first
    done = CliRunner().invoke(app, ["clean", *names])
    assert done.stdout.startswith(f"{runs[0]}: freed ") and checkpoints(tmp_path) == []
    assert all(checkpoints(run) == [] for run in runs)
    again = raytl.clean(runs[0])
    assert again.freed == 0
    empty = CliRunner().invoke(app, ["clean", names[0]]).stdout
    assert empty == f"{runs[0]}: 0.0 MB, nothing that is not needed\n"


def test_a_retraining_of_which_only_a_half_is_there_is_passed_over(tmp_path: Path) -> None:
    run = tmp_path / "run"
    begin(run)
    half = run / "confirm-scratch-seed0" / ".checkpoint-00002.abc"
    half.mkdir(parents=True)
    (half / "a").write_bytes(b"x" * 50)
    assert clean(run).reasons == {HALF: (1, 50)}
    assert not half.exists()
