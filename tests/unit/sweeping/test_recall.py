"""What was trained before is taken from the run, or from the store, or trained again."""

import errno
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from raytl.config import Study, TrialConfig
from raytl.errors import RaytlError, UserError
from raytl.predictions import FILE_NAME as PREDICTIONS
from raytl.predictions import Predictions
from raytl.sweeping import recall as recall_module
from raytl.sweeping.identity import Identity
from raytl.sweeping.kept.errands import Errand
from raytl.sweeping.kept.records import (
    FILE_NAME,
    IDENTITY,
    TRAINED_ON,
    Record,
    Trained,
    read_record,
    write_record,
)
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.kept.trial_folder import COMMIT
from raytl.sweeping.kept.trial_store import TrialStore, entries, opened, store_folder
from raytl.sweeping.preflight import preflight
from raytl.sweeping.recall import Recall
from raytl.sweeping.resolving import resolved
from raytl.sweeping.search.objective import objective_metric
from raytl.sweeping.search.sampling import open_sampler
from raytl.sweeping.search.searcher import StudySearch

EPOCHS = 3
Config = dict[str, Any]


def config(name: str, phase: str = "search", trial: Config | None = None) -> Config:
    flat = TrialConfig(source_model="net").flat() | (trial or {})
    return {
        "name": name, "id": name, "phase": phase, "control": None, "searched": [], "seed": 3,
        "rows_seed": None, "micro_batches": 1, "trial": flat,
    }  # fmt: skip


def curve(epochs: int, best: float = 0.5) -> list[dict[str, Any]]:
    return [{"epoch": epoch, "accuracy": best / epoch} for epoch in range(1, epochs + 1)]


@pytest.fixture
def identity(tiny_study: Callable[..., Study]) -> Identity:
    return Identity.of(preflight(tiny_study()), "cpu")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty cache of the test's own."""
    monkeypatch.setenv("RAYTL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def store() -> Iterator[TrialStore]:
    with opened(10**6) as store:
        yield store


@pytest.fixture
def other() -> Iterator[TrialStore]:
    """The store as another process holds it."""
    with opened(10**6) as store:
        yield store


Remember = Callable[..., Recall]


@pytest.fixture
def remember(identity: Identity) -> Remember:
    def make(storage: RunStorage, store: TrialStore | None, *, resumed: bool = False) -> Recall:
        return Recall(storage, identity, "mine", EPOCHS, store, resumed=resumed)

    return make


@pytest.fixture(params=["local", "url"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> RunStorage:
    """Where a run is kept: in its folder, or on a filesystem that is not this machine's."""
    url = f"local://{tmp_path}/kept" if request.param == "url" else None
    return RunStorage(tmp_path / "run", url)


def kept_at(storage: RunStorage) -> Path:
    """Return the folder on this machine where the run is kept after all."""
    return Path(storage.path)


def predictions() -> Predictions:
    rows = np.arange(4)
    return Predictions(rows, rows % 2, rows % 2)


def save_weights(storage: RunStorage, of: Config, epochs: int = EPOCHS) -> None:
    def write(folder: Path) -> None:
        (folder / "checkpoint.pt").write_text(f"weights of {of['name']} after {epochs}")
        predictions().write(folder / PREDICTIONS)

    storage.trial(of["name"]).save(of, curve(epochs), write, last=epochs == EPOCHS)


def take(recall: Recall, of: Config) -> Trained:
    """Take a trial of which nothing more comes from memory, as the searcher does."""
    found = recall.recall(of)
    assert isinstance(found, Trained)
    recall.keep(found)
    return found


# The run's own records


def test_a_resumed_run_takes_its_own_record_first(
    remember: Remember, storage: RunStorage, store: TrialStore, identity: Identity
) -> None:
    ours = config("trial-00000")
    store.put(identity.key(ours), "theirs", Trained(ours, curve(EPOCHS, 0.9)), None)
    write_record(storage, Trained(ours, curve(EPOCHS)))
    recall = remember(storage, store, resumed=True)
    assert recall.recall(ours) == Trained(ours, curve(EPOCHS))
    assert recall.found == 0


DOUBTED = "loss must be finite"


def test_a_trial_that_failed_and_may_not_do_so_again_is_tried_again_on_resume(
    remember: Remember, storage: RunStorage
) -> None:
    ours = config("trial-00000")
    first = remember(storage, None)
    save_weights(storage, ours, epochs=1)
    first.keep(Trained(ours, curve(1), DOUBTED, sure=False))
    saved = storage.trial("trial-00000").newest()
    assert saved is not None and len(saved.curve) == 1  # it goes on from there
    recall = remember(storage, None, resumed=True)
    assert recall.recall(ours) == Trained(ours, curve(1))
    recall.keep(Trained(ours, curve(EPOCHS)))
    assert read_record(storage, "trial-00000") == Trained(ours, curve(EPOCHS))


def test_what_was_suggested_after_an_error_that_did_not_come_again_is_trained_anew(
    remember: Remember, storage: RunStorage
) -> None:
    ours, then = config("trial-00000"), config("trial-00001", trial={"optimizer.lr": 0.25})
    write_record(storage, Trained(ours, curve(1), DOUBTED, sure=False))
    write_record(storage, Trained(then, curve(EPOCHS)))
    save_weights(storage, then, epochs=1)
    recall = remember(storage, None, resumed=True)
    assert recall.recall(ours) == Trained(ours, curve(1))
    now = config("trial-00001", trial={"optimizer.lr": 0.5})
    with pytest.raises(UserError, match="another trial-00001"):
        recall.recall(now)  # what the search knows is not settled yet
    recall.keep(Trained(ours, curve(EPOCHS)))
    assert recall.recall(now) is None
    assert storage.trial("trial-00001").newest() is None  # else it would go on from there
    assert recall.recall(then) == Trained(then, curve(EPOCHS))  # what is still suggested stays


@pytest.mark.parametrize(
    "second", [Trained({}, curve(EPOCHS)), Trained({}, curve(2), DOUBTED, False)]
)
def test_a_run_that_is_cut_off_before_that_goes_on_all_the_same(
    remember: Remember, storage: RunStorage, second: Trained
) -> None:
    """Between a trial that did otherwise and the end of what is suggested after it."""
    ours, then = config("trial-00000"), config("trial-00001", trial={"optimizer.lr": 0.25})
    now = config("trial-00001", trial={"optimizer.lr": 0.5})
    write_record(storage, Trained(ours, curve(1), DOUBTED, sure=False))
    write_record(storage, Trained(then, curve(EPOCHS)))
    resumed = remember(storage, None, resumed=True)
    resumed.recall(ours)
    resumed.keep(replace(second, config=ours))
    for _ in range(2):  # cut off here, twice
        again = remember(storage, None, resumed=True)
        assert again.recall(ours) == Trained(ours, second.curve)
        with pytest.raises(UserError, match="another trial-00001"):
            again.recall(now)  # what the search knows is not settled yet
        again.keep(replace(second, config=ours))
    assert again.recall(now) is None
    again.keep(Trained(now, curve(EPOCHS)))
    last = remember(storage, None, resumed=True)
    last.recall(ours)
    last.keep(replace(second, config=ours))
    assert last.recall(now) == Trained(now, curve(EPOCHS))


def test_an_error_that_comes_again_changes_nothing(remember: Remember, storage: RunStorage) -> None:
    ours, then = config("trial-00000"), config("trial-00001", trial={"optimizer.lr": 0.25})
    failed = Trained(ours, curve(1), DOUBTED, sure=False)
    write_record(storage, failed)
    write_record(storage, Trained(then, curve(EPOCHS)))
    recall = remember(storage, None, resumed=True)
    assert recall.recall(ours) == Trained(ours, curve(1))
    recall.keep(Trained(ours, curve(1), "loss must be finite, got inf", sure=True))
    with pytest.raises(UserError, match="another trial-00001"):
        recall.recall(config("trial-00001", trial={"optimizer.lr": 0.5}))


def test_an_error_that_may_not_come_again_is_not_kept_for_other_runs(
    remember: Remember, storage: RunStorage, store: TrialStore, tmp_path: Path
) -> None:
    ours = config("trial-00000")
    before = remember(RunStorage(tmp_path / "before"), store)
    assert before.recall(ours) is None
    before.keep(Trained(ours, curve(1), DOUBTED, sure=False))
    assert entries() == []
    with opened(10**6) as other:
        assert remember(storage, other).recall(ours) is None  # nor claimed for ever


@pytest.mark.parametrize("begun_on", ["1 × 1", "1 × 4"])
def test_what_was_begun_with_other_threads_is_not_kept_for_other_runs(
    storage: RunStorage, store: TrialStore, identity: Identity, begun_on: str
) -> None:
    ours = config("trial-00000")
    save_weights(storage, ours | {TRAINED_ON: [begun_on]}, epochs=1)
    recall = Recall(storage, identity, "mine", EPOCHS, store, resumed=True, workers="1 × 4")
    assert recall.recall(ours) is None
    recall.keep(Trained(ours, curve(EPOCHS)))
    assert len(entries()) == (begun_on == "1 × 4")
    with opened(10**6) as other:
        assert other.claim(identity.key(ours))


def test_an_error_that_an_earlier_raytl_kept_is_not_taken(
    remember: Remember, storage: RunStorage, store: TrialStore, identity: Identity
) -> None:
    ours = config("trial-00000")
    store.put(identity.key(ours), "theirs", Trained(ours, curve(1), DOUBTED, sure=False), None)
    assert remember(storage, store).recall(ours) == Trained(ours, curve(1))


@pytest.mark.parametrize("error", [None, "loss must be finite"])
def test_a_record_of_a_trial_that_did_not_run_to_its_end_is_taken_too(
    remember: Remember, storage: RunStorage, error: str | None
) -> None:
    ours = config("trial-00000")
    write_record(storage, Trained(ours, curve(1), error))
    recall = remember(storage, None, resumed=True)
    assert recall.recall(ours) == Trained(ours, curve(1), error)


def test_checkpoints_go_when_the_record_is_written(identity: Identity, tmp_path: Path) -> None:
    left = list[Errand]()
    storage = RunStorage(tmp_path / "run")
    recall = Recall(storage, identity, "tiny", EPOCHS, None, resumed=False, do=left.append)
    ours = config("trial-00000")
    storage.trial("trial-00000").save(ours, curve(EPOCHS), None, last=True)
    recall.keep(Trained(ours, curve(EPOCHS)))
    assert read_record(storage, "trial-00000") is None
    assert storage.trial("trial-00000").newest() is not None
    (errand,) = left
    errand()
    assert read_record(storage, "trial-00000") == Trained(ours, curve(EPOCHS))
    assert storage.trial("trial-00000").newest() is None


def test_checkpoints_of_a_group_go_when_all_have_ended(
    remember: Remember, storage: RunStorage
) -> None:
    names = ["trial-00000", "trial-00001"]
    group = {"group": "a", "members": [{"name": name} for name in names]}
    ours = [config(name) | {"fused": group | {"index": i}} for i, name in enumerate(names)]
    for of in ours:
        storage.trial(of["name"]).save(of, curve(EPOCHS), None, last=True)
    recall = remember(storage, None)

    def left() -> list[bool]:
        return [storage.trial(name).newest() is not None for name in names]

    recall.keep(Trained(ours[1], curve(1)))
    assert left() == [True, True]  # whoever runs next trains this one on
    recall.keep(Trained(ours[0], curve(EPOCHS)))
    assert left() == [False, False]

    # A run that is resumed knows who had ended before.
    for of in ours:
        storage.trial(of["name"]).save(of, curve(EPOCHS), None, last=True)
    resumed = remember(storage, None, resumed=True)
    taken = resumed.recall(ours[0])
    assert isinstance(taken, Trained)
    resumed.keep(taken)
    assert left() == [True, True]
    other = resumed.recall(ours[1])
    assert isinstance(other, Trained)
    resumed.keep(other)
    assert left() == [False, False]


def test_where_nothing_whole_is_kept_a_trial_is_trained_again(
    remember: Remember, storage: RunStorage
) -> None:
    ours = config("trial-00000")
    recall = remember(storage, None, resumed=True)
    assert recall.recall(ours) is None
    write_record(storage, Trained(ours, curve(EPOCHS)))
    for record in {at / "trial-00000" / FILE_NAME for at in (kept_at(storage), storage.run)}:
        record.write_bytes(record.read_bytes()[:-9])
    assert recall.recall(ours) is None


def test_a_retraining_without_its_weights_is_trained_again(
    remember: Remember, storage: RunStorage
) -> None:
    ours, failed = config("confirm-a", "confirm"), config("confirm-b", "confirm")
    write_record(storage, Trained(ours, curve(EPOCHS)))
    write_record(storage, Trained(failed, curve(1), "loss must be finite"))
    recall = remember(storage, None, resumed=True)
    assert recall.recall(ours) is None
    assert recall.recall(failed) == Trained(failed, curve(1), "loss must be finite")
    save_weights(storage, ours)
    assert recall.recall(ours) == Trained(ours, curve(EPOCHS))


def test_a_retraining_without_its_last_weights_is_trained_again(
    remember: Remember, storage: RunStorage
) -> None:
    ours = config("confirm-a", "confirm")
    write_record(storage, Trained(ours, curve(EPOCHS)))
    save_weights(storage, ours, epochs=EPOCHS - 1)
    assert remember(storage, None, resumed=True).recall(ours) is None


@pytest.mark.parametrize("kept", ["record", "checkpoint"])
@pytest.mark.parametrize("key", IDENTITY)
def test_another_trial_in_its_place_is_refused(
    remember: Remember, storage: RunStorage, key: str, kept: str
) -> None:
    ours = config("trial-00000", trial={"optimizer.lr": 0.1})
    there = ours | {key: 7}
    if key == "trial":
        there["trial"] = ours["trial"] | {"optimizer.lr": 0.25}
    if kept == "record":
        write_record(storage, Trained(there, curve(EPOCHS)))
    else:
        save_weights(storage, there, epochs=1)
    differs = {
        "trial": "trial has optimizer.lr 0.25 there, 0.1 now",
        "seed": "seed 7 there, 3 now",
        "rows_seed": "rows_seed 7 there, None now",
        "micro_batches": "micro_batches 7 there, 1 now",
    }
    with pytest.raises(UserError) as caught:
        remember(storage, None, resumed=True).recall(ours)
    assert f"another trial-00000 than the one that was trained here ({differs[key]});" in str(
        caught.value
    )
    assert remember(storage, None, resumed=True).recall(config("trial-00001")) is None


def test_how_a_trial_is_called_and_grouped_may_differ(
    remember: Remember, storage: RunStorage
) -> None:
    ours = config("trial-00000") | {"fused": {"group": "a", "index": 0, "members": []}}
    there = config("trial-00000") | {"searched": ["recipe"], "id": "7"}
    write_record(storage, Trained(there, curve(EPOCHS)))
    found = remember(storage, None, resumed=True).recall(ours)
    assert isinstance(found, Trained) and found.curve == curve(EPOCHS)


# The store


def test_a_trial_of_another_run_is_taken_and_kept_here(
    remember: Remember, storage: RunStorage, store: TrialStore, tmp_path: Path
) -> None:
    theirs, ours = config("trial-00004"), config("trial-00000")
    before = remember(RunStorage(tmp_path / "before"), store)
    assert before.recall(theirs) is None
    before.keep(Trained(theirs, curve(EPOCHS)))
    recall = remember(storage, store)
    assert take(recall, ours) == Trained(ours, curve(EPOCHS))
    assert recall.found == 1
    assert read_record(storage, "trial-00000") == Trained(ours, curve(EPOCHS))
    assert recall.recall(config("trial-00001", trial={"recipe": "dann"})) is None
    assert recall.found == 1


def test_a_failure_of_another_run_is_taken_too(
    remember: Remember, storage: RunStorage, store: TrialStore, tmp_path: Path
) -> None:
    ours = config("confirm-a", "confirm")
    failed = Trained(ours, curve(1), "loss must be finite")
    remember(RunStorage(tmp_path / "before"), store).keep(failed)
    recall = remember(storage, store)
    assert take(recall, ours) == failed
    assert (recall.found, read_record(storage, "confirm-a")) == (1, failed)


def test_why_a_trial_failed_in_another_run_is_there_to_be_read(
    remember: Remember, storage: RunStorage, store: TrialStore, tmp_path: Path
) -> None:
    ours, before = config("trial-00000"), RunStorage(tmp_path / "before")
    before.trial("trial-00000").write_error("a traceback")
    remember(before, store).keep(Trained(ours, curve(1), "loss must be finite"))
    take(remember(storage, store), ours)
    said = storage.read("trial-00000/error.txt")
    assert said is not None and said.startswith("loss must be finite\n")


def test_a_trial_that_fails_here_behind_a_known_curve_keeps_its_traceback(
    remember: Remember, storage: RunStorage, store: TrialStore, tmp_path: Path
) -> None:
    ours = config("trial-00000")
    remember(RunStorage(tmp_path / "before"), store).keep(Trained(ours, curve(2)))
    recall = remember(storage, store)
    assert recall.recall(ours) == Trained(ours, curve(2))
    storage.trial("trial-00000").write_error("a traceback")
    recall.keep(Trained(ours, curve(2), "loss must be finite"))
    assert (recall.found, storage.read("trial-00000/error.txt")) == (0, "a traceback")


def test_a_retraining_of_another_run_comes_with_its_weights(
    remember: Remember, storage: RunStorage, store: TrialStore, tmp_path: Path
) -> None:
    theirs, ours = config("confirm-x", "confirm"), config("confirm-a", "confirm")
    before = RunStorage(tmp_path / "before")
    save_weights(before, theirs)
    remember(before, store).keep(Trained(theirs, curve(EPOCHS)))
    assert take(remember(storage, store), ours) == Trained(ours, curve(EPOCHS))
    weights = storage.newest_checkpoint("confirm-a") / "checkpoint.pt"
    assert weights.read_text() == "weights of confirm-x after 3"
    assert storage.predictions("confirm-a").id_N.tolist() == [0, 1, 2, 3]
    resumed = remember(storage, None, resumed=True)
    assert resumed.recall(ours) == Trained(ours, curve(EPOCHS))


def test_a_retraining_whose_weights_came_in_part_is_taken_again(
    remember: Remember,
    storage: RunStorage,
    store: TrialStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class LostError(Exception):
        """The driver is lost."""

    def copy_a_part(source: str, target: str, **_: Any) -> None:
        there = Path(target)
        (there / COMMIT).write_bytes((Path(source) / COMMIT).read_bytes())
        (there / "checkpoint.pt").write_text("wei")
        raise LostError

    ours, before = config("confirm-a", "confirm"), RunStorage(tmp_path / "before")
    save_weights(before, ours)
    remember(before, store).keep(Trained(ours, curve(EPOCHS)))
    with monkeypatch.context() as patch:
        patch.setattr(recall_module, "copy_files", copy_a_part)
        with pytest.raises(LostError):
            remember(storage, store).recall(ours)
    assert storage.trial("confirm-a").newest() is None
    assert remember(storage, None, resumed=True).recall(ours) is None
    assert take(remember(storage, store, resumed=True), ours) == Trained(ours, curve(EPOCHS))
    assert storage.predictions("confirm-a").id_N.tolist() == [0, 1, 2, 3]


def test_a_retraining_that_the_store_has_without_weights_is_trained_again(
    remember: Remember, storage: RunStorage, store: TrialStore, identity: Identity
) -> None:
    ours = config("confirm-a", "confirm")
    store.put(identity.key(ours), "theirs", Trained(ours, curve(EPOCHS)), None)
    assert remember(storage, store).recall(ours) is None


def test_of_a_trial_that_was_stopped_early_the_curve_is_taken(
    remember: Remember, storage: RunStorage, store: TrialStore, tmp_path: Path
) -> None:
    ours = config("trial-00000")
    remember(RunStorage(tmp_path / "before"), store).keep(Trained(ours, curve(2)))
    recall = remember(storage, store)
    assert recall.recall(ours) == Trained(ours, curve(2))
    assert read_record(storage, "trial-00000") is None  # it may have to be trained after all
    recall.keep(Trained(ours, curve(EPOCHS)))
    assert read_record(storage, "trial-00000") == Trained(ours, curve(EPOCHS))
    assert [entry.epochs for entry in entries()] == [EPOCHS]


def test_a_trial_that_was_trained_here_after_all_is_not_counted(
    remember: Remember, storage: RunStorage, store: TrialStore, tmp_path: Path
) -> None:
    ours = config("trial-00000")
    remember(RunStorage(tmp_path / "before"), store).keep(Trained(ours, curve(1)))
    recall = remember(storage, store)
    assert recall.recall(ours) == Trained(ours, curve(1))
    recall.keep(Trained(ours, curve(EPOCHS)))
    assert recall.found == 0


def test_a_curve_that_is_cut_sooner_here_stays_whole_in_the_store(
    remember: Remember,
    storage: RunStorage,
    store: TrialStore,
    other: TrialStore,
    identity: Identity,
    tmp_path: Path,
) -> None:
    ours = config("trial-00000")
    remember(RunStorage(tmp_path / "before"), store).keep(Trained(ours, curve(2)))
    recall = remember(storage, store)
    assert recall.recall(ours) == Trained(ours, curve(2))
    recall.keep(Trained(ours, curve(1)))
    assert read_record(storage, "trial-00000") == Trained(ours, curve(1))
    assert other.claim(identity.key(ours))
    assert [entry.epochs for entry in entries()] == [2]


def test_an_entry_that_was_altered_is_trained_again(
    remember: Remember, storage: RunStorage, store: TrialStore, identity: Identity
) -> None:
    ours = config("trial-00000")
    key = identity.key(ours)
    store.put(key, "theirs", Trained(ours, curve(EPOCHS)), None)
    (store_folder() / key / FILE_NAME).write_text(Trained(ours, curve(EPOCHS, 0.9)).dump())
    recall = remember(storage, store)
    assert recall.recall(ours) is None
    recall.keep(Trained(ours, curve(EPOCHS)))
    assert recall.recall(ours) == Trained(ours, curve(EPOCHS))


def test_without_a_store_nothing_is_taken_from_it_nor_kept_there(
    remember: Remember, storage: RunStorage, store: TrialStore, identity: Identity
) -> None:
    ours, more = config("trial-00000"), config("trial-00001", trial={"recipe": "dann"})
    store.put(identity.key(ours), "theirs", Trained(ours, curve(EPOCHS)), None)
    recall = remember(storage, None)
    assert recall.recall(ours) is None
    recall.keep(Trained(more, curve(EPOCHS)))
    assert read_record(storage, "trial-00001") == Trained(more, curve(EPOCHS))
    assert [entry.key for entry in entries()] == [identity.key(ours)]
    assert store.claim(identity.key(ours))


# Several processes


def test_what_another_process_trains_is_waited_for(
    remember: Remember, storage: RunStorage, store: TrialStore, other: TrialStore, tmp_path: Path
) -> None:
    ours = config("trial-00000")
    theirs = remember(RunStorage(tmp_path / "theirs"), other)
    assert theirs.recall(ours) is None
    recall = remember(storage, store)
    assert recall.recall(ours) == "busy"
    theirs.keep(Trained(ours, curve(EPOCHS)))
    assert recall.recall(ours) == Trained(ours, curve(EPOCHS))


def test_what_another_process_gave_up_is_trained_here(
    remember: Remember, storage: RunStorage, store: TrialStore, other: TrialStore, tmp_path: Path
) -> None:
    ours = config("trial-00000")
    assert remember(RunStorage(tmp_path / "theirs"), other).recall(ours) is None
    recall = remember(storage, store)
    assert recall.recall(ours) == "busy"
    other.close()
    assert recall.recall(ours) is None
    assert remember(RunStorage(tmp_path / "theirs"), other).recall(ours) == "busy"


def test_what_another_process_ended_just_now_is_taken_and_not_held(
    remember: Remember,
    storage: RunStorage,
    store: TrialStore,
    other: TrialStore,
    identity: Identity,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ours = config("trial-00000")

    def claim_late(key: str) -> bool:
        other.put(key, "theirs", Trained(ours, curve(EPOCHS)), None)
        return claim(key)

    claim = store.claim
    monkeypatch.setattr(store, "claim", claim_late)
    recall = remember(storage, store)
    assert take(recall, ours) == Trained(ours, curve(EPOCHS))
    assert recall.found == 1
    assert other.claim(identity.key(ours))


def test_a_trial_that_ended_is_claimed_no_more(
    remember: Remember,
    storage: RunStorage,
    store: TrialStore,
    other: TrialStore,
    identity: Identity,
) -> None:
    ours = config("trial-00000")
    recall = remember(storage, store)
    assert recall.recall(ours) is None
    assert not other.claim(identity.key(ours))
    recall.keep(Trained(ours, curve(1), "loss must be finite"))
    assert other.claim(identity.key(ours))


# What is kept


def test_weights_are_kept_of_retrainings_alone(
    remember: Remember, storage: RunStorage, store: TrialStore, identity: Identity
) -> None:
    searched, retrained = config("trial-00000"), config("confirm-a", "confirm")
    recall = remember(storage, store)
    for of in (searched, retrained):
        save_weights(storage, of)
        recall.keep(Trained(of, curve(EPOCHS)))
    assert storage.trial("trial-00000").newest() is None
    assert storage.trial("confirm-a").newest() is not None
    found = {of["phase"]: store.find(identity.key(of)) for of in (searched, retrained)}
    assert found["search"] == (Trained(searched, curve(EPOCHS)), None)
    assert found["confirm"] is not None and found["confirm"][1] is not None
    assert (found["confirm"][1] / PREDICTIONS).exists()
    assert {entry.study for entry in entries()} == {"mine"}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (RaytlError("the disk is full; nothing was kept"), "the disk is full; nothing was kept"),
        (OSError(errno.EROFS, "Read-only file system"), "[Errno 30] Read-only file system"),
    ],
)
def test_a_store_that_fails_is_given_up_and_that_is_said(
    remember: Remember,
    storage: RunStorage,
    store: TrialStore,
    other: TrialStore,
    identity: Identity,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    said: str,
) -> None:
    def fail(*_: Any) -> None:
        raise error

    ours, more = config("trial-00000"), config("trial-00001", trial={"recipe": "dann"})
    recall = remember(storage, store)
    assert recall.recall(ours) is None and recall.recall(more) is None
    assert recall.store_failed is None
    monkeypatch.setattr(store, "put", fail)
    recall.keep(Trained(ours, curve(EPOCHS)))
    assert recall.store_failed == said
    assert other.claim(identity.key(ours)) and other.claim(identity.key(more))
    assert recall.recall(more) is None  # not "busy": nobody is asked any more
    recall.keep(Trained(more, curve(EPOCHS)))
    for of in (ours, more):
        assert read_record(storage, of["name"]) == Trained(of, curve(EPOCHS))


def test_a_store_that_cannot_be_made_is_given_up_and_that_is_said(
    remember: Remember, storage: RunStorage, store: TrialStore
) -> None:
    store_folder().parent.mkdir(exist_ok=True)
    store_folder().touch()  # a file
    recall = remember(storage, store)
    assert recall.recall(config("trial-00000")) is None
    assert recall.store_failed is not None


# With the searcher


def value(of: Config, epoch: int) -> float:
    """Return what a trial comes to: the lower its learning rate the less."""
    return float(of["trial"]["optimizer.lr"]) * (1 + epoch / 10)


def search_through(study: Study, recall: Recall) -> tuple[list[str], list[Record]]:
    """Search a study one trial at a time; return what had to be trained and what became of all."""
    checked, objective = preflight(study), objective_metric(study)
    space, trained = checked.space, []
    sampler = open_sampler(study, space, objective)
    search = StudySearch(study, space, sampler, objective, controls=checked.controls, memory=recall)
    while (of := search.suggest()) is not None:
        trained.append(of["name"])
        for epoch in range(1, EPOCHS + 1):
            if not search.report(of["name"], {"epoch": epoch, objective.name: value(of, epoch)}):
                break
        search.end(of["name"])
    assert search.finished
    return trained, search.records()


def test_what_was_searched_before_is_not_trained_again(
    tiny_study: Callable[..., Study], store: TrialStore, other: TrialStore, tmp_path: Path
) -> None:
    study = resolved(
        tiny_study(
            space={"optimizer.lr": {"choice": [0.5, 0.4, 0.3, 0.6]}},
            search={"sampler": "grid", "trials": 4, "scheduler": "asha", "control_tries": 1},
            train={"epochs": EPOCHS, "batch_size": 8, "steps_per_epoch": 3},
        ),
        num_bytes=1000,
    )
    identity = Identity.of(preflight(study), "cpu")

    def recall(run: str, store: TrialStore | None, *, resumed: bool = False) -> Recall:
        storage = RunStorage(tmp_path / run)
        return Recall(storage, identity, "mine", EPOCHS, store, resumed=resumed)

    first = recall("first", store)
    trained, records = search_through(study, first)
    assert len(trained) == 7 and first.found == 0
    searched = [record for record in records if record.config["control"] is None]
    assert [record.status for record in searched] == [
        "completed", "stopped early", "stopped early", "completed",
    ]  # fmt: skip

    second = recall("second", store)
    assert search_through(study, second) == ([], records)
    assert second.found == 7
    assert all(other.claim(identity.key(record.config)) for record in records)
    other.close()

    for run in ("first", "second"):
        again = recall(run, None, resumed=True)
        assert search_through(study, again) == ([], records)
        assert again.found == 0
