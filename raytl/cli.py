"""The command line: parses, calls the verbs, prints."""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.exceptions
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from raytl import shard_flags as flags
from raytl import verbs
from raytl.config import OptimizerConfig, checked_options, load_study
from raytl.errors import ConfigError, RaytlError
from raytl.folders import printable, rooted
from raytl.memory import keep_freed_memory

app = typer.Typer(
    help="Find out how to transfer: deep-transfer-learning sweeps on Ray.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
PIPED_WIDTH = 120  # columns where no terminal says how many it has
out_console = Console(emoji=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
log_console = Console(stderr=True, emoji=False)

Store = Annotated[
    bool,
    typer.Option("--store/--no-store", help="Take trials that were trained before, keep these."),
]
Force = Annotated[bool, typer.Option(help="Replace what stands at OUT.")]


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failure, 2 the user's mistake, 130 Ctrl-C."""
    try:
        keep_freed_memory()
        sys.exit(app(standalone_mode=False))
    except typer.exceptions.Abort:
        log_console.print("raytl: interrupted")
        sys.exit(130)
    except typer.exceptions.TyperException as error:
        _say_usage(error)
        sys.exit(2)
    except RaytlError as error:
        log_console.print(f"raytl: {error}", style="red", markup=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        log_console.print("raytl: interrupted")
        sys.exit(130)
    except Exception as error:
        log = _log_of(error)
        text = f"raytl: {type(error).__name__}: {error}"
        log_console.print(f"{text[:300]} (the whole story: {log})", style="red", markup=False)
        sys.exit(1)


def _say_usage(error: Any) -> None:
    """Say in a line what is wrong with the words of a command; without any words, how to use it.

    `error`: typer's, whose class for usage has no public name.
    """
    if len(sys.argv) < 2:
        error.show()
        return
    command = error.ctx.command_path if error.ctx is not None else "raytl"
    text = f"{command}: {' '.join(error.format_message().split())} (see {command} --help)"
    log_console.print(text, style="red", markup=False, highlight=False, soft_wrap=True)


def _log_of(error: Exception) -> str:
    with tempfile.NamedTemporaryFile(
        "w", prefix="raytl-error-", suffix=".log", delete=False, encoding="utf-8"
    ) as file:
        file.writelines(traceback.format_exception(error))
    return file.name


def _print_json(data: Any) -> None:
    out_console.print_json(json.dumps(data, default=str))


@app.command()
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
    force: Force = False,
) -> None:
    """Write a dataset as Arrow shards: raytl shard KIND [SOURCE] OUT."""
    source, place = _source_and_out(paths or [], out)
    options = _given(ctx.params)
    with _telling_what_stays(place, workers), _row_progress(f"shard {kind}") as progress:
        result = verbs.shard(
            kind, source, place, workers=workers, force=force, progress=progress, **options
        )
    for name in result.skipped[:5]:
        log_console.print(f"skipped {name}", markup=False, highlight=False, soft_wrap=True)
    if len(result.skipped) > 5:
        log_console.print(f"… and {len(result.skipped) - 5} more skipped")
    for note in result.notes:
        log_console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)
    counts = ", ".join(f"{name} {part.rows}" for name, part in result.info.splits.items())
    done = f"{printable(place)}: {counts} rows in {result.seconds:.1f} s"
    out_console.print(done, markup=False, highlight=False, soft_wrap=True)


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


@app.command("inspect")
def inspect_(path: Annotated[str, typer.Argument(help="A folder or URL.")]) -> None:
    """Print what a dataset, source model or run holds, as JSON, and verify its checksums."""
    _print_json(verbs.inspect(path))


@app.command()
def pretrain(
    dataset: Annotated[str, typer.Option(help="Folder or URL of a dataset with labels.")],
    backbone: Annotated[str, typer.Option(help="lenet, small_cnn, resnet18, …")],
    out: Annotated[str, typer.Option(help="Folder or URL of the new source model.")],
    epochs: int = 5,
    batch_size: int = 128,
    lr: float = 0.05,
    seed: int = 0,
    threads: Annotated[int | None, typer.Option(help="Of torch; all cores by default.")] = None,
    force: Force = False,
) -> None:
    """Train a source model from scratch on a labelled dataset."""
    with checked_options("pretrain"):
        optimizer = OptimizerConfig(lr=lr)

    def show(metrics: dict[str, Any]) -> None:
        found = {
            name: metrics.get(f"target/validation_{name}") for name in ("accuracy", "r2", "miou")
        }
        score = ", ".join(f"validation {n} {v:.4f}" for n, v in found.items() if v is not None)
        log_console.print(
            f"epoch {metrics['epoch']}/{epochs}: loss {metrics['train/loss/total']:.4f}, {score}",
            highlight=False,
        )

    spec = verbs.pretrain(
        dataset, backbone, out, epochs=epochs, batch_size=batch_size,
        optimizer=optimizer, seed=seed, threads=threads, force=force, progress=show,
    )  # fmt: skip
    out_console.print(
        f"{out}: {backbone}, {spec.blocks} blocks, {spec.score_text}", highlight=False
    )


@app.command()
def rank(
    study: Annotated[Path, typer.Argument(help="The study file.")],
    out: Annotated[Path | None, typer.Option(help="JSON file of the scores.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="key.path=value, overrides the study.")
    ] = None,
) -> None:
    """Rank the study's source models on the labelled target rows, before any training."""
    ranking = verbs.rank(study, overrides=set_, out=out)
    from raytl.reporting.terminal import ranking_table

    out_console.print(ranking_table(ranking))


@app.command()
def sweep(
    study: Annotated[Path, typer.Argument(help="The study file.")],
    out: Annotated[Path | None, typer.Option(help="Run folder; runs/<study> by default.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what is in --out, if anything.")
    ] = False,
    trials: Annotated[int | None, typer.Option(help="Short for --set search.trials=N.")] = None,
    store: Store = True,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="key.path=value, overrides the study.")
    ] = None,
) -> None:
    """Run a study: controls, search, confirmation, report."""
    overrides = [*(set_ or []), *([f"search.trials={trials}"] if trials is not None else [])]
    checked = load_study(study, overrides)
    folder = out or rooted("runs") / checked.study
    again = " ".join(["raytl sweep", str(study), "--out", str(folder), "--resume"])
    again += "" if store else " --no-store"
    again += "".join(f" --set '{assignment}'" for assignment in overrides)
    try:
        result = verbs.sweep(checked, folder, resume=resume, store=store)
    except KeyboardInterrupt:
        log_console.print(f"stopped; go on with: {again}", soft_wrap=True, highlight=False)
        raise typer.Exit(130) from None
    _finish(result, again)


def _finish(result: Any, again: str) -> None:
    from raytl.reporting.terminal import leaderboard_table

    out_console.print(leaderboard_table(result.leaderboard.model_dump(mode="json")))
    if result.stopped:
        log_console.print(f"stopped; go on with: {again}", soft_wrap=True, highlight=False)
        raise typer.Exit(130)
    oracle = result.leaderboard.oracle
    if oracle is not None:
        out_console.print(oracle.sentence, highlight=False, soft_wrap=True)
    recommended = None
    if result.confirmation is None:
        sentences = [result.leaderboard.unconfirmed]
    else:
        verdict, recommended = result.confirmation.verdict, result.confirmation.recommended
        sentences = [verdict.sentence, *verdict.against_plain, *verdict.remarks]
    for place, sentence in enumerate(sentences):
        text, style = (sentence, None) if place else (f"\n{sentence}", "bold")
        out_console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)
    if recommended is not None:
        exported = f"exported:    {result.run / 'best'} ({recommended})"
        out_console.print(f"\n{exported}", soft_wrap=True, highlight=False)
    out_console.print(f"report:      {result.run / 'report.html'}", soft_wrap=True, highlight=False)
    out_console.print(f"tensorboard --logdir {result.run}", soft_wrap=True, highlight=False)


@app.command("store")
def store_(
    clear: Annotated[bool, typer.Option("--clear", help="Delete all of them.")] = False,
) -> None:
    """List the trials that later studies need not train again."""
    if clear:
        out_console.print(f"{verbs.clear_store()} trials deleted", highlight=False)
        return
    from raytl.reporting.terminal import store_sentence, store_table

    held = verbs.stored_trials()
    out_console.print(store_sentence(held), soft_wrap=True, markup=False, highlight=False)
    if held:
        out_console.print(store_table(held))


@app.command()
def doctor(
    study: Annotated[
        str | None,
        typer.Argument(help="A study file, for its data and storage; or the URL of a bucket."),
    ] = None,
    address: Annotated[
        str | None, typer.Option(help="The cluster's; RAY_ADDRESS or this machine by default.")
    ] = None,
    room: Annotated[
        bool, typer.Option("--room", help="Let the autoscaler bring nodes for a trial first.")
    ] = False,
) -> None:
    """Look on every node for what usually goes wrong; exit 1 where something does."""

    def say(text: str) -> None:
        log_console.print(text, markup=False, highlight=False, soft_wrap=True)

    findings = verbs.doctor(study, address=address, room=room, say=say)
    marks = {"ok": "ok     ", "warning": "warning", "failure": "FAILURE"}
    for finding in findings:
        text = f"{marks[finding.level]}  {finding.check}: {finding.text}"
        out_console.print(text, markup=False, highlight=False, soft_wrap=True)
    if any(finding.level == "failure" for finding in findings):
        raise typer.Exit(1)


@app.command("watch-spot")
def watch_spot(
    cloud: Annotated[str, typer.Option(help="aws, gcp, azure; what this machine says.")] = "auto",
    node_id: Annotated[
        str | None, typer.Option(help="Which node, where several run on this machine.")
    ] = None,
    metadata: Annotated[
        str | None, typer.Option(help="URL of the metadata service; the cloud's by default.")
    ] = None,
) -> None:
    """Drain this machine's Ray node when its cloud announces that it takes the machine away."""

    def say(text: str) -> None:
        log_console.print(f"{datetime.now():%F %T} {text}", markup=False, soft_wrap=True)

    verbs.watch_spot(cloud, node_id=node_id, metadata=metadata, say=say)


@app.command()
def report(run: Path) -> None:
    """Write a run's report.html again."""
    out_console.print(str(verbs.report(run)), soft_wrap=True, highlight=False)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="A run folder that has been confirmed.")],
    candidate: Annotated[str, typer.Argument(help="A confirmed one, such as 'scratch control'.")],
    out: Annotated[str, typer.Argument(help="Folder or URL of the new source model.")],
    force: Force = False,
) -> None:
    """Take another confirmed candidate than the one in best/, as a source model."""
    verbs.export(run, candidate, out, force=force)
    out_console.print(f"{out}: {candidate}", soft_wrap=True, markup=False, highlight=False)


@app.command()
def predict(
    model: Annotated[str, typer.Argument(help="A source model with a head, as a run's best/.")],
    dataset: Annotated[str, typer.Argument(help="Folder or URL of a dataset.")],
    split: str = "test",
    out: Annotated[
        str | None,
        typer.Option(help="CSV file of the predictions; with --workers a folder or URL."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes of a Ray cluster that write Parquet files.")
    ] = None,
    gpus: Annotated[float, typer.Option(help="GPUs of each of the workers.")] = 0,
) -> None:
    """Predict a split of a dataset and print the accuracy; of values RMSE and R²."""
    found = verbs.predict(model, dataset, split=split, out=out, workers=workers, gpus=gpus)
    _print_json(found)


@app.command()
def demo(
    name: Annotated[str, typer.Argument(help="Which one; see --list.")] = "images",
    list_: Annotated[bool, typer.Option("--list", help="Say which there are.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for data, sources and run; raytl-demo by default, or raytl-demo-NAME."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after a stop.")] = False,
    store: Store = True,
) -> None:
    """One study of each modality, end to end, offline, in minutes."""
    from raytl.demo import DEMOS, demo_named, run_demo

    if list_:
        for known, of in DEMOS.items():
            out_console.print(f"{known:11} {of.line}", highlight=False, soft_wrap=True)
        return
    found = demo_named(name)
    folder = out or Path("raytl-demo" if name == "images" else f"raytl-demo-{name}")

    def say(text: str) -> None:
        log_console.print(text, highlight=False, soft_wrap=True)

    result = run_demo(found, folder, resume=resume, store=store, say=say)
    _finish(result, f"raytl demo {name} --out {folder} --resume")


if __name__ == "__main__":
    main()
