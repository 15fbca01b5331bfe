"""The verbs about data: looked at, written as shards, inspected. See `raytl.verbs`.

Importing this module loads neither torch nor Ray.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raytl.errors import UserError
from raytl.urls import place_of

if TYPE_CHECKING:
    from raytl.data.shard import ShardReport


def new(
    data: str,
    out: Path | str | None = None,
    *,
    minutes: float = 30.0,
    labels: int | str = "all",
    source: str | None = None,
    source_models: Path | str | Sequence[Path | str] = (),
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
        source_models: Files of weights and folders of source models to choose from, one or several.
        data_out: Where raw data come to be a dataset; by default data/NAME, or data/NAME-2 and so
            on where another stands.
        target: The target column of a table.
        pattern: How files' names say their class and group; see `raytl shard audio-folder`.
        force: Replace a study file that stands there, and the dataset that `data_out` names.
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
    from raytl.starting.asked import Asked, data_of

    given = [source_models] if isinstance(source_models, Path | str) else source_models
    models = tuple(Path(place) for place in given)
    asked = Asked(
        data, None if out is None else Path(out), minutes, labels, source, models,
        None if data_out is None else Path(data_out), target, pattern, force,
    )  # fmt: skip
    found = data_of(asked)

    from raytl.starting.new_study import new_study

    return new_study(asked, *found, say)


def shard(
    kind: str,
    source: Path | str | None,
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
    source = None if source is None else str(source)
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
    from raytl.node_cache import local_folder
    from raytl.remote_files import there
    from raytl.reporting.run_facts import BOARD, CONFIRMATION, describe_run

    place = place_of(path)
    if there(place / "dataset.json"):
        from raytl.data.dataset import Dataset
        from raytl.data.inspect_dataset import describe

        return {"kind": "dataset"} | describe(Dataset.open(place), verify=True)
    if there(place / "source.json"):
        from raytl.config.source_model import model_here
        from raytl.models.source_spec import verify_source_model

        folder = model_here(place)
        verify_source_model(folder)

        from raytl.models.source_folder import inspect_source_model

        return {"kind": "source model"} | inspect_source_model(folder)
    if there(place / BOARD):
        return {"kind": "run"} | describe_run(local_folder(place, BOARD, (BOARD, CONFIRMATION)))
    if there(place / "study.yaml"):
        return {"kind": "run", "path": str(place), "state": "no trial has ended yet"}
    raise UserError(
        f"{place}: neither a dataset (dataset.json), a source model (source.json) nor a run "
        f"({BOARD})"
    )
