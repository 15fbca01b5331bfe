"""A whole study: preflight, controls and search, confirmation, export."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ray.tune import Callback
from ray.tune.experiment import Trial

from raytl.config import Study, TrialConfig, dump_study
from raytl.errors import RaytlError, UserError
from raytl.files import write_atomically
from raytl.folders import make_folder
from raytl.models.adapters import merge_adapters
from raytl.models.source_model import save_source_model
from raytl.seeds import seed_for
from raytl.sweeping.confirmation import build_confirmation, gather_retrained, retrained_trials
from raytl.sweeping.confirmed import Confirmation, save_confirmation
from raytl.sweeping.confirming import Confirming
from raytl.sweeping.environment import environment, save_environment
from raytl.sweeping.leaderboard import (
    Leaderboard,
    LeaderboardCallback,
    build_leaderboard,
    save_leaderboard,
)
from raytl.sweeping.objective import objective_metric
from raytl.sweeping.preflight import Checked, preflight
from raytl.sweeping.progress import ProgressCallback
from raytl.sweeping.resources import Plan, plan, wait_for_room
from raytl.sweeping.rounds import standing
from raytl.sweeping.run_folder import check_run_folder
from raytl.sweeping.schedulers import build_scheduler
from raytl.sweeping.searcher import StudySearch
from raytl.sweeping.selection import ran_whole
from raytl.sweeping.storage import RunStorage
from raytl.sweeping.tuning import ray_session, run_trials


@dataclass(frozen=True)
class StudyResult:
    """What a study came to. `confirmation` is None where it stopped before."""

    run: Path
    leaderboard: Leaderboard
    confirmation: Confirmation | None

    @property
    def stopped(self) -> bool:
        """Whether the study was interrupted and can be resumed."""
        return self.leaderboard.state == "stopped"


def run_study(
    study: Study, run: Path, *, resume: bool = False, callbacks: Sequence[Callback] = ()
) -> StudyResult:
    """Run `study` in the folder `run`, or go on there with `resume`.

    `callbacks` see the search's trials (TensorBoard, say). Raises UserError where the folder
    exists and `resume` is not given, or the other way round; what `preflight` raises; RaytlError
    where every trial failed.
    """
    storage = RunStorage(run, study.resources.storage_path)
    if resume:
        storage.pull()
    elif storage.remote and storage.holds_a_run():
        raise UserError(
            f"resources.storage_path: {storage.path} holds a run; go on with --resume, or give "
            "another --out or storage_path"
        )
    check_run_folder(study, run, resume)
    checked = preflight(study)
    for warning in checked.warnings:
        _say(f"warning: {warning}")
    facts = environment(checked, run)
    with ray_session() as cluster:
        if cluster.grows:
            wait_for_room(study, cluster.nodes, cluster.request, _say)
        budget = plan(study, cluster.nodes(), grows=cluster.grows)
        make_folder(run)
        write_atomically(run / "study.yaml", dump_study(study))
        save_environment(facts, run)
        storage.push()
        trials, expected = _run(checked, storage, budget, resume, callbacks)
    storage.pull()
    leaderboard = build_leaderboard(study, trials, run, expected)
    save_leaderboard(leaderboard, run)
    if leaderboard.state == "complete" and not leaderboard.has_result:
        failed = next((row for row in leaderboard.trials if row.error), None)
        cause = f"; the first said: {failed.error} (log: {failed.log})" if failed else ""
        raise RaytlError(f"{run}: no searched trial ran to its end{cause}")
    confirmation = _confirmation(checked, storage, trials)
    save_environment(facts | {"finished": datetime.now(UTC).isoformat(timespec="seconds")}, run)
    if confirmation is not None and confirmation.recommended is not None:
        export(study, storage, confirmation, confirmation.recommended, run / "best", force=True)
    return StudyResult(run, leaderboard, confirmation)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _run(
    checked: Checked,
    storage: RunStorage,
    budget: Plan,
    resume: bool,
    callbacks: Sequence[Callback],
) -> tuple[list[Trial], int]:
    """Run search and confirmation; return their trials and how many the search should have."""
    study, run, objective = checked.study, storage.run, objective_metric(checked.study)
    confirming = Confirming(study, storage.predictions, redraw=checked.redraws)
    search = StudySearch(study, checked.space, objective, _promising(checked, run), confirming)
    board = LeaderboardCallback(study, run, search.num_searched)
    trials = run_trials(
        study,
        storage,
        search,
        budget,
        scheduler=build_scheduler(study, objective.name, objective.mode),
        callbacks=[ProgressCallback(objective, budget.text, run), board, *callbacks],
        resume=resume,
    )
    return trials, search.num_searched


def _promising(checked: Checked, run: Path) -> list[str]:
    """Return the source models in the order of the study's ranking, if it has one."""
    score = checked.study.search.ranking
    if score == "none":
        return []
    from raytl.sweeping.ranking import load_ranking, order, rank_source_models, save_ranking

    file = run / "ranking.json"
    if not file.exists():
        save_ranking(rank_source_models(checked), file)
    known = checked.space.choices("source_model")
    return [name for name in order(load_ranking(file), score) if name in known]


def _confirmation(
    checked: Checked, storage: RunStorage, trials: Sequence[Trial]
) -> Confirmation | None:
    """Gather the confirmation and save it. None where it was interrupted."""
    study, read = checked.study, storage.predictions
    if not all(trial.is_finished() for trial in trials) or _lacks_retrainings(study, trials):
        return None
    if standing(study, gather_retrained(study, trials, read)).wanted:
        return None
    confirmation = build_confirmation(study, trials, checked.target, storage.run, read)
    save_confirmation(confirmation, storage.run)
    return confirmation


def _lacks_retrainings(study: Study, trials: Sequence[Trial]) -> bool:
    """Whether retrainings that were asked for are missing, or those of the search's best."""
    retrained = retrained_trials(trials)
    if not retrained or len(retrained) < max(trial.config["count"] for trial in retrained):
        return True
    whole = [trial for trial in trials if trial not in retrained and ran_whole(study, trial)]
    wants_candidate = any(trial.config["control"] is None for trial in whole)
    return wants_candidate and all(trial.config["control"] for trial in retrained)


def export(
    study: Study,
    storage: RunStorage,
    confirmation: Confirmation,
    name: str,
    out: Path,
    *,
    force: bool = False,
) -> None:
    """Write a confirmed candidate's first good seed as a source model in `out`.

    Raises UserError that lists the candidates where `name` is none of them, or where `out` exists
    without `force`.
    """
    from raytl.training.building import build_trial, target_classes
    from raytl.training.checkpoint import load_checkpoint

    candidate = confirmation.candidate(name)
    good = next((r for r in candidate.runs if r.accuracy is not None), None) if candidate else None
    if candidate is None or good is None:
        known = ", ".join(f"'{c.name}'" for c in confirmation.candidates if c.n)
        raise UserError(f"no confirmed candidate '{name}' with a good seed; there are {known}")
    trial = TrialConfig.from_flat(candidate.config)
    parts = build_trial(study, trial, seed_for(study.search.seed, "confirm", good.seed))
    load_checkpoint(storage.newest_checkpoint(good.folder), parts.model)
    merge_adapters(parts.model)
    spec = parts.source_model.spec.model_copy(
        update={
            "classes": target_classes(study),
            "mapper": trial.mapper,
            "head": trial.head,
            "trained_on": {
                "study": study.study,
                "source_model": trial.source_model,
                "recipe": trial.recipe,
                "dataset": study.target_domain.dataset.name,
            },
            "score": {"test_accuracy": candidate.mean, "standard_error": candidate.standard_error},
        }
    )
    model = parts.model
    save_source_model(
        out, backbone=model.backbone, spec=spec, mapper=model.mapper, head=model.head, force=force
    )
