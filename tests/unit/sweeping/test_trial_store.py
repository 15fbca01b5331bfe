"""Trials that were trained before: an entry is as it was written, or it is trained again."""

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raytl.errors import RaytlError
from raytl.sweeping.kept import trial_store
from raytl.sweeping.kept.records import FILE_NAME, Trained
from raytl.sweeping.kept.trial_store import INFO, TrialStore, clear, entries, opened, store_folder

CONFIG = {"name": "trial-00007", "seed": 3}
WEIGHTS = b"weights" * 20


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the test's own."""
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def store() -> Iterator[TrialStore]:
    with opened(budget=10**6) as store:
        yield store


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint-00002"
    folder.mkdir()
    (folder / "checkpoint.pt").write_bytes(WEIGHTS)
    (folder / "predictions.arrow").write_bytes(b"rows")
    return folder


def trained(epochs: int, error: str | None = None) -> Trained:
    curve = [{"epoch": epoch, "loss": 1 / epoch} for epoch in range(1, epochs + 1)]
    return Trained(CONFIG, curve, error)


def test_a_trial_is_found_as_it_was_kept(store: TrialStore, checkpoint: Path) -> None:
    assert store.find("search") is None
    store.put("search", "mine", trained(2), None)
    store.put("confirm", "mine", trained(2, "loss must be finite"), checkpoint)
    with opened(budget=1) as other:
        assert other.find("search") == (trained(2), None)
        found = other.find("confirm")
        assert other.find("sear") is None
    assert found is not None and found[1] is not None
    assert found[0] == trained(2, "loss must be finite")
    files = {file.name: file.read_bytes() for file in found[1].iterdir()}
    assert files == {"checkpoint.pt": WEIGHTS, "predictions.arrow": b"rows"}


FILES = (FILE_NAME, INFO, "checkpoint/checkpoint.pt")


@pytest.mark.parametrize("name", FILES)
def test_an_entry_that_is_cut_off_is_trained_again(
    store: TrialStore, checkpoint: Path, tmp_path: Path, name: str
) -> None:
    store.put("key", "mine", trained(2), checkpoint)
    entry, pristine = store_folder() / "key", tmp_path / "pristine"
    shutil.copytree(entry, pristine)
    whole = (entry / name).read_bytes()
    for length in range(0, len(whole), 3):
        (entry / name).write_bytes(whole[:length])
        assert store.find("key") is None
        assert not entry.exists()
        shutil.copytree(pristine, entry)
    assert store.find("key") is not None


@pytest.mark.parametrize("name", FILES)
def test_of_an_entry_with_a_flipped_bit_no_other_trial_is_taken(
    store: TrialStore, checkpoint: Path, tmp_path: Path, name: str
) -> None:
    store.put("key", "mine", trained(2), checkpoint)
    entry, pristine = store_folder() / "key", tmp_path / "pristine"
    shutil.copytree(entry, pristine)
    whole = (entry / name).read_bytes()
    for place in range(0, len(whole), 3):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 7
        (entry / name).write_bytes(changed)
        found = store.find("key")
        # On the study's name, say, nothing hangs.
        assert found is None or (name == INFO and found == (trained(2), entry / "checkpoint"))
        shutil.rmtree(entry, ignore_errors=True)
        shutil.copytree(pristine, entry)


@pytest.mark.parametrize("name", FILES)
def test_an_entry_without_one_of_its_files_is_trained_again(
    store: TrialStore, checkpoint: Path, name: str
) -> None:
    store.put("key", "mine", trained(2), checkpoint)
    (store_folder() / "key" / name).unlink()
    assert store.find("key") is None
    store.put("key", "mine", trained(2), checkpoint)
    assert store.find("key") is not None


@pytest.mark.parametrize(
    "change",
    [{"format": 2}, {"format": None}, {"sha256": None}, {"sha256": [FILE_NAME]}, {"sha256": 3}],
)
def test_an_entry_of_another_format_is_trained_again(
    store: TrialStore, change: dict[str, Any]
) -> None:
    store.put("key", "mine", trained(2), None)
    file = store_folder() / "key" / INFO
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    assert store.find("key") is None
    assert not file.parent.exists()


@pytest.mark.parametrize("info", ["null", "[]", "3"])
def test_an_entry_whose_info_is_none_is_trained_again(store: TrialStore, info: str) -> None:
    store.put("key", "mine", trained(2), None)
    (store_folder() / "key" / INFO).write_text(info)
    assert store.find("key") is None
    assert entries() == []


@pytest.mark.parametrize("key", ["epochs", "bytes"])
@pytest.mark.parametrize("value", ["x", None, [1], float("inf")])
def test_an_entry_whose_numbers_are_none_is_not_listed(
    store: TrialStore, key: str, value: object
) -> None:
    store.put("key", "mine", trained(2), None)
    file = store_folder() / "key" / INFO
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    assert entries() == []
    store.put("other", "mine", trained(2), None)  # which looks for room
    assert [entry.key for entry in entries()] == ["other"]


def test_what_is_none_of_the_stores_is_not_deleted_with_it(
    store: TrialStore, checkpoint: Path
) -> None:
    for name in ("whole", "no info", "no record"):
        store.put(name, "mine", trained(2), checkpoint)
    (store_folder() / "no info" / INFO).unlink()
    (store_folder() / "no record" / "record.json").unlink()
    (store_folder() / ".half.partial").mkdir()
    (store_folder() / "my experiments").mkdir()
    clear()
    assert [folder.name for folder in store_folder().iterdir()] == ["my experiments"]


def test_a_half_written_entry_is_no_obstacle(store: TrialStore, checkpoint: Path) -> None:
    for name in ("key", ".key.partial"):
        (store_folder() / name / "checkpoint").mkdir(parents=True)
        (store_folder() / name / FILE_NAME).write_text(trained(2).dump())
    assert entries() == []
    assert store.find("key") is None
    store.put("key", "mine", trained(2), checkpoint)
    assert store.find("key") == (trained(2), store_folder() / "key" / "checkpoint")
    assert [folder.name for folder in store_folder().iterdir()] == ["key"]


def used(key: str, seconds: float) -> None:
    """Let an entry have been used so long after 1970."""
    os.utime(store_folder() / key / INFO, (seconds, seconds))


def test_what_was_not_used_for_the_longest_time_goes_first() -> None:
    TrialStore(10**6).put("probe", "mine", trained(2), None)
    (probe,) = entries()
    assert probe.bytes == len(trained(2).dump())
    clear()
    store = TrialStore(budget=3 * probe.bytes)
    for second, key in enumerate(["a", "b", "c"]):
        store.put(key, "mine", trained(2), None)
        used(key, 1000 + second)
    assert store.find("a") is not None  # that is a use
    store.put("d", "mine", trained(2), None)
    assert {entry.key for entry in entries()} == {"a", "c", "d"}
    used("d", 2000)
    store.put("e", "mine", trained(2), None)
    assert {entry.key for entry in entries()} == {"a", "d", "e"}


def test_what_is_held_is_looked_at_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    read = list[Path]()
    entry = trial_store._entry
    monkeypatch.setattr(trial_store, "_entry", lambda folder: read.append(folder) or entry(folder))
    for number in range(50):
        TrialStore(10**9).put(f"old-{number}", "mine", trained(2), None)
    read.clear()
    store = TrialStore(10**9)
    for number in range(50):
        store.put(f"new-{number}", "mine", trained(2), None)
    assert len(read) < 50 + 2 * 51  # each looks at its own, and one at all


def test_the_budget_holds_with_entries_that_another_process_keeps() -> None:
    TrialStore(10**6).put("probe", "mine", trained(2), None)
    size = entries()[0].bytes
    stores = [TrialStore(100 * size), TrialStore(100 * size)]
    for number in range(300):
        stores[number % 2].put(f"key-{number}", "mine", trained(2), None)
    assert 99 <= len(entries()) <= 104


def test_what_another_process_has_just_renamed_is_no_obstacle(
    store: TrialStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    glob = Path.glob

    def late(folder: Path, pattern: str) -> list[Path]:
        return [*glob(folder, pattern), *([folder / ".gone.partial"] * (pattern == ".*"))]

    monkeypatch.setattr(Path, "glob", late)
    store.put("key", "mine", trained(2), None)
    assert store.find("key") is not None


def test_more_than_the_whole_budget_is_not_kept() -> None:
    TrialStore(budget=10).put("key", "mine", trained(2), None)
    assert entries() == []


def test_the_longer_curve_stays(store: TrialStore, checkpoint: Path) -> None:
    for study, epochs in (("first", 2), ("longer", 4), ("shorter", 3), ("same", 4)):
        store.put("key", study, trained(epochs), None)
    assert store.find("key") == (trained(4), None)
    assert [entry.study for entry in entries()] == ["longer"]


def test_that_a_trial_failed_after_a_curve_that_was_known_is_kept(store: TrialStore) -> None:
    store.put("key", "stopped early", trained(2), None)
    store.put("key", "went on", trained(2, "loss must be finite"), None)
    assert store.find("key") == (trained(2, "loss must be finite"), None)


def test_an_entry_that_was_altered_gives_way_to_a_shorter_one(store: TrialStore) -> None:
    store.put("key", "mine", trained(4), None)
    (store_folder() / "key" / INFO).write_text("")
    store.put("key", "mine", trained(2), None)
    assert store.find("key") == (trained(2), None)


def test_a_full_disk_keeps_what_was_there(
    store: TrialStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    store.put("key", "mine", trained(2), None)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        for key in ("key", "new"):
            with pytest.raises(RaytlError, match=f"trials/{key}: cannot write: the disk is full"):
                store.put(key, "mine", trained(3), None)
    assert [folder.name for folder in store_folder().iterdir()] == ["key"]
    assert store.find("key") == (trained(2), None)


@pytest.fixture
def full_for_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk be full when a checkpoint's files are copied."""

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)


@pytest.mark.usefixtures("full_for_checkpoints")
def test_where_a_checkpoint_has_no_room_its_trial_is_not_kept(
    store: TrialStore, checkpoint: Path
) -> None:
    with pytest.raises(RaytlError, match="trials/key: cannot write: "):
        store.put("key", "mine", trained(2), checkpoint)
    assert list(store_folder().iterdir()) == []


@pytest.mark.usefixtures("full_for_checkpoints")
def test_that_the_disk_is_full_is_said_of_a_checkpoint_too(
    store: TrialStore, checkpoint: Path
) -> None:
    with pytest.raises(RaytlError, match="trials/key: cannot write: the disk is full; nothing"):
        store.put("key", "mine", trained(2), checkpoint)


def test_what_is_held_is_listed_the_last_used_first(store: TrialStore, checkpoint: Path) -> None:
    assert (entries(), clear()) == ([], 0)
    store.put("a", "mine", trained(2), None)
    store.put("b", "yours", trained(3), checkpoint)
    store.put("c", "mine", trained(1), None)
    for key, second in (("a", 30), ("b", 20), ("c", 40)):
        used(key, second)
    assert [(e.key, e.study, e.trial, e.epochs, e.used) for e in entries()] == [
        ("c", "mine", "trial-00007", 1, 40.0), ("a", "mine", "trial-00007", 2, 30.0),
        ("b", "yours", "trial-00007", 3, 20.0),
    ]  # fmt: skip
    assert entries()[2].bytes == len(trained(3).dump()) + len(WEIGHTS) + len(b"rows")
    assert clear() == 3
    assert (entries(), store.find("a"), clear()) == ([], None, 0)
    store.put("a", "mine", trained(2), None)
    assert len(entries()) == 1


def test_a_trial_is_claimed_by_one_alone() -> None:
    with opened(10) as one, opened(10) as other:
        assert one.claim("key") and one.claim("key")
        assert not other.claim("key")
        assert other.claim("another")
        other.release("key")  # it is not other's
        assert not other.claim("key")
        one.release("key")
        one.release("key")
        assert other.claim("key")
        assert not one.claim("key")
    assert list(store_folder().iterdir()) == []


def test_claims_end_with_the_block() -> None:
    with pytest.raises(KeyboardInterrupt), opened(10) as one:  # noqa: PT012
        assert one.claim("a") and one.claim("b")
        raise KeyboardInterrupt
    with opened(10) as other:
        assert other.claim("a") and other.claim("b")


def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(10) as one, opened(10) as other, opened(10) as third:
        assert one.claim("key")
        with monkeypatch.context() as patch:
            patch.setattr(trial_store, "LONGEST_WAIT_S", -1.0)
            assert other.claim("key")
        other.release("key")  # it may train the trial, and holds nothing
        assert not third.claim("key")


CLAIM = """
import sys
from raytl.sweeping.kept.trial_store import TrialStore
store = TrialStore(10)
print(store.claim("key"), flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def claiming() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Run another process that claims a trial and waits; yield it and what it says of its claim."""
    with subprocess.Popen(
        [sys.executable, "-c", CLAIM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_what_another_process_has_claimed_is_free_when_it_is_killed(store: TrialStore) -> None:
    with claiming() as (process, says):
        assert says == "True"
        assert not store.claim("key")
        process.kill()
        process.wait()
        assert store.claim("key")


def test_another_process_does_not_claim_what_is_claimed_here(store: TrialStore) -> None:
    assert store.claim("key")
    with claiming() as (_, says):
        assert says == "False"
    store.release("key")
    with claiming() as (_, says):
        assert says == "True"
