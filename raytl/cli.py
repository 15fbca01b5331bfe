"""The command line: parses, calls the verbs, prints."""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.exceptions

from raytl import verbs
from raytl.config import load_study
from raytl.errors import RaytlError
from raytl.folders import rooted
from raytl.memory import keep_freed_memory
from raytl.model_commands import export, predict, pretrain, refit
from raytl.new_command import new
from raytl.packages import own_version
from raytl.run_commands import clean, compare, report
from raytl.shard_command import shard
from raytl.terminal import log_console, out_console, print_json, say_usage, unforeseen

app = typer.Typer(
    help="Find out how to transfer: deep-transfer-learning sweeps on Ray.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
Store = Annotated[
    bool,
    typer.Option("--store/--no-store", help="Take trials that were trained before, keep these."),
]


def main() -> None:
    """Run the command line. Exit codes: 0 done, 1 failure, 2 the user's mistake, 130 Ctrl-C."""
    try:
        keep_freed_memory()
        sys.exit(app(standalone_mode=False))
    except typer.exceptions.Abort:
        log_console.print("raytl: interrupted")
        sys.exit(130)
    except typer.exceptions.TyperException as error:
        say_usage(error)
        sys.exit(2)
    except RaytlError as error:
        log_console.print(f"raytl: {error}", style="red", soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        log_console.print("raytl: interrupted")
        sys.exit(130)
    except Exception as error:
        log_console.print(f"raytl: {unforeseen(error)}", style="red", soft_wrap=True)
        sys.exit(1)


def _say_version(wanted: bool) -> None:
    if wanted:
        out_console.print(f"raytl {own_version()}", highlight=False)
        raise typer.Exit()


@app.callback()
def _of_all(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Say which one, and end.", callback=_say_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Find out how to transfer: deep-transfer-learning sweeps on Ray."""


for _command in (new, shard, pretrain):
    app.command()(_command)


@app.command("inspect")
def inspect_(path: Annotated[str, typer.Argument(help="A folder or URL.")]) -> None:
    """Print what a dataset, source model or run holds, as JSON, and verify its checksums."""
    print_json(verbs.inspect(path))


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
    again = _again(["sweep", str(study)], folder, store, overrides)
    with _answering(again):
        result = verbs.sweep(checked, folder, resume=resume, store=store)
    _finish(result, again)


def _again(command: list[str], folder: Path, store: bool, overrides: Sequence[str] = ()) -> str:
    """Return the command line that goes on, as a shell takes it."""
    settings = [word for assignment in overrides for word in ("--set", assignment)]
    without = [] if store else ["--no-store"]
    words = ["raytl", *command, "--out", str(folder), "--resume", *without, *settings]
    return shlex.join(words)


@contextlib.contextmanager
def _answering(again: str) -> Iterator[None]:
    """Answer Ctrl-C with what goes on with what it stops."""
    from raytl.ctrl_c import EXIT_CODE, answered

    stopped = f"stopped; go on with: {again}"
    kept = "epochs that are done are kept, Ctrl-C once more ends at once"
    try:
        with answered(f"stopping ({kept}); go on with: {again}", stopped):
            yield
    except KeyboardInterrupt:
        log_console.print(stopped, soft_wrap=True, highlight=False)
        raise typer.Exit(EXIT_CODE) from None


def _finish(result: Any, again: str) -> None:
    from raytl.reporting.terminal import leaderboard_table

    out_console.print(leaderboard_table(result.leaderboard.model_dump(mode="json")))
    if result.stopped:
        log_console.print(f"stopped; go on with: {again}", soft_wrap=True, highlight=False)
        raise typer.Exit(130)
    oracle = result.leaderboard.oracle
    if oracle is not None:
        out_console.print(oracle.sentence, highlight=False, soft_wrap=True)
    recommended = result.confirmation.recommended if result.confirmation is not None else None
    for place, sentence in enumerate(result.sentences):
        text, style = (sentence, None) if place else (f"\n{sentence}", "bold")
        out_console.print(text, style=style, highlight=False, soft_wrap=True)
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
    out_console.print(store_sentence(held), soft_wrap=True, highlight=False)
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
        log_console.print(text, highlight=False, soft_wrap=True)

    findings = verbs.doctor(study, address=address, room=room, say=say)
    marks = {"ok": "ok     ", "warning": "warning", "failure": "FAILURE"}
    for finding in findings:
        text = f"{marks[finding.level]}  {finding.check}: {finding.text}"
        out_console.print(text, highlight=False, soft_wrap=True)
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
        log_console.print(f"{datetime.now():%F %T} {text}", soft_wrap=True)

    verbs.watch_spot(cloud, node_id=node_id, metadata=metadata, say=say)


app.command()(report)
app.command()(clean)
app.command()(compare)
app.command()(export)
app.command()(refit)
app.command()(predict)


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

    again = _again(["demo", name], folder, store)
    with _answering(again):
        result = run_demo(found, folder, resume=resume, store=store, say=say)
    _finish(result, again)


if __name__ == "__main__":
    main()
