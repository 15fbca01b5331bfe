"""A whole study: preflight, controls and search, confirmation, export."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from raytl.config import Study, dump_study
from raytl.errors import RaytlError, UserError
from raytl.files import write_atomically
from raytl.folders import make_folder, sharing_note
from raytl.sweeping.board import Board
from raytl.sweeping.environment import environment, save_environment
from raytl.sweeping.exporting import export, write_model
from raytl.sweeping.identity import Identity, device_kind
from raytl.sweeping.kept.errands import Errands
from raytl.sweeping.kept.lease import Lease, leased
from raytl.sweeping.kept.records import Record, workers_of
from raytl.sweeping.kept.storage import RunStorage
from raytl.sweeping.kept.trial_store import TrialStore, opened, store_folder
from raytl.sweeping.leaderboard import Leaderboard, build_leaderboard, save_leaderboard
from raytl.sweeping.on_ray.pooling import pooled_features
from raytl.sweeping.on_ray.resources import Plan, plan, wait_for_room
from raytl.sweeping.on_ray.tuning import Cluster, ray_session, run_trials
from raytl.sweeping.preflight import Checked, preflight
from raytl.sweeping.progress import Progress
from raytl.sweeping.recall import Recall
from raytl.sweeping.resolving import resolved, spare_slots
from raytl.sweeping.run_folder import (
    check_run_folder,
    check_same,
    clear_broken,
    rounding,
    started_as,
)
from raytl.sweeping.search.asked_and_told import Listener
from raytl.sweeping.search.objective import objective_metric
from raytl.sweeping.search.sampling import open_sampler
from raytl.sweeping.search.searcher import StudySearch
from raytl.sweeping.verdict.confirmation import build_confirmation, retrained
from raytl.sweeping.verdict.confirmed import Confirmation, save_confirmation
from raytl.sweeping.verdict.confirming import Confirming, Unconfirmed
from raytl.training.published import Published, Shared
from raytl.urls import Url


@dataclass(frozen=True)
class StudyResult:
    """What a study came to. `confirmation` is None where it stopped before, or where no test row
    has a label: `leaderboard.unconfirmed` says so."""

    run: Path
    leaderboard: Leaderboard
    confirmation: Confirmation | None

    @property
    def sentences(self) -> list[str]:
        """What it says: the verdict, and what is to be known beside it; nothing where it was
        stopped."""
        if self.confirmation is None:
            return [self.leaderboard.unconfirmed] if self.leaderboard.unconfirmed else []
        verdict = self.confirmation.verdict
        return [verdict.sentence, *verdict.against_plain, *verdict.remarks]

    @property
    def stopped(self) -> bool:
        """Whether the study was interrupted and can be resumed."""
        return self.leaderboard.state == "stopped"


def run_study(
    study: Study,
    run: Path,
    *,
    resume: bool = False,
    store: bool = True,
    listeners: Sequence[Listener] = (),
) -> StudyResult:
    """Run `study` in the folder `run`; with `resume`, go on there, or start what never began.

    `store`: take trials that were trained before from the trial store, and keep trials there.
    `listeners` hear of its trials (TensorBoard, say). Raises UserError where the folder holds a run
    and `resume` is not given, or where what is resumed was started with other data or versions;
    what `preflight` raises; RaytlError where another process drives the run, where every trial
    failed, or where machines could not train one: then the study can be resumed.
    """
    storage = RunStorage(run, study.resources.storage_path)
    left_open = study.search.metric == "auto"
    study = _as_started(storage, study, resume)
    checked = preflight(study)
    checked = replace(checked, study=resolved(checked.study, checked.num_bytes, checked.kept))
    study = checked.study
    reason = checked.reason if left_open else None
    for note in (reason, sharing_note(), *checked.notes):
        if note is not None:
            _say(note)
    for warning in checked.warnings:
        _say(f"warning: {warning}")
    with contextlib.ExitStack() as driving:
        with ray_session() as cluster:
            if cluster.grows:
                wait_for_room(study, cluster.nodes, cluster.request, _say)
            budget = plan(study, cluster.nodes(), grows=cluster.grows)
            device = device_kind(study)
            facts = environment(checked, device) | {"metric_reason": reason}
            make_folder(run)
            lease = driving.enter_context(leased(storage, _say))
            _as_started(storage, study, resume)  # who held the lease may have begun it
            if resume:
                check_same(run, facts)
                for change in rounding(started_as(run) or study, study):
                    _say(f"warning: {change}")
            write_atomically(run / "study.yaml", dump_study(study))
            save_environment(facts, run)
            storage.push(whole=False)
            shared = _shared(checked, storage, cluster, budget, device)
            storage = replace(storage, shared=shared)
            with _opened(study, store) as trials, storage.being_written(), Errands() as errands:
                recall = Recall(
                    storage, Identity.of(checked, device), study.study, study.train.epochs, trials,
                    resumed=resume, workers=workers_of(study), do=errands.do,
                )  # fmt: skip
                search = _search(
                    checked, storage, (cluster, budget), recall, lease, errands, listeners
                )
        lease.check()
        return _answer(checked, storage, search, facts)


def _shared(
    checked: Checked, storage: RunStorage, cluster: Cluster, budget: Plan, device: str
) -> Shared:
    """Return what the trials share of prefix features: of large data computed now."""
    several = cluster.grows or len(cluster.nodes()) > 1
    place = storage.features
    if several and isinstance(place, Path):  # so that nodes fetch it, and map nothing shared
        place = Url("file://") / str(place).lstrip("/")
    pooled = pooled_features(
        checked, place, device.split()[0], say=_say,
        workers=budget.concurrent * checked.study.resources.workers[1],
    )  # fmt: skip
    return Shared(Published(storage.features) if several else None, pooled)


def _as_started(storage: RunStorage, study: Study, resume: bool) -> Study:
    """Return the study as it goes on in its run, or as it is where there is none; raise what
    `check_run_folder` raises."""
    if resume:
        storage.pull()
    elif storage.remote and storage.holds_a_run():
        raise UserError(
            f"resources.storage_path: {storage.path} holds a run; go on with --resume, or give "
            "another --out or storage_path"
        )
    return check_run_folder(study, storage.run, resume)


def _answer(
    checked: Checked, storage: RunStorage, search: StudySearch, facts: dict[str, Any]
) -> StudyResult:
    """Say what search and confirmation came to. `facts`: of the environment."""
    study, run = checked.study, storage.run
    storage.pull()
    leaderboard = build_leaderboard(study, search.records(), complete=search.finished)
    save_leaderboard(leaderboard, run)
    if search.stopped is not None:
        raise RaytlError(f"{run}: stopped, go on with --resume: {search.stopped}")
    if not search.finished:
        return StudyResult(run, leaderboard, None)
    _forget_groups(storage, search)
    if not leaderboard.has_result:
        failed = next((row for row in leaderboard.trials if row.error), None)
        cause = f"; the first said: {failed.error} (log: {run}/{failed.log})" if failed else ""
        raise RaytlError(f"{run}: no searched trial ran to its end{cause}")
    finished = facts | {"finished": datetime.now(UTC).isoformat(timespec="seconds")}
    if not checked.test_labels:
        save_environment(finished, run)
        return _unconfirmed(study, storage, search.records(), leaderboard)
    confirmation = build_confirmation(
        study, search.records(), checked.domains.target, run, storage.predictions
    )
    save_confirmation(confirmation, run)
    save_environment(finished, run)
    if confirmation.recommended is not None:
        clear_broken(run / "best")
        export(study, storage, confirmation, confirmation.recommended, run / "best", force=True)
    return StudyResult(run, leaderboard, confirmation)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def _opened(study: Study, store: bool) -> Iterator[TrialStore | None]:
    if not store:
        yield None
        return
    with opened(study.resources.trial_store_bytes) as trials:
        yield trials


def _search(
    checked: Checked,
    storage: RunStorage,
    on: tuple[Cluster, Plan],
    recall: Recall,
    lease: Lease,
    errands: Errands,
    listeners: Sequence[Listener],
) -> StudySearch:
    """Run search and confirmation as far as they come; return what became of them."""
    study, run, objective = checked.study, storage.run, objective_metric(checked.study)
    cluster, budget = on
    progress, board = Progress(study, objective, storage), Board(study, storage, lease, errands)
    confirming: Confirming | Unconfirmed = Unconfirmed(study)
    if checked.test_labels:
        confirming = Confirming(study, storage.predictions, redraw=checked.redraws)
    search = board.search = StudySearch(
        study,
        checked.space,
        open_sampler(study, checked.space, objective, _promising(checked, run)),
        objective,
        controls=checked.controls,
        scope=recall.scope,
        confirming=confirming,
        memory=recall,
        listeners=[progress, board, *listeners],
    )
    spare = spare_slots(study, budget.concurrent)
    if spare is not None:
        _say(spare)
    with progress.shown(search, budget, cluster.nodes):
        run_trials(study, storage, search, budget, progress, lease.check)
    if recall.found:
        _say(f"{recall.found} trials were trained before and taken from {store_folder()}")
    if recall.store_failed is not None:
        _say(f"warning: trials are kept for later studies no more: {recall.store_failed}")
    return search


def _promising(checked: Checked, run: Path) -> list[str]:
    """Return the source models in the order of the study's ranking, if it has one."""
    score = checked.study.search.ranking
    if score == "none":
        return []
    from raytl.sweeping.ranked import load_ranking, order, save_ranking
    from raytl.sweeping.ranking import rank_source_models, sizes_of

    file = run / "ranking.json"
    if not file.exists():
        save_ranking(sizes_of(checked) if score == "size" else rank_source_models(checked), file)
    known = checked.space.choices("source_model")
    return [name for name in order(load_ranking(file), score) if name in known]


def _forget_groups(storage: RunStorage, search: StudySearch) -> None:
    """Delete what is kept of groups for trials that this study has not come to."""
    configs = {record.name: record.config for record in search.records()}
    for config in configs.values():
        if config["phase"] == "search" and "fused" in config:
            names = {of["name"] for of in config["fused"]["members"]}
            for name in names - configs.keys():
                storage.trial(name).remove()
            if names - configs.keys():
                storage.trial(config["name"]).clear()


def _unconfirmed(
    study: Study, storage: RunStorage, records: Sequence[Record], leaderboard: Leaderboard
) -> StudyResult:
    """End a study whose test rows have no label: with the best trial by its objective, retrained
    once, in best/."""
    found = next((r for r in retrained(records) if r.whole), None)
    split = study.target_domain.splits.test
    sentence = f"no verdict: no row of split '{split}' has a label"
    if found is not None:
        objective = objective_metric(study)
        score = {objective.name.replace("/", "_"): found.last[objective.name]}
        config = found.config
        clear_broken(storage.run / "best")
        write_model(
            study, storage, config["trial"], (config["seed"], config["rows_seed"]), found.name,
            score, storage.run / "best", force=True,
        )  # fmt: skip
        sentence += f"; best/ holds {config['candidate']}, the best by {objective.label}"
    leaderboard = leaderboard.model_copy(update={"unconfirmed": sentence})
    save_leaderboard(leaderboard, storage.run)
    return StudyResult(storage.run, leaderboard, None)
