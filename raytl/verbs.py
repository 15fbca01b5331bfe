"""The verbs of the command line, for Python: `raytl.sweep(...)` and the others.

Importing this module loads neither torch nor Ray; each verb loads what it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raytl.config import Study, load_study
from raytl.errors import UserError
from raytl.files import check_writable
from raytl.folders import rooted
from raytl.model_verbs import export as export
from raytl.model_verbs import predict as predict
from raytl.urls import Url, place_of

if TYPE_CHECKING:
    from raytl.data.shard import ShardReport
    from raytl.models.source_spec import SourceSpec
    from raytl.reporting.comparing import Group
    from raytl.sweeping.cleaning import Cleaned
    from raytl.sweeping.kept.trial_store import Entry
    from raytl.sweeping.on_ray.doctor import Finding
    from raytl.sweeping.ranking import Ranked
    from raytl.sweeping.study_run import StudyResult


def new(
    data: str,
    out: Path | str | None = None,
    *,
    minutes: float = 30.0,
    labels: int | str = "all",
    source: str | None = None,
    source_models: Sequence[Path | str] = (),
    data_out: Path | str | None = None,
    target: str | None = None,
    pattern: str | None = None,
    force: bool = False,
    say: Callable[[str], None] = print,
) -> Path:
    """Write a commented study of a dataset or of raw data.

    Args:
        data: A dataset's folder, or raw data that `raytl shard` reads: a folder of classes, a
            table, texts, sounds, …
        out: The study file; by default DATA.yaml here.
        minutes: How long the study may take, which trials and epochs are reckoned from.
        labels: How many labels of each class, "all" or "none", which needs `source`.
        source: The source domain's data, like `data`.
        source_models: Files of weights and folders of source models to choose from.
        data_out: Where raw data come to be a dataset; by default data/NAME.
        target: The target column of a table.
        pattern: How files' names say their class and group; see `raytl shard audio-folder`.
        force: Replace a study file that stands there.
        say: Is told what is done.

    Returns:
        The study file.

    Raises:
        UserError: There is no such data, nothing in it is recognised, or the file stands already.
        ConfigError: What is asked for cannot be studied with these data.
        DataError: The data cannot be read, or are too few.
        ModelError: A source model cannot be loaded.

    Examples:
        >>> print(raytl.new("data/digits", minutes=1, say=lambda text: None))
        digits.yaml
    """
    from raytl.starting.new_study import Asked, new_study

    models = tuple(Path(place) for place in source_models)
    asked = Asked(
        data, None if out is None else Path(out), minutes, labels, source, models,
        None if data_out is None else Path(data_out), target, pattern, force,
    )  # fmt: skip
    return new_study(asked, say)


def shard(
    kind: str,
    source: str | None,
    out: Path | str,
    *,
    workers: int | None = None,
    **options: Any,
) -> ShardReport:
    """Write a dataset's Arrow shards from files. For data that Python holds see `raytl.dataset`.

    Args:
        kind: What `source` is: image-folder, table, text-lines, audio-folder, series, …, as
            `raytl shard --help` lists them.
        source: Where the files are; None of a kind that makes its own rows.
        out: The new folder, or a URL.
        workers: So many processes of a Ray cluster, or of this machine where there is none, read
            and write shards, the same bytes; what the same call wrote before it was stopped is
            kept. None: this process.
        options: Those of `raytl shard`, with _ for -: `test=0.2`, `target="label"`; `force=True`
            replaces what stands at `out`.

    Returns:
        What was written (`.info`), which files were left out and why (`.skipped`), and what else
        should be known (`.notes`).

    Raises:
        ConfigError: An unknown kind, or an option that does not hold or means nothing to it.
        DataError: Data that cannot be used; the message has the file and the line.
        UserError: `out` exists already, and `force` is not given.

    Examples:
        >>> written = raytl.shard("digits", None, "data/digits", size=28)
        >>> {name: split.rows for name, split in written.info.splits.items()}
        {'train': 1000, 'test': 797}
    """
    from raytl.data.shard import check, shard_checked, shard_options

    run = {name: options.pop(name) for name in ("force", "progress") if name in options}
    checked, place = shard_options(**options), place_of(out)
    if workers is not None and workers < 1:
        raise UserError(f"shard: --workers >= 1 must hold, got {workers}; leave it out for one")
    check(kind, source, place, checked, bool(run.get("force")), in_parts=workers is not None)
    if workers is None:
        return shard_checked(kind, source, place, options=checked, **run)

    # What is wrong is said before Ray is imported and started, which takes seconds.
    from raytl.sweeping.on_ray.sharding import on_cluster
    from raytl.sweeping.on_ray.tuning import ray_session

    with ray_session():
        return shard_checked(kind, source, place, options=checked, each=on_cluster(workers), **run)


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
    from raytl.reporting.samples import sample_images
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
    with spared("TensorBoard's files lack what is known in the end"):
        write_end(board, result, checked, sample_images(checked))
    if result.confirmation is not None or result.leaderboard.unconfirmed is not None:
        keep_insight(checked, run, result.leaderboard, result.confirmation, anew=True)
    with spared("the report is not written", f"`raytl report {run}` tries again"):
        write_report(run)
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
        check_writable(Path(out))
    open_study(checked)

    from raytl.sweeping.preflight import preflight
    from raytl.sweeping.ranking import rank_source_models, save_ranking

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


def report(run: Path | str) -> Path:
    """Write `report.html` of a run again. What was transferred is computed where the run has not
    kept it, and data and weights are at hand.

    Args:
        run: The run's folder.

    Returns:
        The report's path.

    Raises:
        UserError: The folder is no run with a leaderboard.
        CorruptError: Its files are not as they were written.

    Examples:
        >>> print(raytl.report("runs/stripes"))
        runs/stripes/report.html
    """
    if not (Path(run) / "leaderboard.json").exists():
        raise UserError(f"{run}: not a run folder with a leaderboard; run `raytl sweep` first")
    from raytl.reporting.report.reading import read_board

    board = read_board(Path(run))

    from raytl.reporting.html import write_report
    from raytl.reporting.looking_again import look_again

    return write_report(Path(run), look_again(Path(run), board))


def compare(runs: Sequence[Path | str], out: Path | str = "compare.html") -> list[Group]:
    """Write an HTML page that lays runs side by side.

    Args:
        runs: The runs' folders, two or more.
        out: The page.

    Returns:
        The runs by what they are judged by: metric, data and test split.

    Raises:
        UserError: There are fewer than two, one is given twice or is no run, or `out` cannot be
            written.
        CorruptError: A run's files are not as they were written.

    Examples:
        >>> from shutil import copytree
        >>> other = copytree("runs/stripes", "runs/again")
        >>> [len(group.runs) for group in raytl.compare(["runs/stripes", "runs/again"])]
        [2]
    """
    from raytl.reporting.comparing import compared, write_comparison

    check_writable(Path(out))
    groups = compared([Path(run) for run in runs])
    write_comparison(groups, Path(out))
    return groups


def clean(run: Path | str, *, force: bool = False, dry_run: bool = False) -> Cleaned:
    """Delete what a run's folder, or what it is kept in behind a URL, holds and nobody needs.

    What is left is all that going on, `raytl report` and `raytl export` need.

    Args:
        run: The run's folder.
        force: Also of a study that has not run to its end; last checkpoints stay.
        dry_run: Delete nothing.

    Returns:
        What goes and why, and how many bytes.

    Raises:
        UserError: The folder holds no run, or one that a process drives or that has not ended.

    Examples:
        >>> raytl.clean("runs/stripes", dry_run=True).run.name
        'stripes'
    """
    from raytl.sweeping.cleaning import clean as delete

    return delete(Path(run), force=force, dry_run=dry_run)


def inspect(path: Path | str) -> dict[str, Any]:
    """Return what a dataset, source model or run holds, its checksums verified.

    Args:
        path: Its folder or URL.

    Returns:
        What there is to say of it, ready for JSON; `kind` says what it is.

    Raises:
        UserError: It is none of these.
        CorruptError: Its files are not as they were written.

    Examples:
        >>> raytl.inspect("data/digits")["splits"]["test"]["rows"]
        797
    """
    from raytl.node_cache import local_copy
    from raytl.remote_files import there
    from raytl.reporting.run_facts import describe_run

    place = place_of(path)
    if there(place / "dataset.json"):
        from raytl.data.dataset import Dataset
        from raytl.data.inspect_dataset import describe

        return {"kind": "dataset"} | describe(Dataset.open(place), verify=True)
    try:
        path = local_copy(place)
    except FileNotFoundError as error:
        raise UserError(str(error)) from None
    if (path / "source.json").exists():
        from raytl.models.source_spec import verify_source_model

        verify_source_model(path)

        from raytl.models.source_folder import inspect_source_model

        return {"kind": "source model"} | inspect_source_model(path)
    if (path / "leaderboard.json").exists():
        return {"kind": "run"} | describe_run(path)
    if (path / "study.yaml").exists():
        return {"kind": "run", "path": str(path), "state": "no trial has ended yet"}
    raise UserError(
        f"{path}: neither a dataset (dataset.json), a source model (source.json) nor a run "
        "(leaderboard.json)"
    )
