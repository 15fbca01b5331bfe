"""Shards that are written one by one: the same bytes whoever writes them, whatever stops it."""

import contextlib
import errno
import pickle
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from importing import in_order
from PIL import Image
from s3_server import s3_bucket

import raytl
import raytl.data.shard
from raytl.data import begun, shard_writing
from raytl.data.dataset import Dataset
from raytl.data.shard import ShardReport, shard, shard_options
from raytl.data.writer import write_dataset
from raytl.errors import ConfigError, DataError, RaytlError, UserError
from raytl.remote_files import exists, files_in, read_bytes
from raytl.urls import Place

ROWS, SIDE, SHARD_ROWS = 40, 4, 6
# What one process wrote before there were parts
FINGERPRINT = "2e330ef61d94"


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pictures of two classes whose pixels tell their number, a few a shard."""
    for row in range(ROWS):
        folder = tmp_path / "in" / ("even", "odd")[row % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((SIDE, SIDE, 3), row, np.uint8)).save(folder / f"{row:02d}.png")
    small = partial(write_dataset, shard_bytes=SHARD_ROWS * SIDE * SIDE * 3)
    monkeypatch.setattr("raytl.data.shard.write_dataset", small)
    return tmp_path / "in"


def write(
    source: Path, out: Place, each: Any = map, force: bool = False, **options: Any
) -> ShardReport:
    given = shard_options(**{"size": SIDE, "test": 0.25} | options)
    return shard("image-folder", str(source), out, options=given, each=each, force=force)


def stopping_after(count: int, error: BaseException) -> Any:
    """Return what does so many things and then stops."""
    done: list[Any] = []

    def each(do: Callable[[Any], Any], what: Iterable[Any]) -> Iterator[Any]:
        for one in what:
            if len(done) == count:
                raise error
            done.append(one)
            yield do(one)

    return each


def counting(done: list[Any]) -> Any:
    def each(do: Callable[[Any], Any], what: Iterable[Any]) -> Iterator[Any]:
        for one in what:
            done.append(one)
            yield do(one)

    return each


def backwards(do: Callable[[Any], Any], what: Iterable[Any]) -> Iterator[Any]:
    """Do things in another order than that of what comes back, as several processes do."""
    every = list(what)
    yield from reversed([do(one) for one in reversed(every)])


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_the_same_files_whoever_writes_them(pictures: Path, tmp_path: Path) -> None:
    alone = write(pictures, tmp_path / "alone", each=None)
    assert alone.info.fingerprint[:12] == FINGERPRINT
    for name, each in [("one", map), ("many", backwards)]:
        write(pictures, tmp_path / name, each)
        assert contents(tmp_path / name) == contents(tmp_path / "alone")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "in", "many", "one"]
    Dataset.open(tmp_path / "many").ensure_verified()


def test_the_same_command_goes_on_where_it_was_stopped(pictures: Path, tmp_path: Path) -> None:
    whole = write(pictures, tmp_path / "whole")
    for error in (KeyboardInterrupt(), RaytlError("x")):
        with pytest.raises(type(error)):
            write(pictures, tmp_path / "out", stopping_after(2, error))
        assert not (tmp_path / "out").exists()
    done: list[Any] = []
    assert write(pictures, tmp_path / "out", counting(done)).info == whole.info
    assert [task.file for task in done] == [
        *(f"train-{n:05d}-of-00005.arrow" for n in (4,)),
        *(f"test-{n:05d}-of-00002.arrow" for n in range(2)),
    ]  # fmt: skip
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out", "whole"]


def test_another_command_is_refused_or_begins_anew(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write(pictures, tmp_path / "out", stopping_after(2, KeyboardInterrupt()))
    with pytest.raises(UserError, match="another source or with other options was begun here"):
        write(pictures, tmp_path / "out", test=0.5)
    with pytest.raises(UserError, match="was begun here with --workers"):
        write(pictures, tmp_path / "out", each=None)
    done: list[Any] = []
    write(pictures, tmp_path / "out", counting(done), force=True, test=0.5)
    assert len(done) == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]
    with pytest.raises(KeyboardInterrupt):
        write(pictures, tmp_path / "two", stopping_after(2, KeyboardInterrupt()))
    write(pictures, tmp_path / "two", each=None, force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out", "two"]


def test_what_stood_there_stays_until_the_new_one_is_whole(pictures: Path, tmp_path: Path) -> None:
    old = write(pictures, tmp_path / "out", test=0.5)
    with pytest.raises(UserError, match="exists already"):
        write(pictures, tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        write(pictures, tmp_path / "out", stopping_after(2, KeyboardInterrupt()), force=True)
    assert Dataset.open(tmp_path / "out").fingerprint == old.info.fingerprint
    new = write(pictures, tmp_path / "out", force=True)
    assert Dataset.open(tmp_path / "out").fingerprint == new.info.fingerprint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


def test_a_file_that_changed_is_read_again_and_no_other(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write(pictures, tmp_path / "out", stopping_after(5, KeyboardInterrupt()))
    held = Image.fromarray(np.full((SIDE, SIDE, 3), 200, np.uint8))
    held.save(pictures / "even" / "00.png", compress_level=0)
    done: list[Any] = []
    write(pictures, tmp_path / "out", counting(done))
    (images,) = in_order(tmp_path / "out", "train", "image")
    test = in_order(tmp_path / "out", "test", "image")[0]
    assert 200 in {*images[:, 0, 0, 0].tolist(), *test[:, 0, 0, 0].tolist()}
    assert 2 <= len(done) <= 3


def test_a_shard_or_a_record_that_is_not_whole_is_written_again(
    pictures: Path, tmp_path: Path
) -> None:
    whole = write(pictures, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        write(pictures, tmp_path / "out", stopping_after(4, KeyboardInterrupt()))
    place = tmp_path / ".out.begun"
    (place / "train-00000-of-00005.arrow").write_bytes(b"half")
    (place / "train-00001-of-00005.arrow").unlink()
    (place / "begun" / "train-00002-of-00005.arrow.json").write_text('{"digest": "')
    done: list[Any] = []
    assert write(pictures, tmp_path / "out", counting(done)).info == whole.info
    assert [task.file[:11] for task in done][:4] == [f"train-0000{n}" for n in (0, 1, 2, 4)]
    Dataset.open(tmp_path / "out").ensure_verified()


def break_file(pictures: Path, *rows: int) -> None:
    for row in rows:
        (pictures / ("even", "odd")[row % 2] / f"{row:02d}.png").write_bytes(b"no picture")


def test_bad_files_are_left_out_alike_and_ids_have_no_gaps(pictures: Path, tmp_path: Path) -> None:
    break_file(pictures, 3, 8, 21)
    reports = [
        write(pictures, tmp_path / name, each, skip_bad=True)
        for name, each in [("alone", None), ("one", map), ("many", backwards)]
    ]
    for report, name in zip(reports, ("alone", "one", "many"), strict=True):
        assert contents(tmp_path / name) == contents(tmp_path / "alone")
        assert report.skipped == reports[0].skipped and len(report.skipped) == 3
    dataset = Dataset.open(tmp_path / "many")
    ids = [dataset.split(name).ids().tolist() for name in ("train", "test")]
    assert sorted(ids[0] + ids[1]) == list(range(ROWS - 3)) and max(ids[0]) < min(ids[1])
    (images,) = in_order(tmp_path / "many", "train", "image")
    rows = images[:, 0, 0, 0].tolist()
    assert rows == sorted(rows, key=lambda row: (row % 2, row))


def test_a_shard_of_bad_files_alone_is_none(pictures: Path, tmp_path: Path) -> None:
    whole = write(pictures, tmp_path / "whole", test=None)
    images = Dataset.open(tmp_path / "whole").split("train").all("image")[:, 0, 0, 0]
    assert len(whole.info.splits["train"].shards) == 7
    break_file(pictures, *images[SHARD_ROWS : 2 * SHARD_ROWS].tolist())
    for name, each in [("alone", None), ("many", backwards)]:
        report = write(pictures, tmp_path / name, each, test=None, skip_bad=True)
        files = [of.file for of in report.info.splits["train"].shards]
        assert files == [f"train-{n:05d}-of-00006.arrow" for n in range(6)]
        assert sorted(contents(tmp_path / name)) == sorted([*files, "dataset.json"])
        Dataset.open(tmp_path / name).ensure_verified()
    break_file(pictures, *range(ROWS))
    with pytest.raises(DataError, match="split train: no rows"):
        write(pictures, tmp_path / "none", skip_bad=True)


def test_a_bad_file_that_is_met_can_be_skipped_from_then_on(pictures: Path, tmp_path: Path) -> None:
    write(pictures, tmp_path / "whole", test=None)
    stored = Dataset.open(tmp_path / "whole").split("train").all("image")[:, 0, 0, 0]
    break_file(pictures, int(stored[-1]))
    with pytest.raises(DataError, match="does not decode.*--skip-bad"):
        write(pictures, tmp_path / "out", test=None)
    done: list[Any] = []
    write(pictures, tmp_path / "out", counting(done), test=None, skip_bad=True)
    assert [task.file for task in done if hasattr(task, "part")] == ["train-00006-of-00007.arrow"]


def test_rows_that_were_left_out_are_asked_for_again(pictures: Path, tmp_path: Path) -> None:
    break_file(pictures, *range(0, ROWS, 2))
    with pytest.raises(KeyboardInterrupt):
        write(pictures, tmp_path / "out", stopping_after(3, KeyboardInterrupt()), skip_bad=True)
    with pytest.raises(DataError, match="does not decode"):
        write(pictures, tmp_path / "out")


def test_shards_of_what_was_begun_before_are_none_of_the_new_ones(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for row in range(ROWS):
        wide = np.zeros((SIDE, 3 * SIDE, 3), np.uint8)
        wide[:, SIDE:] = row + 1
        name = pictures / ("even", "odd")[row % 2] / f"{row:02d}.png"
        Image.fromarray(wide).save(name)
    whole = write(pictures, tmp_path / "whole", fit="crop")
    with s3_bucket(monkeypatch) as bucket:
        with pytest.raises(KeyboardInterrupt):
            write(pictures, bucket / "out", stopping_after(4, KeyboardInterrupt()))
        new = stopping_after(1, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            write(pictures, bucket / "out", new, force=True, fit="crop")
        assert write(pictures, bucket / "out", fit="crop").info == whole.info
        with pytest.raises(UserError, match="exists already"):
            write(pictures, bucket / "out")
        assert write(pictures, bucket / "out", each=None, force=True).info.splits
        with pytest.raises(KeyboardInterrupt):
            write(pictures, bucket / "out", stopping_after(1, KeyboardInterrupt()), force=True)
        assert not exists(bucket / "out" / "dataset.json")
        assert write(pictures, bucket / "out", each=None, force=True, fit="crop").info == whole.info
        assert sorted(files_in(bucket / "out")) == sorted(contents(tmp_path / "whole"))


def test_where_nothing_was_written_nothing_stays(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(RaytlError, match="x"):
        write(pictures, tmp_path / "out", stopping_after(0, RaytlError("x")))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("each", [None, map])
def test_a_full_disk_is_said(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, each: Any
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("raytl.data.shard_writing.save_batch", full)
    with pytest.raises(RaytlError, match="the disk is full") as caught:
        write(pictures, tmp_path / "out", each)
    assert caught.value.exit_code == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_what_is_left_of_a_stop_after_the_end_is_cleared(pictures: Path, tmp_path: Path) -> None:
    write(pictures, tmp_path / "out")
    before = contents(tmp_path / "out")
    (tmp_path / "out" / begun.PLAN).write_text("{}")
    (tmp_path / "out" / "begun").mkdir()
    (tmp_path / "out" / "begun" / "train-00000-of-00005.arrow.json").touch()
    with pytest.raises(UserError, match="exists already"):
        write(pictures, tmp_path / "out")
    assert contents(tmp_path / "out") == before


def test_shards_that_another_machine_wrote_elsewhere(pictures: Path, tmp_path: Path) -> None:
    def each(do: Callable[[Any], Any], what: Iterable[Any]) -> Iterator[Any]:
        for one in what:
            found = do(one)
            (tmp_path / ".out.begun" / found.info.file).unlink()
            yield found

    with pytest.raises(RaytlError, match="written by another machine.*give a URL"):
        write(pictures, tmp_path / "out", each)


def test_kinds_that_one_process_reads(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="shard digits: one process reads it.*image-folder"):
        shard("digits", None, tmp_path / "d", options=shard_options(), each=map)
    with pytest.raises(ConfigError, match="shard mnist: reads files of this machine, got s3:"):
        shard("mnist", "s3://bucket/mnist", tmp_path / "d", options=shard_options())


def test_a_part_holds_its_own_files_alone(pictures: Path, tmp_path: Path) -> None:
    done: list[Any] = []
    write(pictures, tmp_path / "out", counting(done))
    for task in done:
        sent = pickle.dumps(task)
        assert sent.count(b".png") == len(task.places_N) <= SHARD_ROWS


def mend_file(pictures: Path, row: int) -> None:
    picture = Image.fromarray(np.full((SIDE, SIDE, 3), row, np.uint8))
    picture.save(pictures / ("even", "odd")[row % 2] / f"{row:02d}.png")


def first_stored(pictures: Path, out: Path) -> int:
    """Return which picture train stores that came first in the source: if it is left out, all ids
    change."""
    write(pictures, out)
    (images,) = in_order(out, "train", "image")
    return int(images[0, 0, 0, 0])


@pytest.mark.parametrize("skip_bad", [True, False])
def test_stopped_after_bad_files_and_gone_on_with_when_they_are_mended(
    pictures: Path, tmp_path: Path, skip_bad: bool
) -> None:
    bad = first_stored(pictures, tmp_path / "whole")
    for count in range(1, 12):
        break_file(pictures, bad)
        out = tmp_path / f"out{count}"
        with pytest.raises(KeyboardInterrupt):
            write(pictures, out, stopping_after(count, KeyboardInterrupt()), skip_bad=True)
        mend_file(pictures, bad)
        write(pictures, out, skip_bad=skip_bad)
        Dataset.open(out).ensure_verified()
        (now, anew) = (contents(folder) for folder in (out, tmp_path / "whole"))
        assert {**now, "dataset.json": b""} == {**anew, "dataset.json": b""}, count


@contextlib.contextmanager
def killed_after(count: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stop what writes so many shards when the last of them stands and nothing more."""
    put_batch, written = shard_writing.put_batch, list[Any]()

    def killed(*given: Any) -> Any:
        written.append(put_batch(*given))
        if len(written) == count:
            raise KeyboardInterrupt
        return written[-1]

    with monkeypatch.context() as patch:
        patch.setattr(shard_writing, "put_batch", killed)
        yield


def test_killed_between_a_shard_and_its_record(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = first_stored(pictures, tmp_path / "whole")
    for count in range(1, 13):
        break_file(pictures, bad)
        out = tmp_path / f"out{count}"
        with killed_after(count, monkeypatch), pytest.raises(KeyboardInterrupt):
            write(pictures, out, skip_bad=True)
        mend_file(pictures, bad)
        write(pictures, out)
        Dataset.open(out).ensure_verified()
        assert contents(out) == contents(tmp_path / "whole"), count


def test_killed_between_a_shard_and_its_record_where_another_stood(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = first_stored(pictures, tmp_path / "whole")
    break_file(pictures, bad)
    write(pictures, tmp_path / "less", skip_bad=True)
    with pytest.raises(KeyboardInterrupt):
        write(pictures, tmp_path / "out", stopping_after(6, KeyboardInterrupt()), skip_bad=True)
    mend_file(pictures, bad)
    # The first shards of train, which has the file, and of test, whose ids moved
    with killed_after(2, monkeypatch), pytest.raises(KeyboardInterrupt):
        write(pictures, tmp_path / "out")
    break_file(pictures, bad)
    write(pictures, tmp_path / "out", skip_bad=True)
    Dataset.open(tmp_path / "out").ensure_verified()
    assert contents(tmp_path / "out") == contents(tmp_path / "less")


def test_bad_files_behind_a_url_that_are_mended(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = first_stored(pictures, tmp_path / "whole")
    break_file(pictures, bad)
    with s3_bucket(monkeypatch) as bucket:
        stop = stopping_after(9, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            write(pictures, bucket / "out", stop, skip_bad=True)
        mend_file(pictures, bad)
        write(pictures, bucket / "out")
        assert sorted(files_in(bucket / "out")) == sorted(contents(tmp_path / "whole"))
        for name, content in contents(tmp_path / "whole").items():
            assert read_bytes(bucket / "out" / name) == content


def test_a_shard_that_stands_is_not_written_again_for_bad_files_before_a_stop(
    pictures: Path, tmp_path: Path
) -> None:
    bad = first_stored(pictures, tmp_path / "whole")
    break_file(pictures, bad)
    with pytest.raises(KeyboardInterrupt):
        write(pictures, tmp_path / "out", stopping_after(6, KeyboardInterrupt()), skip_bad=True)
    done: list[Any] = []
    write(pictures, tmp_path / "out", counting(done), skip_bad=True)
    assert [task.file for task in done if hasattr(task, "part")] == ["test-00001-of-00002.arrow"]


def test_each_part_is_made_once(pictures: Path, tmp_path: Path) -> None:
    made: list[tuple[int, int]] = []

    def spied(out: Place, columns: Any, splits: Any, *given: Any, **named: Any) -> Any:
        def counted(stored: Any) -> Any:
            def part(start: int, stop: int) -> Any:
                made.append((start, stop))
                return stored.part(start, stop)

            return replace(stored, part=part)

        every = {name: counted(stored) for name, stored in splits.items()}
        return small(out, columns, every, *given, **named)

    small = raytl.data.shard.write_dataset
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("raytl.data.shard.write_dataset", spied)
        write(pictures, tmp_path / "out", test=None)
    assert made == [(start, min(start + SHARD_ROWS, ROWS)) for start in range(0, ROWS, SHARD_ROWS)]


@pytest.mark.parametrize("workers", [None, 2])
def test_places_are_looked_at_once(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int | None
) -> None:
    looked: list[str] = []
    check_places = raytl.data.shard.check_places

    def counted(*given: Any) -> None:
        looked.append(given[0])
        check_places(*given)

    monkeypatch.setattr("raytl.data.shard.check_places", counted)
    monkeypatch.setattr("raytl.sweeping.on_ray.tuning.ray_session", contextlib.nullcontext)
    monkeypatch.setattr("raytl.sweeping.on_ray.sharding.on_cluster", lambda workers: map)
    raytl.shard("image-folder", str(pictures), tmp_path / "out", size=SIDE, workers=workers)
    assert looked == ["image-folder"]
    with pytest.raises(UserError, match="exists already"):
        raytl.shard("image-folder", str(pictures), tmp_path / "out", size=SIDE, workers=workers)
