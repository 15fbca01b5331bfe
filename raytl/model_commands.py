"""`raytl pretrain`, `export`, `refit` and `predict`: their options, and what they print."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from raytl import shard_flags as flags
from raytl import verbs
from raytl.config import PRETRAINING, OptimizerConfig, checked_options
from raytl.errors import UserError
from raytl.models.source_spec import score_text
from raytl.terminal import log_console, out_console, print_json


def pretrain(
    dataset: Annotated[str, typer.Option(help="Folder or URL of a dataset with labels.")],
    backbone: Annotated[str, typer.Option(help="lenet, small_cnn, resnet18, …")],
    out: Annotated[str, typer.Option(help="Folder or URL of the new source model.")],
    epochs: int = 5,
    batch_size: int = 128,
    optimizer: Annotated[str, typer.Option(help="adam, adamw or sgd.")] = PRETRAINING.name,
    lr: float = PRETRAINING.lr,
    seed: int = 0,
    threads: Annotated[int | None, typer.Option(help="Of torch; all cores by default.")] = None,
    force: flags.Force = False,
) -> None:
    """Train a source model from scratch on a labelled dataset."""
    with checked_options("pretrain"):
        config = OptimizerConfig.model_validate({"name": optimizer, "lr": lr})

    def show(metrics: dict[str, Any]) -> None:
        log_console.print(
            f"epoch {metrics['epoch']}/{epochs}: loss {metrics['train/loss/total']:.4f}, "
            + score_text(metrics["score"]), highlight=False,
        )  # fmt: skip

    spec = verbs.pretrain(
        dataset, backbone, out, epochs=epochs, batch_size=batch_size,
        optimizer=config, seed=seed, threads=threads, force=force, progress=show,
    )  # fmt: skip
    out_console.print(
        f"{out}: {backbone}, {spec.blocks} blocks, {spec.score_text}", highlight=False
    )


def export(
    model: Annotated[str, typer.Argument(help="A run's best/, or the run.")],
    candidate: Annotated[
        str | None,
        typer.Argument(help="Of a run: another confirmed one, such as 'scratch control'."),
    ] = None,
    out: Annotated[str | None, typer.Argument(help="As --out.")] = None,
    to: Annotated[str | None, typer.Option(help="torch, onnx, huggingface or timm.")] = None,
    out_: Annotated[
        str | None, typer.Option("--out", help="New folder or URL; with --to MODEL-TO by default.")
    ] = None,
    force: flags.Force = False,
) -> None:
    """Take a model along: for another library (--to), or a candidate as a source model."""
    if out is not None and out_ is not None:
        raise UserError(f"export: OUT and --out are the same, got {out} and {out_}; drop one")
    found = verbs.export(model, candidate, out or out_, to=to, force=force)
    text = f"{found['out']}: {candidate or model}"
    if to is not None:
        text += f" for {found['by']}, whose outputs lie {found['apart']:.1g} from raytl's at most"
    out_console.print(text, soft_wrap=True, highlight=False)


def refit(
    run: Annotated[Path, typer.Argument(help="Run folder.")],
    candidate: Annotated[
        str | None,
        typer.Argument(help="Another confirmed one than best/ holds, such as 'scratch control'."),
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="New folder or URL; RUN/refit by default.")
    ] = None,
    force: flags.Force = False,
) -> None:
    """Train a run's best once more, on all labelled rows, held-out and test rows too."""

    def show(metrics: dict[str, Any]) -> None:
        loss = metrics["train/loss/total"]
        log_console.print(f"epoch {metrics['epoch']}: loss {loss:.4f}", highlight=False)

    found = verbs.refit(run, candidate, out, force=force, progress=show)
    text = (
        f"{out or run / 'refit'}: {found.candidate}, trained on all {found.rows} labelled rows, so "
        f"that none is left to measure it by; with fewer: {score_text(found.before)}"
    )
    out_console.print(text, soft_wrap=True, highlight=False)


def predict(
    model: Annotated[str, typer.Argument(help="A source model with a head, as a run's best/.")],
    data: Annotated[
        str,
        typer.Argument(help="A dataset; or image, .wav, a folder of such, CSV, .txt, .ts."),
    ],
    split: Annotated[str | None, typer.Option(help="Of a dataset; test by default.")] = None,
    out: Annotated[
        str | None,
        typer.Option(help="CSV file of the predictions; with --workers a folder or URL."),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Leave raw rows out that cannot be read.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="Processes of a Ray cluster that write Parquet files.")
    ] = None,
    gpus: Annotated[float, typer.Option(help="GPUs of each of the workers.")] = 0,
) -> None:
    """Predict a split of a dataset and print what is measured of it, or raw files, as CSV."""
    found = verbs.predict(
        model, data, split=split, out=out, skip_bad=skip_bad, workers=workers, gpus=gpus
    )
    if "left_out" not in found:
        print_json(found)
        return
    for text in (*found.pop("notes"), *(f"left out: {why}" for why in found["left_out"])):
        log_console.print(text, highlight=False, soft_wrap=True)
    if found["out"] is not None:
        print_json(found | {"left_out": len(found["left_out"])})
        return
    from raytl.training.prediction_files import csv_of

    sys.stdout.write(csv_of(found["columns"], found["answers"]))
