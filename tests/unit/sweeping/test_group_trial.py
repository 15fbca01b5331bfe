"""Trials that train together report what each would report alone, wherever they run."""

import gc
import json
import shutil
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from ray import tune

from raytl import devices
from raytl.config import Study, TrialConfig
from raytl.errors import TrainingError
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.kept.trial_folder import COMMIT, checkpoint_name
from raytl.sweeping.on_ray import group_trial, trainable
from raytl.sweeping.on_ray.faults import Failure, MetByWorkerError
from raytl.sweeping.on_ray.trainable import APART, AVOID, FAILED, METRICS, Held, build_trainable
from raytl.sweeping.search.fusing import grouped
from raytl.training import fused_group, trial
from raytl.training.checkpoint import FILE_NAME
from raytl.training.fused import train_fused_epoch
from raytl.training.material import Material
from raytl.training.trial import TrialRun, run_trial

MakeStudy = Callable[..., Study]
Metrics = dict[str, Any]
EPOCHS = 3
BASE = {"source_model": "net", "frozen_depth": "100%", "recipe": "finetune"}
# Learning rate, dropout, seed, rows
MEMBERS = [(0.05, 0.0, 3, None), (0.01, 0.5, 3, None), (0.002, 0.2, 4, 77)]
WILD = (1e30, 0.1, 3, None)  # its loss is not finite at the second step


@pytest.fixture
def study(tiny_study: MakeStudy) -> Study:
    return tiny_study(train={"epochs": EPOCHS, "batch_size": 8, "steps_per_epoch": 6, "fuse": 3})


def suggestions(
    study: Study, members: list[tuple[float, float, int, int | None]], phase: str
) -> list[dict[str, Any]]:
    """Return the trials of a group as the searcher suggests them."""
    alone = [
        {
            "name": f"trial-{number:05d}", "phase": phase, "seed": seed, "rows_seed": rows_seed,
            "micro_batches": 1,
            "trial": TrialConfig.from_flat(
                BASE | {"optimizer.lr": lr, "head.dropout": dropout}
            ).flat(),
        }
        for number, (lr, dropout, seed, rows_seed) in enumerate(members)
    ]  # fmt: skip
    found = grouped(alone, study, "run")
    assert all("fused" in config for config in found)
    return found


@dataclass
class Machines:
    """Runs the trials of a group, each in a process of its own unless told otherwise, and counts
    the epochs that were trained for all."""

    study: Study
    storage: RunStorage
    patch: pytest.MonkeyPatch
    members: list[tuple[float, float, int, int | None]] = field(default_factory=lambda: MEMBERS)
    phase: str = "search"
    train: Callable[..., Any] = train_fused_epoch
    trained: int = 0
    said: list[dict[str, Any]] = field(default_factory=list)
    held: Held | None = None  # what the last process held

    def run(
        self, index: int, stop_after: int = EPOCHS, *, same: bool = False, node: str = "here"
    ) -> list[Metrics]:
        """Run a member until it has reported so many epochs; return those. `same`: in the process
        of the one before."""
        told: list[Metrics] = []

        def report(result: dict[str, Any]) -> None:
            self.said.append(result)
            if METRICS in result:
                told.append(json.loads(result[METRICS]))
                if len(told) == stop_after:
                    raise InterruptedError

        def count(*given: Any, **options: Any) -> Any:
            self.trained += 1
            return self.train(*given, **options)

        self.patch.setattr(tune, "report", report)
        self.patch.setattr(group_trial, "own_node", lambda: node)
        self.patch.setattr(fused_group, "train_fused_epoch", count)
        self.held = self.held if same and self.held else Held(self.study)
        config = suggestions(self.study, self.members, self.phase)[index]
        folder = self.storage.trial(config["name"])
        try:
            reporter = trainable.reporter(self.study, folder, config)
            trainable._alone(self.held, self.storage, config, reporter)
        except InterruptedError:
            pass
        return [timeless(metrics) for metrics in told]

    def files(self) -> dict[str, list[str]]:
        """Return what is kept of each trial."""
        return {
            trial.name: sorted(each.name for each in trial.iterdir())
            for trial in sorted(self.storage.run.iterdir())
        }


def timeless(metrics: Metrics) -> Metrics:
    return {name: value for name, value in metrics.items() if "seconds" not in name}


@pytest.fixture
def machines(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machines:
    return Machines(study, RunStorage(tmp_path / "run"), monkeypatch)


@pytest.fixture
def together(study: Study, tmp_path: Path) -> list[list[Metrics]]:
    """What each member of a group reports of which nobody was stopped or lost."""
    with pytest.MonkeyPatch.context() as patch:
        calm = Machines(study, RunStorage(tmp_path / "calm"), patch)
        return [calm.run(index) for index in range(3)]


def alone(
    study: Study, index: int, members: list[tuple[float, float, int, int | None]] = MEMBERS
) -> list[Metrics]:
    """Return what a member reports where it trains alone."""
    found: list[Metrics] = []
    of = suggestions(study, members, "search")[index]
    run_trial(
        Material.of(study), TrialConfig.from_flat(of["trial"]), of["seed"],
        lambda metrics, save: found.append(timeless(metrics)), rows_seed=of["rows_seed"],
    )  # fmt: skip
    return found


def close(one: list[Metrics], other: list[Metrics]) -> bool:
    return len(one) == len(other) and all(
        a == pytest.approx(b, rel=1e-3, abs=1e-4) for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 2, 0)])
@pytest.mark.parametrize("url", [None, "local://{}/kept"])
def test_each_reports_what_it_would_alone_and_all_are_trained_once(
    machines: Machines, study: Study, order: tuple[int, ...], url: str | None, tmp_path: Path
) -> None:
    machines.storage = RunStorage(tmp_path / "run", url and url.format(tmp_path))
    found = {index: machines.run(index) for index in order}
    assert machines.trained == EPOCHS
    for index in range(3):
        assert close(found[index], alone(study, index))


def test_time_is_shared(machines: Machines) -> None:
    machines.run(0)
    whole = [
        machines.storage.trial(f"trial-{index:05d}").newest().curve[-1]["seconds"]  # type: ignore[union-attr]
        for index in range(3)
    ]
    assert max(whole) < 1.5 * min(whole)
    own = json.loads(machines.said[-1][METRICS])["seconds"]
    assert own == whole[0]


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_when_somebody_is_stopped_changes_nothing_for_the_others(
    machines: Machines, together: list[list[Metrics]], order: tuple[int, ...], same: bool
) -> None:
    stopped, *others = order
    assert machines.run(stopped, stop_after=1) == together[stopped][:1]
    for index in others:
        assert machines.run(index, same=same) == together[index]
    assert machines.trained == EPOCHS
    kept = machines.storage.trial(f"trial-{stopped:05d}").newest()
    assert kept is not None and len(kept.curve) == EPOCHS  # it was trained on


def test_a_trial_that_is_lost_goes_on_with_its_group(
    machines: Machines, together: list[list[Metrics]]
) -> None:
    assert machines.run(2, stop_after=2) == together[2][:2]
    assert machines.run(2) == together[2]  # it says again what was before
    assert machines.run(0) == together[0]
    assert machines.trained == EPOCHS


def lose_weights(folder: Path, epoch: int) -> None:
    (folder / checkpoint_name(epoch) / FILE_NAME).unlink()


def lose_all(folder: Path, epoch: int) -> None:
    shutil.rmtree(folder)


def spoil(folder: Path, epoch: int) -> None:
    file = folder / checkpoint_name(epoch) / FILE_NAME
    file.write_bytes(b"x" * file.stat().st_size)


@pytest.mark.parametrize(
    ("harm", "trained"), [(lose_weights, EPOCHS + 1), (spoil, EPOCHS + 1), (lose_all, EPOCHS + 2)]
)
@pytest.mark.parametrize("harmed", [0, 1])
def test_a_group_goes_on_from_what_all_have_or_anew(
    machines: Machines, together: list[list[Metrics]], harm: Callable[..., None], trained: int,
    harmed: int,
) -> None:  # fmt: skip
    machines.run(0, stop_after=2)
    harm(machines.storage.run / f"trial-{harmed:05d}", 2)
    for index in (2, 1, 0):
        assert machines.run(index) == together[index]
    assert machines.trained == trained


def test_what_was_kept_of_another_trial_of_the_name_is_not_taken(
    machines: Machines, together: list[list[Metrics]]
) -> None:
    """Whoever resumes a run may be suggested others than before."""
    machines.members = [MEMBERS[0], (0.03, 0.1, 3, None), (0.004, 0.0, 3, None)]
    machines.run(0, stop_after=2)
    machines.members = MEMBERS
    machines.run(0)
    for index in (1, 2):
        shutil.rmtree(machines.storage.run / f"trial-{index:05d}" / checkpoint_name(EPOCHS))
        assert machines.run(index) == together[index]


def test_what_was_half_kept_is_trained_again(
    machines: Machines, together: list[list[Metrics]]
) -> None:
    machines.run(0, stop_after=2)
    (machines.storage.run / "trial-00001" / checkpoint_name(2) / COMMIT).unlink()
    for index in (1, 2, 0):
        assert machines.run(index) == together[index]
    assert machines.trained == EPOCHS + 1


def test_the_last_epoch_half_kept_does_not_start_the_group_anew(
    machines: Machines, together: list[list[Metrics]]
) -> None:
    machines.run(0)
    shutil.rmtree(machines.storage.run / "trial-00002" / checkpoint_name(EPOCHS))
    assert machines.run(2) == together[2]
    assert machines.trained == EPOCHS + 1


def test_a_group_that_memory_does_not_hold_trains_one_by_one(
    machines: Machines, study: Study
) -> None:
    def no_room(*_: Any, **__: Any) -> Any:
        raise torch.OutOfMemoryError("no more")

    machines.train = no_room
    for index in range(3):
        assert machines.run(index) == alone(study, index)


def test_only_the_member_that_diverges_fails(machines: Machines, study: Study) -> None:
    machines.members = [WILD, *MEMBERS[1:]]
    assert close(machines.run(1, node="there"), alone(study, 1, machines.members))
    with pytest.raises(MetByWorkerError) as caught:
        machines.run(0)
    failure = caught.value.failure
    assert (failure.name, failure.step, failure.node) == ("TrainingError", 2, "there")
    assert failure.kind == "doubtful" and failure.sound
    assert close(machines.run(2), alone(study, 2, machines.members))
    assert machines.trained == EPOCHS


def test_what_a_node_is_doubted_for_is_looked_at_again(
    machines: Machines, together: list[list[Metrics]]
) -> None:
    """The first node's GPU makes numbers of its own."""

    def fail(*given: Any, **options: Any) -> Any:
        _, *others = train_fused_epoch(*given, **options)
        return [TrainingError("loss must be finite, but at step 0 of 18"), *others]

    machines.train = fail
    machines.run(1, stop_after=1, node="broken")
    machines.train = train_fused_epoch
    with pytest.raises(MetByWorkerError):
        machines.run(0, node="good")
    assert machines.run(0, node="good") == together[0]
    assert machines.run(2) == together[2]


def test_what_comes_again_is_said_to_come_from_there(machines: Machines) -> None:
    machines.members = [WILD, *MEMBERS[1:]]
    machines.run(1, node="there")
    with pytest.raises(MetByWorkerError):
        machines.run(0, node="here")
    trained = machines.trained
    for _ in range(2):
        with pytest.raises(TrainingError, match="at step 2 of 18"):
            machines.run(0, node="here")
    assert machines.trained > trained
    kept = machines.storage.trial("trial-00000").failure()
    assert kept is not None and (kept["node"], kept["told"]) == ("here", True)


def test_a_group_goes_on_when_the_one_that_runs_diverges(machines: Machines, study: Study) -> None:
    machines.members = [MEMBERS[0], WILD, MEMBERS[2]]
    with pytest.raises(TrainingError, match="at step 2 of 18"):
        machines.run(1)
    for index in (0, 2):
        assert close(machines.run(index), alone(study, index, machines.members))


def test_who_diverges_late_is_as_late_where_the_group_starts_anew(machines: Machines) -> None:
    """What the others come to hangs on how many they were in each epoch."""
    sizes: list[int] = []

    def train(members: Any, *given: Any, **options: Any) -> Any:
        results = train_fused_epoch(members, *given, **options)
        sizes.append(len(members))
        late = members[0].trainer.step == 12  # the second epoch is done
        return [
            TrainingError("it diverges") if late and i == 1 and len(members) == 3 else result
            for i, result in enumerate(results)
        ]

    machines.train = train
    calm = machines.run(0)
    assert sizes == [3, 3, 2]
    shutil.rmtree(machines.storage.run / "trial-00002")
    sizes.clear()
    machines.run(2)
    assert sizes == [3, 3, 2]
    assert machines.run(0) == calm


def test_a_group_that_cannot_be_fused_trains_apart_and_says_so(
    machines: Machines, tiny_study: MakeStudy
) -> None:
    train = {"epochs": EPOCHS, "batch_size": 8, "steps_per_epoch": 6, "fuse": 3}
    machines.study = tiny_study(train=train | {"reuse_prefix": False})
    found = machines.run(0)
    assert machines.said[0] == {
        APART: suggestions(machines.study, MEMBERS, "search")[0]["fused"]["group"]
    }
    assert found == alone(machines.study, 0)
    assert list(machines.files()) == ["trial-00000"]
    machines.run(1, stop_after=1)
    assert machines.run(1) == alone(machines.study, 1)  # from its own checkpoint
    assert machines.trained == 0


def test_retrainings_keep_their_weights_and_predictions(machines: Machines) -> None:
    machines.phase = "confirm"
    for index in range(3):
        machines.run(index, stop_after=EPOCHS + 1)
    assert machines.trained == EPOCHS
    for index in range(3):
        kept = machines.storage.run / f"trial-{index:05d}"
        assert [at.name for at in kept.iterdir()] == [checkpoint_name(EPOCHS)] or index == 0
        assert machines.storage.predictions(kept.name).target_N.shape == (40,)


def test_an_error_of_its_own_ends_the_trial_alone(machines: Machines) -> None:
    machines.members = [WILD, *MEMBERS[1:]]
    config = suggestions(machines.study, machines.members, "search")[0]
    said: list[dict[str, Any]] = []
    machines.patch.setattr(tune, "report", said.append)
    build_trainable(machines.study, machines.storage)(config | {AVOID: ()})
    failure = Failure.parse(said[-1][FAILED])
    assert "at step 2 of 18" in failure.text and failure.sound


# A GPU's memory between trials


@pytest.mark.parametrize(("gpus", "held"), [(0.5, False), (1, True), (0, True)])
def test_trials_that_share_a_gpu_leave_no_group_on_it(
    study: Study, machines: Machines, monkeypatch: pytest.MonkeyPatch, gpus: float, held: bool
) -> None:
    monkeypatch.setenv("RAYTL_DEVICE", "cpu")
    resources = study.resources.model_copy(update={"gpus_per_worker": gpus})
    machines.study = study.model_copy(update={"resources": resources})
    machines.run(0, stop_after=2)
    assert machines.held is not None
    members = list(machines.held._groups.group._runs.values())  # type: ignore[union-attr]
    assert len(members) == 3
    machines.held.let_go()
    assert (machines.held._groups is not None) == held


def test_whoever_finds_the_models_gone_goes_on_from_what_is_kept(
    machines: Machines, together: list[list[Metrics]]
) -> None:
    machines.run(0, stop_after=2)
    assert machines.held is not None
    machines.held.drop_group()
    assert machines.run(0, same=True) == together[0]
    assert machines.run(1, same=True) == together[1]


def test_a_trial_of_no_group_drops_the_one_before(machines: Machines) -> None:
    machines.run(0)
    assert machines.held is not None and machines.held._groups is not None
    config = suggestions(machines.study, MEMBERS, "search")[1]
    own = {key: value for key, value in config.items() if key != "fused"} | {"name": "trial-00009"}
    folder = machines.storage.trial("trial-00009")
    machines.patch.setattr(tune, "report", lambda result: None)
    reporter = trainable.reporter(machines.study, folder, own)
    trainable._alone(machines.held, machines.storage, own, reporter)
    assert machines.held._groups is None


def test_memory_is_free_when_tune_stops_a_trial_early(
    tiny_study: MakeStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tune stops it within its report; nothing may refer to the trial's models by then."""
    built: list[Any] = []
    freed: list[list[bool]] = []

    class Seen(TrialRun):
        def __init__(self, *given: Any, **options: Any) -> None:
            super().__init__(*given, **options)
            built.append(weakref.ref(self))

    def report(result: dict[str, Any]) -> None:
        if METRICS in result:
            raise SystemExit(0)

    def free() -> None:
        gc.collect()
        freed.append([run() is None for run in built])

    monkeypatch.setattr(trial, "TrialRun", Seen)
    monkeypatch.setattr(devices, "free_gpu_memory", free)
    monkeypatch.setattr(tune, "report", report)
    config = suggestions(
        tiny_study(train={"epochs": EPOCHS, "batch_size": 8, "steps_per_epoch": 6, "fuse": 3}),
        MEMBERS, "search",
    )[0]  # fmt: skip
    del config["fused"]
    with pytest.raises(SystemExit):
        build_trainable(tiny_study(), RunStorage(tmp_path))(config)
    assert freed == [[True]]
