"""Runs behind URLs: which filesystem, what is copied, what is refused."""

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from raytl.config import Study
from raytl.config.reading import check_study
from raytl.errors import ConfigError, CorruptError, RaytlError, UserError
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
    storage.pull()
    assert (here / "study.yaml").read_text() == "newer"


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
