"""Batches that are read ahead are those of the feed, errors included; nobody reads on unasked."""

import gc
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest
import torch

from raytl import devices
from raytl.config import Study, TrialConfig
from raytl.data.ahead import AHEAD, AheadFeed, ahead_for
from raytl.data.batch import Batch
from raytl.data.mixing import joint_batches
from raytl.ranks import WHOLE, Share
from raytl.rows import Given, Padded, move, moved
from raytl.training import readers
from raytl.training.material import Material
from raytl.training.trial import TrialRun, run_trial

CPU = torch.device("cpu")
MakeStudy = Callable[..., Study]


class Counted:
    """Batches that are their own numbers; number `bad` cannot be read."""

    rows, batch_size, share = 8, 2, WHOLE

    def __init__(self, bad: int | None = None) -> None:
        self.bad, self.read, self.closed = bad, 0, threading.Event()

    def train_batches(self, start_step: int = 0) -> Iterator[Batch]:
        try:
            for number in range(start_step, 1000):
                if number == self.bad:
                    raise OSError(f"batch {number} cannot be read")
                self.read += 1
                yield self._batch(number)
        finally:
            self.closed.set()

    def eval_batches(self, batch_size: int = 512, share: Share = WHOLE) -> Iterator[Batch]:
        return (self._batch(number) for number in range(3))

    def _batch(self, number: int) -> Batch:
        rows = torch.full((2, 3), float(number))
        ragged = Padded(rows.unsqueeze(2), torch.tensor([[3], [2]]))
        return Batch({"a": Given(rows), "b": Given(ragged)}, torch.ones(2), torch.tensor([number]))


BEFORE = set[threading.Thread]()  # those of other tests, whose trials may not be forgotten yet


@pytest.fixture(autouse=True)
def before() -> None:
    BEFORE.clear()
    BEFORE.update(threading.enumerate())


def readers_alive() -> list[str]:
    alive = set(threading.enumerate()) - BEFORE
    return [thread.name for thread in alive if thread.name == "raytl-ahead"]


def numbers(batches: Iterator[Batch]) -> list[int]:
    return [int(batch.id) for batch in batches]


def test_they_are_the_feeds_in_its_order() -> None:
    ahead = AheadFeed(Counted(), CPU)
    assert (ahead.rows, ahead.batch_size, ahead.share) == (8, 2, WHOLE)
    assert numbers(islice(ahead.train_batches(5), 20)) == list(range(5, 25))
    assert numbers(ahead.eval_batches()) == [0, 1, 2]


def test_no_more_are_read_than_it_may_hold() -> None:
    assert AHEAD <= 2, "they are in memory that cannot be swapped out"
    feed = Counted()
    batches = AheadFeed(feed, CPU).train_batches()
    assert feed.read == 0, "nothing before the first is asked for"
    next(batches)
    most = 1 + AHEAD + 1  # given, ready, and one that waits to be put there
    end = time.monotonic() + 10
    while feed.read < most and time.monotonic() < end:
        time.sleep(0.01)
    time.sleep(0.3)
    assert feed.read == most


def test_an_error_comes_where_its_batch_would_have_come() -> None:
    batches = AheadFeed(Counted(bad=3), CPU).train_batches(1)
    assert numbers(islice(batches, 2)) == [1, 2]
    with pytest.raises(OSError, match="batch 3 cannot be read"):
        next(batches)
    assert readers_alive() == []


@pytest.mark.parametrize("how", ["closed", "forgotten", "among others"])
def test_who_reads_ends_when_nobody_asks_any_more(how: str) -> None:
    feed = Counted()
    batches: Any = AheadFeed(feed, CPU).train_batches()
    if how == "among others":
        batches = joint_batches({"target": AheadFeed(feed, CPU), "source": Counted()})
    next(batches)
    assert readers_alive() == ["raytl-ahead"]
    if how != "forgotten":
        batches.close()
    del batches
    gc.collect()
    assert feed.closed.wait(10)
    assert readers_alive() == []


def test_nothing_is_read_ahead_for_a_cpu() -> None:
    feed = Counted()
    assert ahead_for(feed, CPU) is feed
    assert isinstance(ahead_for(feed, torch.device("cuda")), AheadFeed)


def test_a_batch_for_a_gpu_is_pinned_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    pinned: list[int] = []

    def pin(values: torch.Tensor) -> torch.Tensor:
        copy = values.clone()
        pinned.append(copy.data_ptr())
        return copy

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin)
    monkeypatch.setattr(devices, "runs_beside", lambda device: True)
    (batch,) = islice(AheadFeed(Counted(), CPU).train_batches(7), 1)
    ragged = batch.inputs["b"].rows
    assert isinstance(ragged, Padded) and batch.target is not None
    assert isinstance(batch.inputs["a"].rows, torch.Tensor)
    whole = [batch.inputs["a"].rows, ragged.values, ragged.sizes, batch.target, batch.id]
    assert {part.data_ptr() for part in whole} <= set(pinned)
    assert numbers(iter([batch])) == [7]


class Asked:
    """A tensor that says how it was asked to move."""

    def to(self, device: torch.device, non_blocking: bool = False) -> tuple[str, bool]:
        return device.type, non_blocking


def test_only_on_the_way_back_the_host_waits() -> None:
    values: Any = Asked()
    assert moved(values, torch.device("cuda")) == ("cuda", True)
    assert moved(values, CPU) == ("cpu", False)
    assert move(values, torch.device("cuda", 1)) == ("cuda", True)
    ragged = move(Padded(values, values), torch.device("cuda"))
    assert isinstance(ragged, Padded)
    assert (ragged.values, ragged.sizes) == (("cuda", True), ("cuda", True))


def trained(study: Study, recipe: str, ahead: bool, patch: pytest.MonkeyPatch) -> list[Any]:
    """Return all that a trial comes to: metrics, weights, and where the generator stands."""
    patch.setattr(readers, "ahead_for", AheadFeed if ahead else lambda feed, device: feed)
    seen: list[Any] = []

    def report(metrics: dict[str, Any], save: Any) -> None:
        assert bool(readers_alive()) == ahead
        seen.append({k: v for k, v in metrics.items() if k != "train/seconds"})
        seen.append(torch.get_rng_state().tolist())

    trial = TrialConfig.from_flat({"source_model": "net", "recipe": recipe, "head.dropout": 0.5})
    parts = run_trial(Material.of(study), trial, 3, report, test=True)
    assert readers_alive() == []
    return [*seen, *(value.tolist() for value in parts.model.state_dict().values())]


@pytest.mark.parametrize("recipe", ["dann", "finetune"])
@pytest.mark.parametrize(
    "more", [{}, {"augment": {"flip": True, "crop": 2}}, {"feed": "streaming"}]
)
def test_no_bit_of_a_trial_hangs_on_it(
    tiny_study: MakeStudy, monkeypatch: pytest.MonkeyPatch, recipe: str, more: dict[str, Any]
) -> None:
    study = tiny_study(train={"epochs": 2, "batch_size": 8, "steps_per_epoch": 5} | more)
    plain = trained(study, recipe, False, monkeypatch)
    assert trained(study, recipe, True, monkeypatch) == plain


@pytest.mark.parametrize("error", [OSError, SystemExit, KeyboardInterrupt])
def test_however_a_trial_ends_nobody_reads_on(
    tiny_study: MakeStudy, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    monkeypatch.setattr(readers, "ahead_for", AheadFeed)

    def report(metrics: dict[str, Any], save: Any) -> None:
        raise error("as Tune stops a trial")

    trial = TrialConfig.from_flat({"source_model": "net", "recipe": "dann"})
    with pytest.raises(error) as caught:
        run_trial(Material.of(tiny_study()), trial, 3, report)
    assert caught.value  # whose traceback still holds the trial
    assert readers_alive() == []


def test_nor_does_anybody_where_a_pass_over_the_rows_ends_early(
    tiny_study: MakeStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "ahead_for", AheadFeed)
    run = TrialRun(Material.of(tiny_study()), TrialConfig.from_flat({"source_model": "net"}), 3)

    def fail(module: Any, given: Any) -> None:
        raise OSError("in the middle of a pass")

    run.parts.model.head.register_forward_pre_hook(fail)
    with pytest.raises(OSError, match="in the middle") as caught:
        run.judge({})
    assert caught.value
    assert readers_alive() == []
