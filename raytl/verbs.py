"""The verbs of the command line, for Python: `raytl.sweep(...)` and the others.

Importing this module loads neither torch nor Ray; each verb loads what it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raytl.config import Study, load_study
from raytl.data_verbs import inspect as inspect
from raytl.data_verbs import new as new
from raytl.data_verbs import shard as shard
from raytl.files import check_writable
from raytl.folders import rooted
from raytl.model_verbs import export as export
from raytl.model_verbs import predict as predict
from raytl.model_verbs import refit as refit
from raytl.run_verbs import clean as clean
from raytl.run_verbs import compare as compare
from raytl.run_verbs import report as report
from raytl.urls import Url, place_of

if TYPE_CHECKING:
    from raytl.models.source_spec import SourceSpec
    from raytl.sweeping.kept.trial_store import Entry
    from raytl.sweeping.on_ray.doctor import Finding
    from raytl.sweeping.ranked import Ranked
    from raytl.sweeping.study_run import StudyResult


def pretrain(dataset: Path | str, backbone: str, out: Path | str, **options: Any) -> SourceSpec:
    """Train a source model from scratch on a dataset with labels.

    Args:
        dataset: The dataset's folder or URL.
        backbone: Which network: lenet, small_cnn, resnet18, …
        out: Folder or URL of the new source model.
        options: epochs (5), batch_size (128), optimizer (an `OptimizerConfig`), seed (0), threads
            of torch (all cores), force (replace what stands at `out`), progress (takes the metrics
            of each epoch), args (of the backbone).

    Returns:
        What the source model is: its parts, classes, task and score on validation rows.

    Raises:
        ModelError: There is no such backbone, or it cannot read the rows.
        DataError: The dataset cannot be used.
        UserError: `out` exists already, and `force` is not given.

    Examples:
        >>> spec = raytl.pretrain("data/digits", "lenet", "sources/lenet", epochs=1)
        >>> spec.blocks
        3
    """
    from raytl.training.pretrain import pretrain as train

    return train(place_of(dataset), backbone, place_of(out), **options)


def sweep(
    study: Study | Path | str,
    out: Path | str | None = None,
    *,
    resume: bool = False,
    store: bool = True,
    overrides: list[str] | None = None,
) -> StudyResult:
    """Run a study and write its report; see `sweeping.study_run.run_study`."""
    checked = study if isinstance(study, Study) else load_study(study, overrides)
    run = Path(out) if out is not None else rooted("runs") / checked.study

    # What is wrong is said before torch and Ray are imported, which takes seconds.
    from raytl.sweeping.opening import open_study
    from raytl.sweeping.run_folder import check_run_folder

    if checked.resources.storage_path is None:
        check_run_folder(checked, run, resume)
    judged = open_study(checked).study

    from raytl.ctrl_c import answered
    from raytl.reporting.html import write_report
    from raytl.reporting.sparing import Sparing, spared
    from raytl.reporting.tensorboard import TensorBoard, write_end
    from raytl.sweeping.insight.keeping import keep_insight
    from raytl.sweeping.kept.storage import RunStorage
    from raytl.sweeping.search.objective import objective_metric
    from raytl.sweeping.study_run import run_study

    board = TensorBoard(run, judged, objective_metric(judged))
    told = Sparing(board, "TensorBoard's files are written no more")
    with answered("stopping (epochs that are done are kept); go on with resume=True"):
        result = run_study(checked, run, resume=resume, store=store, listeners=[told])
    write_end(board, result, checked)
    missing: list[str] = []
    if result.confirmation is not None or result.leaderboard.unconfirmed is not None:
        missing = keep_insight(checked, run, result.leaderboard, result.confirmation, anew=True)
    with spared("the report is not written", f"`raytl report {run}` tries again"):
        write_report(run, missing)
    RunStorage(run, checked.resources.storage_path).push()
    return result


def stored_trials() -> list[Entry]:
    """Return the trials that later studies need not train again, the last used first."""
    from raytl.sweeping.kept.trial_store import entries

    return entries()


def clear_store() -> int:
    """Delete all of them; return how many there were."""
    from raytl.sweeping.kept.trial_store import clear

    return clear()


def rank(
    study: Study | Path | str, *, overrides: list[str] | None = None, out: Path | str | None = None
) -> list[Ranked]:
    """Score the study's source models on the labelled target rows, before any training.

    Args:
        study: A study file, or a checked `Study`.
        overrides: KEY.PATH=VALUE each, over what the file says.
        out: A file for the scores, as JSON.

    Returns:
        The scores of each source model: LogME, H-score, N-LEEP and size.

    Raises:
        ConfigError: The study does not hold, or has no labels to score by.
        ModelError: A source model cannot be built.

    Examples:
        >>> [ranked.source_model for ranked in raytl.rank("runs/stripes/study.yaml")]
        ['fresh']
    """
    from raytl.sweeping.opening import open_study

    checked = study if isinstance(study, Study) else load_study(study, overrides)
    if out is not None:
        check_writable(Path(out), [] if isinstance(study, Study) else [Path(study)])
    open_study(checked)

    from raytl.sweeping.preflight import preflight
    from raytl.sweeping.ranked import save_ranking
    from raytl.sweeping.ranking import rank_source_models

    ranking = rank_source_models(preflight(checked))
    if out is not None:
        save_ranking(ranking, Path(out))
    return ranking


def doctor(
    study: Study | Path | str | None = None,
    *,
    address: str | None = None,
    room: bool = False,
    say: Callable[[str], None] = print,
) -> list[Finding]:
    """Look on every node of a cluster for what usually goes wrong.

    Args:
        study: A study, for its data and its storage; or the URL where runs are to be kept.
        address: The cluster's; RAY_ADDRESS or this machine by default.
        room: Let the autoscaler bring nodes for a trial first.
        say: Hears what is being waited for.

    Returns:
        What was looked at: `.level` (ok, warning, failure), `.check` and `.text` each.

    Raises:
        ConfigError: The study does not hold.
        RaytlError: No cluster is at the address.

    Examples:
        >>> {finding.level for finding in raytl.doctor()} <= {"ok", "warning", "failure"}
        True
    """
    from raytl.sweeping.on_ray.doctor import examine_cluster

    place = place_of(study) if isinstance(study, str | Path) else None
    storage = place if isinstance(place, Url) else None
    if isinstance(place, Path):
        study = load_study(place)
    checked = study if isinstance(study, Study) else None
    return examine_cluster(checked, address, storage=storage, room=room, say=say)


def watch_spot(
    cloud: str = "auto",
    *,
    node_id: str | None = None,
    metadata: str | None = None,
    say: Callable[[str], None] = print,
) -> None:
    """Watch over this machine's Ray node and drain it when the cloud announces that it takes the
    machine away; see `sweeping.on_ray.spot_watch`."""
    from raytl.sweeping.on_ray.spot_notices import ADDRESS
    from raytl.sweeping.on_ray.spot_watch import watch_spot as watch

    watch(cloud, node_id, say, metadata or ADDRESS)
