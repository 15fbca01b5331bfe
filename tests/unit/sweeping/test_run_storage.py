"""Runs behind URLs: which filesystem, what is copied, what is refused."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem
from pyarrow.fs import FSSpecHandler, PyFileSystem
from pydantic import ValidationError

from raytl.config import Study
from raytl.config.reading import check_study
from raytl.errors import ConfigError, CorruptError, RaytlError, UserError
from raytl.predictions import FILE_NAME as PREDICTIONS
from raytl.predictions import Predictions
from raytl.remote_files import exists
from raytl.sweeping.kept import patience
from raytl.sweeping.kept.lease import Lease
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.study_run import run_study

MakeStudy = Callable[..., Study]


@pytest.mark.parametrize("scheme", ["file", "local"])  # of pyarrow's own, and of fsspec's
def test_the_folder_mirrors_what_is_kept(scheme: str, tmp_path: Path) -> None:
    here, kept = tmp_path / "here" / "run", tmp_path / "kept" / "run"
    (here / "best").mkdir(parents=True)
    (here / "study.yaml").write_text("study: x")
    (here / "best" / "source.json").write_text("{}")
    (here / "notes.txt").write_text("not raytl's")
    storage = RunStorage(here, f"{scheme}://{tmp_path}/kept")
    assert not storage.holds_a_run()
    storage.push()
    assert storage.holds_a_run()
    found = {p.relative_to(kept).as_posix() for p in kept.rglob("*") if p.is_file()}
    assert found == {"study.yaml", "best/source.json", "snapshot.json"}

    trial = storage.trial("trial-0")
    for epoch in (1, 2):
        trial.save({}, [{}] * epoch, lambda folder: (folder / "a.pt").touch(), last=False)
    storage.write("trial-0/record.json", "{}")
    storage.write("prefix/key/features.npy", "trials fetch them for themselves")
    assert exists(storage.features / "key" / "features.npy")
    (here / "study.yaml").write_text("newer")
    other = RunStorage(tmp_path / "there" / "run", storage.storage_path)
    other.pull()
    pulled = {p.relative_to(other.run).as_posix() for p in other.run.rglob("*") if p.is_file()}
    assert pulled == {
        "study.yaml", "best/source.json", "snapshot.json", "trial-0/record.json"
    }  # fmt: skip
    assert other.newest_checkpoint("trial-0") == other.run / "trial-0" / "checkpoint-00002"
    assert (other.run / "trial-0" / "checkpoint-00002" / "a.pt").exists()
    assert not (other.run / "trial-0" / "checkpoint-00001").exists()
    (here / "best" / "source.json").write_text("newer")
    storage.pull()
    assert (here / "best" / "source.json").read_text() == "newer"
    assert (here / "study.yaml").read_text() == "study: x"  # by which the run goes on


def test_the_folder_that_one_stands_in_is_kept_under_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path / "digits")
    storage = RunStorage(Path("."), f"local://{tmp_path}/kept")
    monkeypatch.chdir("/")
    for of in (storage, pickle.loads(pickle.dumps(storage))):
        assert of.path == f"{tmp_path}/kept/digits"
        assert of.features == f"local://{tmp_path}/kept/digits/prefix"


def test_what_is_here_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = RunStorage(tmp_path / "here" / "run", f"file://{tmp_path}/kept")
    for number in range(40):
        storage.write_both(f"trial-{number}/record.json", str(number))
    (storage.run / "trial-7" / "record.json").unlink()
    (storage.run / "trial-8" / "record.json").write_text("cut off in the middle")
    fetched = []
    fetch = RunStorage._fetch_one
    monkeypatch.setattr(
        RunStorage, "_fetch_one", lambda of, name: (fetched.append(name), fetch(of, name))
    )
    storage.pull()
    assert sorted(fetched) == ["trial-7/record.json", "trial-8/record.json"]
    assert (storage.run / "trial-8" / "record.json").read_text() == "8"
    assert not list(storage.run.rglob("*.partial"))


def test_what_is_written_once_is_read_where_it_is_nearest(tmp_path: Path) -> None:
    storage = RunStorage(tmp_path / "here" / "run", f"file://{tmp_path}/kept")
    storage.write("trial-0/record.json", "kept")
    assert storage.read_nearest("trial-0/record.json") == "kept"
    storage.write_both("trial-0/record.json", "both")
    storage.write("trial-0/record.json", "later")
    assert storage.read_nearest("trial-0/record.json") == "both"
    assert storage.read_nearest("trial-1/record.json") is None


def test_without_a_url_the_folder_is_all_there_is(tmp_path: Path) -> None:
    storage = RunStorage(tmp_path)
    storage.trial("trial-0").save({}, [{}], lambda folder: None, last=True)
    before = sorted(tmp_path.rglob("*"))
    storage.push()
    storage.pull()
    assert sorted(tmp_path.rglob("*")) == before
    assert storage.newest_checkpoint("trial-0") == tmp_path / "trial-0" / "checkpoint-00001"
    assert storage.path == str(tmp_path)


def test_a_trial_without_a_whole_checkpoint_is_told(tmp_path: Path) -> None:
    (tmp_path / "trial-0" / "checkpoint-00001").mkdir(parents=True)
    with pytest.raises(CorruptError, match="trial-0: the trial's checkpoint is missing"):
        RunStorage(tmp_path).newest_checkpoint("trial-0")


@pytest.mark.parametrize("url", [None, "file://{}/kept", "local://{}/kept"])
@pytest.mark.parametrize("altered", ["weights", "predictions"])
def test_a_retraining_that_was_altered_goes_and_is_trained_again(
    url: str | None, altered: str, tmp_path: Path
) -> None:
    def write(folder: Path) -> None:
        (folder / "checkpoint.pt").write_bytes(bytes(100))
        rows = np.arange(4)
        Predictions(rows, rows % 2, rows % 2).write(folder / PREDICTIONS)

    storage = RunStorage(tmp_path / "run", url and url.format(tmp_path))
    storage.trial("confirm-a").save({}, [{}], write, last=True)
    assert storage.predictions("confirm-a").id_N.tolist() == [0, 1, 2, 3]
    storage.newest_checkpoint("confirm-a")
    name = "checkpoint.pt" if altered == "weights" else PREDICTIONS
    file = Path(storage.path) / "confirm-a" / "checkpoint-00001" / name
    content = bytearray(file.read_bytes())
    content[50] ^= 1
    file.write_bytes(content)
    read = storage.newest_checkpoint if altered == "weights" else storage.predictions
    with pytest.raises(CorruptError, match="not what was written; go on with --resume: confirm-a"):
        read("confirm-a")
    assert storage.trial("confirm-a").newest() is None


@pytest.mark.parametrize("url", [None, "file://{}/kept", "local://{}/kept"])
def test_a_text_is_read_back_wherever_it_is_kept(url: str | None, tmp_path: Path) -> None:
    storage = RunStorage(tmp_path / "run", url and url.format(tmp_path))
    assert storage.read("trial-0/record.json") is None
    for text in ("größer", "newer"):
        storage.write("trial-0/record.json", text)
        assert storage.read("trial-0/record.json") == text
    kept = tmp_path / ("run" if url is None else "kept/run") / "trial-0"
    assert [file.name for file in kept.iterdir()] == ["record.json"]
    (kept / "record.json").write_bytes(b"\xff\xfe")
    assert storage.read("trial-0/record.json") is None


class SlowDown(FSSpecHandler):  # type: ignore[misc]
    """A filesystem that refuses as many calls."""

    text = "AWS Error SLOW_DOWN: please reduce your request rate"

    def __init__(self, refusals: int) -> None:
        super().__init__(LocalFileSystem())
        self.refusals = refusals

    def _may_refuse(self) -> None:
        if self.refusals > 0:
            self.refusals -= 1
            raise OSError(self.text)

    def get_file_info_selector(self, selector: Any) -> Any:
        self._may_refuse()
        return super().get_file_info_selector(selector)

    def open_input_file(self, path: str) -> Any:
        self._may_refuse()
        return super().open_input_file(path)

    def open_output_stream(self, path: str, metadata: Any) -> Any:
        self._may_refuse()
        return super().open_output_stream(path, metadata)


@pytest.fixture
def waited(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long is waited, without waiting."""
    waits: list[float] = []
    monkeypatch.setattr(patience.time, "sleep", waits.append)
    return waits


def behind(slow: SlowDown, tmp_path: Path) -> RunStorage:
    storage = RunStorage(tmp_path / "run", f"file://{tmp_path}/kept")
    vars(storage)["_kept"] = (PyFileSystem(slow), f"{tmp_path}/kept/run")
    return storage


def test_a_bucket_that_is_slow_for_a_while_gets_time(tmp_path: Path, waited: list[float]) -> None:
    slow = SlowDown(2)
    storage = behind(slow, tmp_path)
    storage.write("trial-0/record.json", "{}")
    slow.refusals = 3
    assert storage.read("trial-0/record.json") == "{}"
    slow.refusals = 1
    storage.pull()
    assert waited == [1.0, 2.0, 1.0, 2.0, 4.0, 1.0]
    assert (storage.run / "trial-0" / "record.json").exists()
    assert storage.read("none.json") is None  # it will not come


def test_a_trials_folder_behind_a_slow_bucket_is_not_taken_for_empty(
    tmp_path: Path, waited: list[float]
) -> None:
    slow = SlowDown(0)
    trial = behind(slow, tmp_path).trial("trial-0")
    trial.save({}, [{}], lambda folder: (folder / "a.pt").touch(), last=False)
    trial.write_failure({"epoch": 1})
    slow.refusals = 2
    assert trial.newest() is not None
    slow.refusals = 1
    assert trial.failure() == {"epoch": 1}
    slow.refusals = 1
    trial.clear()
    assert waited == [1.0, 2.0, 1.0, 1.0]
    assert trial.newest() is None


def test_a_snapshot_is_written_and_fetched_in_spite_of_a_slow_bucket(
    tmp_path: Path, waited: list[float]
) -> None:
    slow = SlowDown(1)
    storage = behind(slow, tmp_path)
    storage.run.mkdir()
    (storage.run / "study.yaml").write_text("study: x")
    slow.refusals = 2
    storage.push()
    (storage.run / "study.yaml").unlink()
    slow.refusals = 1
    storage.pull()
    assert (storage.run / "study.yaml").read_text() == "study: x"
    assert len(waited) == 3


def test_a_bucket_that_stays_out_of_reach_is_told(tmp_path: Path, waited: list[float]) -> None:
    storage = behind(SlowDown(1000), tmp_path)
    with pytest.raises(RaytlError, match="path: .*/kept/run: cannot read it: AWS Error SLOW_DOWN"):
        storage.pull()
    assert waited == list(patience.DELAYS_S)
    with pytest.raises(RaytlError, match="path: .*/kept/run: cannot write it: AWS Error SLOW_DOWN"):
        storage.write("trial-0/record.json", "{}")


# What pyarrow says where a server answers so, of a request without and with a body
NO_BODY = "during HeadObject operation: No response body."
UNNAMED = "during ListObjectsV2 operation: Unable to parse ExceptionName"


@pytest.mark.parametrize(
    "text",
    [
        "When writing 'lease.json': AWS Error ACCESS_DENIED during PutObject operation: no body",
        f"AWS Error UNKNOWN (HTTP status 400) {NO_BODY}",  # ExpiredToken
        f"AWS Error UNKNOWN (HTTP status 400) {UNNAMED}: ExpiredToken Message: told",
        f"AWS Error UNKNOWN (HTTP status 403) {UNNAMED}: AccountProblem Message: told",
        "AWS Error REQUEST_TIME_TOO_SKEWED during ListObjectsV2 operation: told",
    ],
)
def test_who_may_not_write_is_told_at_once(
    text: str, tmp_path: Path, waited: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SlowDown, "text", text)
    storage = behind(SlowDown(1000), tmp_path)
    told = r"resources.storage_path: .*/kept/run: may not {} it \(.*AWS Error.*credentials"
    for what, act in (
        ("read", storage.pull), ("read", lambda: Lease(storage).take(print)),
        ("write", lambda: storage.write("trial-0/record.json", "{}")),
    ):  # fmt: skip
        with pytest.raises(UserError, match=told.format(what)):
            act()
    assert waited == []


def test_a_scheme_that_nobody_knows_is_named(tmp_path: Path) -> None:
    with pytest.raises(RaytlError, match=r"storage_path: no filesystem for nowhere://"):
        RunStorage(tmp_path / "run", "nowhere://bucket/runs").holds_a_run()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://name:secret@bucket/runs", "must hold no credentials"),
        ("s3://bucket/runs?access_key=a&secret_key=b", "must hold no credentials"),
        ("/mnt/runs", "must be a URL such as s3://bucket/runs, got /mnt/runs"),
    ],
)
def test_what_is_no_place_for_a_run_is_refused(
    tiny_study: MakeStudy, url: str, message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        tiny_study(resources={"storage_path": url})
    with pytest.raises(ConfigError, match="storage_path: must") as caught:
        check_study(tiny_study().model_dump(mode="json") | {"resources": {"storage_path": url}})
    assert "secret" not in str(caught.value)


def test_a_run_that_is_kept_is_not_overwritten(tiny_study: MakeStudy, tmp_path: Path) -> None:
    (tmp_path / "kept" / "run").mkdir(parents=True)
    (tmp_path / "kept" / "run" / "study.yaml").touch()
    study = tiny_study(resources={"storage_path": f"file://{tmp_path}/kept"})
    with pytest.raises(UserError, match="kept/run holds a run; go on with --resume"):
        run_study(study, tmp_path / "here" / "run")
    assert not (tmp_path / "here").exists()


def test_a_relative_folder_stays_where_it_was_for_who_runs_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sent = pickle.dumps(RunStorage(Path("runs/one")))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    storage: RunStorage = pickle.loads(sent)
    assert storage.path == str(tmp_path / "runs" / "one")
    assert storage.trial("trial-00000").path == str(tmp_path / "runs" / "one" / "trial-00000")
