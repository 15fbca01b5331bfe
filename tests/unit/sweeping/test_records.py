"""What became of a trial is read back as it was kept, or not at all."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raytl.config import TrialConfig
from raytl.errors import CorruptError
from raytl.sweeping.kept.records import (
    FILE_NAME,
    Record,
    Status,
    Trained,
    read_record,
    write_record,
)
from raytl.sweeping.kept.storage import RunStorage

CONFIG: dict[str, Any] = {
    "name": "trial-00000", "id": "00000", "phase": "search", "control": None, "searched": [],
    "seed": 2**63, "rows_seed": None, "micro_batches": 1,
    "trial": TrialConfig(source_model="größer", tuned_blocks="1-2", student=None).flat(),
}  # fmt: skip
CURVE: list[dict[str, Any]] = [
    {"epoch": 1, "target/validation_accuracy": 0.1 + 0.2, "train/loss": 1e-300},
    {"epoch": 2, "target/validation_accuracy": 2 / 3, "test/confusion": [[3, 0], [1, 2]]},
]
WHOLE = Trained(CONFIG, CURVE)
FAILED = Trained(CONFIG, CURVE[:1], "loss must be finite, but got „nan“")


@pytest.mark.parametrize("url", [None, "file://{}/kept", "local://{}/kept"])
@pytest.mark.parametrize(
    "trained", [WHOLE, FAILED, Trained(CONFIG, [], "no data"), replace(FAILED, sure=False)]
)
def test_a_record_is_read_back_to_the_last_digit(
    tmp_path: Path, trained: Trained, url: str | None
) -> None:
    storage = RunStorage(tmp_path / "run", url and url.format(tmp_path))
    assert read_record(storage, "trial-00000") is None
    write_record(storage, FAILED)
    write_record(storage, trained)
    assert read_record(storage, "trial-00000") == trained
    assert read_record(storage, "trial-00001") is None


def test_a_failure_of_an_earlier_raytl_was_looked_at_once() -> None:
    whole = '{"config": {}, "curve": [], "error": null}'
    failed = whole.replace("null", '"nan"')
    assert Trained.parse(failed, "x") == Trained({}, [], "nan", sure=False)
    assert Trained.parse(failed, "x").doubted and not Trained.parse(whole, "x").doubted
    assert not FAILED.doubted and replace(FAILED, sure=False).doubted


@pytest.mark.parametrize("curve", ["null", '["a"]', "[1, 2]", '{"epoch": 1}'])
def test_a_record_without_epochs_is_no_whole_one(tmp_path: Path, curve: str) -> None:
    with pytest.raises(CorruptError, match="x: is no whole record of a trial"):
        Trained.parse('{"config": {}, "error": null, "curve": ' + curve + "}", "x")


def test_a_value_that_is_no_number_stays_none(tmp_path: Path) -> None:
    storage = RunStorage(tmp_path)
    write_record(storage, Trained(CONFIG, [{"epoch": 1, "loss": math.nan, "best": -math.inf}]))
    found = read_record(storage, "trial-00000")
    assert found is not None
    assert math.isnan(found.curve[0]["loss"]) and found.curve[0]["best"] == -math.inf


def test_a_record_that_is_cut_off_anywhere_is_none(tmp_path: Path) -> None:
    storage, file = RunStorage(tmp_path), tmp_path / "trial-00000" / FILE_NAME
    write_record(storage, FAILED)
    whole = file.read_bytes()
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        assert read_record(storage, "trial-00000") is None
    file.write_bytes(whole)
    assert read_record(storage, "trial-00000") == FAILED


@pytest.mark.parametrize(
    "content",
    [
        "", "{}", "null", "[]", '"config"', '{"config": null, "curve": [], "error": null}',
        '{"config": {}, "curve": 3, "error": null}', '{"config": {}, "curve": []}',
    ],
)  # fmt: skip
def test_what_is_no_record_is_told_with_its_place(content: str) -> None:
    with pytest.raises(CorruptError, match=r"^run/x: is no whole record of a trial \("):
        Trained.parse(content, "run/x")


def test_a_record_says_how_far_its_trial_came() -> None:
    record = Record(CONFIG, CURVE, "completed")
    assert (record.name, record.last, record.whole) == ("trial-00000", CURVE[1], True)
    assert Record(CONFIG).last == {}
    statuses: list[Status] = ["stopped early", "failed", "unfinished"]
    assert not any(Record(CONFIG, CURVE, status).whole for status in statuses)
