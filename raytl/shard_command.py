"""`raytl shard`: its options, its progress, and what it says in the end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from raytl import shard_flags as flags
from raytl import verbs
from raytl.errors import ConfigError, RaytlError
from raytl.folders import printable
from raytl.terminal import log_console, out_console


def shard(
    ctx: typer.Context,
    kind: Annotated[
        str,
        typer.Argument(
            help="image-folder, arrays, torchvision, mnist, table, text-lines, text-pairs, "
            "audio-folder, series, mask-folder, box-folder, huggingface, webdataset; digits, "
            "diabetes and rendered-digits make their own rows."
        ),
    ],
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SOURCE] [OUT]",
            help="Where the files are, and the new folder; each may be a URL, SOURCE of "
            "image-folder, audio-folder, table and webdataset.",
        ),
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="The new folder or URL, instead of OUT at the end.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes of a Ray cluster, or of this machine, that read and write shards; what "
            "the same command wrote before a stop is kept."
        ),
    ] = None,
    test: flags.Test = None,
    validation: flags.Validation = None,
    seed: flags.Seed = None,
    split: flags.Split = None,
    split_column: flags.SplitColumn = None,
    group: flags.Group = None,
    where: flags.Where = None,
    skip_bad: flags.SkipBad = False,
    target: flags.Target = None,
    task: flags.Task = None,
    classes: flags.Classes = None,
    positive: flags.Positive = None,
    unlabelled: flags.Unlabelled = False,
    void: flags.Void = None,
    text: flags.Text = None,
    image: flags.Image = None,
    audio: flags.Audio = None,
    number: flags.Number = None,
    category: flags.Category = None,
    drop: flags.Drop = None,
    no_header: flags.NoHeader = False,
    series_id: flags.SeriesId = None,
    time: flags.Time = None,
    horizon: flags.Horizon = None,
    window: flags.Window = None,
    step: flags.Step = None,
    season: flags.Season = None,
    delimiter: flags.Delimiter = None,
    label_first: flags.LabelFirst = False,
    class_file: flags.ClassFile = None,
    encoding: flags.Encoding = None,
    pattern: flags.Pattern = None,
    rate: flags.Rate = None,
    size: flags.Size = None,
    fit: flags.Fit = None,
    box: flags.Box = None,
    image_shape: flags.ImageShape = None,
    rows: flags.Rows = None,
    root: flags.Root = None,
    force: flags.Force = False,
) -> None:
    """Write a dataset as Arrow shards: raytl shard KIND [SOURCE] OUT."""
    source, place = _source_and_out(paths or [], out)
    options = _given(ctx.params)
    with _telling_what_stays(place, workers), _row_progress(f"shard {kind}") as progress:
        result = verbs.shard(
            kind, source, place, workers=workers, force=force, progress=progress, **options
        )
    for name in result.skipped[:5]:
        log_console.print(f"skipped {name}", highlight=False, soft_wrap=True)
    if len(result.skipped) > 5:
        log_console.print(f"… and {len(result.skipped) - 5} more skipped")
    for note in result.notes:
        log_console.print(f"note: {note}", highlight=False, soft_wrap=True)
    counts = ", ".join(f"{name} {part.rows}" for name, part in result.info.splits.items())
    done = f"{printable(place)}: {counts} rows in {result.seconds:.1f} s"
    out_console.print(done, highlight=False, soft_wrap=True)


def _source_and_out(paths: list[str], out: str | None) -> tuple[str | None, str]:
    every = paths if out is None else [*paths, out]
    if len(every) > 2 or not every:
        raise ConfigError(
            f"shard takes KIND [SOURCE] OUT, or KIND [SOURCE] --out OUT, got {len(every)} paths"
            + (f": {every}" if every else "")
        )
    return (every[0] if len(every) == 2 else None), every[-1]


@contextlib.contextmanager
def _telling_what_stays(out: str, workers: int | None) -> Iterator[None]:
    """Say, where several processes were stopped, that their shards are there."""
    try:
        yield
    except (Exception, KeyboardInterrupt):
        if workers is not None:
            from raytl.data.begun import is_begun
            from raytl.urls import place_of

            with contextlib.suppress(RaytlError):
                if is_begun(place_of(out)):
                    text = "the shards that were written stay; the same command goes on with them"
                    log_console.print(text, soft_wrap=True, highlight=False)
        raise


@contextlib.contextmanager
def _row_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function that takes (rows just done, rows in all) and moves a bar on a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    on_terminal = log_console.is_terminal
    with Progress(*columns, console=log_console, transient=True, disable=not on_terminal) as bar:
        task = bar.add_task(what, total=None)

        def advance(rows: int, total: int) -> None:
            bar.update(task, advance=rows, total=total)

        yield advance


def _given(parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the options of `raytl shard` that were given, as `ShardOptions` calls them."""
    given = {
        name: value
        for name, value in parameters.items()
        if name not in ("kind", "paths", "force", "out", "workers") and value not in (None, [], ())
        and value is not False
    }  # fmt: skip
    splits = given.pop("split", None)
    files = given.pop("class_file", None)
    if splits is not None:
        given["splits"] = _pairs(splits, "--split", "split", "NAME=IMAGES,LABELS or NAME=FILE")
    if files is not None:
        given["class_files"] = _pairs(files, "--class-file", "class", "CLASS=FILE")
    return given


def _pairs(given: list[str], option: str, what: str, form: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for pair in given:
        name, equals, value = pair.partition("=")
        if not (equals and value):
            example = "pos=good.txt" if what == "class" else "train=X,y"
            raise ConfigError(f"{option} {pair}: expected {form}, e.g. {example}")
        if name in pairs:
            raise ConfigError(f"{option} {pair}: {what} '{name}' is given twice; give it once")
        pairs[name] = value
    return pairs
