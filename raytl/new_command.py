"""`raytl new`: its options, and what it says in the end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raytl import verbs
from raytl.terminal import log_console, out_console


def new(
    data: Annotated[
        str,
        typer.Argument(
            help="A dataset of raytl's, or raw data: a folder of classes of images, sounds or "
            "texts, images with masks or boxes, a table, lines of text, series, arrays.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="The study file; NAME.yaml of the data by default.")
    ] = None,
    minutes: Annotated[
        float, typer.Option(help="What `raytl sweep` of the study may take on this machine.")
    ] = 30.0,
    labels: Annotated[
        str, typer.Option(help="Of the target: all, none, or N a class.", metavar="N|none|all")
    ] = "all",
    source: Annotated[
        str | None, typer.Option(help="Labelled data of another domain to learn from, as DATA.")
    ] = None,
    source_model: Annotated[
        list[Path] | None,
        typer.Option(help="A file or folder of pretrained networks; repeatable."),
    ] = None,
    data_out: Annotated[
        Path | None,
        typer.Option(
            "--data",
            help="Where raw data become a dataset; by default data/NAME, or data/NAME-2, … where "
            "another stands.",
        ),
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="What is to be learnt: a column, or a language of pairs.")
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(help="Names of sounds, as '{label}_{group}_{take}.wav'."),
    ] = None,
    force: Annotated[
        bool, typer.Option(help="Replace the study, and what stands at --data.")
    ] = False,
) -> None:
    """Look at data, and write a commented study of them that fits the minutes."""

    def say(text: str) -> None:
        log_console.print(text, highlight=False, soft_wrap=True)

    written = verbs.new(
        data, out, minutes=minutes, labels=_labels(labels), source=source,
        source_models=source_model or [], data_out=data_out, target=target, pattern=pattern,
        force=force, say=say,
    )  # fmt: skip
    done = f"{written}: read it, then `raytl sweep {written}`"
    out_console.print(done, highlight=False, soft_wrap=True)


def _labels(given: str) -> int | str:
    """Return a number as one; `raytl.new` says what else is wrong."""
    return int(given) if given.isascii() and given.isdigit() and len(given) < 10 else given
