"""Checkpoints: what training changes, and how far it is."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from raytl.errors import CheckpointError
from raytl.models.transfer_model import TransferModel

FILE_NAME = "checkpoint.pt"


@dataclass(frozen=True)
class Progress:
    """How far a checkpoint is: epochs done, and the parts of a batch then."""

    epoch: int
    micro_batches: int


def save_checkpoint(
    folder: Path,
    model: TransferModel,
    recipe: nn.Module,
    optimizer: torch.optim.Optimizer | None,
    epoch: int,
    micro_batches: int = 1,
) -> None:
    """Write the trainable state after `epoch` epochs into `folder`. Frozen weights are left out:
    the source model has them. `optimizer`: None after the last epoch."""
    state = {
        "model": model.trainable_state(),
        "recipe": recipe.state_dict(),
        "optimizer": None if optimizer is None else optimizer.state_dict(),
        "epoch": epoch,
        "micro_batches": micro_batches,
    }
    temporary = folder / (FILE_NAME + ".tmp")
    torch.save(state, temporary)
    os.replace(temporary, folder / FILE_NAME)


def load_checkpoint(
    folder: Path,
    model: TransferModel,
    recipe: nn.Module | None = None,
    optimizer: torch.optim.Optimizer | None = None,
) -> Progress:
    """Put the saved state back and return how far it is.

    Raises CheckpointError where the file cannot be read.
    """
    try:
        state = torch.load(folder / FILE_NAME, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(
            f"{folder / FILE_NAME}: cannot read the checkpoint: {error}"
        ) from None
    model.load_trainable_state(state["model"])
    if recipe is not None:
        recipe.load_state_dict(state["recipe"])
    if optimizer is not None and state["optimizer"] is not None:
        optimizer.load_state_dict(state["optimizer"])
    return Progress(int(state["epoch"]), int(state.get("micro_batches", 1)))
