"""Snapshots of a run: what changed is kept once, and it is said of when each file is."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from raytl.sweeping.kept import snapshot
from raytl.sweeping.kept.snapshot import MANIFEST, OWN_FILES, Manifest, is_part, take

MOST_REQUESTS = 50  # of a snapshot of a study of 500 trials
Take = Callable[..., list[str]]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of one trial, with files that are none of raytl's."""
    run = tmp_path / "run"
    for name in (*OWN_FILES, "best/source.json", "tensorboard/trial-00000/events", "notes.txt",
                 "trial-00000/record.json"):  # fmt: skip
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(name)
    return run


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """Where the run is kept."""
    (tmp_path / "kept" / "best").mkdir(parents=True)
    return tmp_path / "kept"


@pytest.fixture
def taken(run: Path, kept: Path) -> Take:
    """Take a snapshot; return what was written, in this order."""

    def take_one(whole: bool = True) -> list[str]:
        written = []

        def upload(file: IO[bytes], name: str) -> None:
            written.append(name)
            (kept / name).write_bytes(file.read())

        take(run, upload, whole=whole)
        return written

    return take_one


def generations(kept: Path) -> dict[str, int]:
    content = json.loads((kept / MANIFEST).read_text())
    return {name: entry["generation"] for name, entry in content["files"].items()}


def test_what_has_not_changed_is_not_written_again(run: Path, kept: Path, taken: Take) -> None:
    everything = [*OWN_FILES, "best/source.json", "tensorboard.tar", MANIFEST]
    assert taken() == everything
    assert taken() == []
    (run / "leaderboard.json").write_text("newer")
    assert taken() == ["leaderboard.json", MANIFEST]
    assert generations(kept) == dict.fromkeys(everything[:-1], 1) | {"leaderboard.json": 2}
    assert json.loads((kept / MANIFEST).read_text())["generation"] == 2
    (run / "tensorboard" / "trial-00000" / "events").write_text("more")
    assert taken() == ["tensorboard.tar", MANIFEST]


def test_whoever_goes_on_elsewhere_counts_on(run: Path, kept: Path, taken: Take) -> None:
    taken()
    (run / MANIFEST).unlink()  # another machine
    (run / MANIFEST).write_bytes((kept / MANIFEST).read_bytes())
    assert taken() == []
    (run / "report.html").write_text("newer")
    taken()
    assert generations(kept)["report.html"] == 2


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"generation": 3, "taken": "", "files": [1]}'])
def test_a_manifest_that_is_not_whole_is_none(run: Path, taken: Take, text: str) -> None:
    taken()
    (run / MANIFEST).write_text(text)
    assert Manifest.of(run) == Manifest()
    assert len(taken()) == len(OWN_FILES) + 3


def test_folders_wait_for_the_whole(run: Path, kept: Path, taken: Take) -> None:
    assert taken(whole=False) == [*OWN_FILES, MANIFEST]
    assert taken() == ["best/source.json", "tensorboard.tar", MANIFEST]
    assert taken(whole=False) == []
    assert generations(kept)["tensorboard.tar"] == 2


def test_all_results_that_the_docs_name_are_kept() -> None:
    text = (Path(__file__).parents[3] / "docs" / "operations.md").read_text(encoding="utf-8")
    (row,) = (line for line in text.splitlines() if line.endswith("| the results |"))
    names = re.findall(r"`([\w./]+)`", row.replace("`.csv`", "`leaderboard.csv`"))
    assert {"report.html", "rows.json", "predictions/", "leaderboard.csv"} <= {*names}
    assert [name for name in names if not is_part(name)] == []


def test_what_was_not_written_is_not_said_to_be(run: Path, kept: Path, taken: Take) -> None:
    def no_room(file: IO[bytes], name: str) -> None:
        if name == "report.html":
            raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk is full"):
        take(run, no_room, whole=True)
    assert not (run / MANIFEST).exists()
    assert len(taken()) == len(OWN_FILES) + 3


def test_of_many_trials_a_snapshot_is_few_files(run: Path, taken: Take) -> None:
    for number in range(500):
        for folder in ("tensorboard", "predictions"):
            (run / folder / f"trial-{number:05d}").mkdir(parents=True, exist_ok=True)
            (run / folder / f"trial-{number:05d}" / "events").write_text(str(number))
    assert len(taken()) <= MOST_REQUESTS


def test_archives_become_folders_again(run: Path, kept: Path, taken: Take, tmp_path: Path) -> None:
    taken()
    there = tmp_path / "there"
    assert snapshot.lacks(there, "tensorboard.tar")
    there.mkdir()
    (there / "tensorboard.tar").write_bytes((kept / "tensorboard.tar").read_bytes())
    snapshot.unpack(there)
    assert [f.relative_to(there).as_posix() for f in there.rglob("*") if f.is_file()] == [
        "tensorboard/trial-00000/events"
    ]
    assert not snapshot.lacks(there, "tensorboard.tar")


@pytest.mark.parametrize(
    ("name", "is_part"),
    [
        ("study.yaml", True), ("best/model.safetensors", True), ("predictions.tar", True),
        (MANIFEST, True), ("tensorboard/trial-00000/events", True),  # of an earlier version
        ("trial-00000/record.json", False), ("best.tar", False), ("lease.json", False),
    ],
)  # fmt: skip
def test_what_is_part_of_snapshots(name: str, is_part: bool) -> None:
    assert snapshot.is_part(name) == is_part
