"""Checkpoints: what training changes, and how far it is."""

import os
from pathlib import Path

import torch
from torch import nn

from raytl.errors import CorruptError
from raytl.models.transfer_model import TransferModel

FILE_NAME = "checkpoint.pt"


def save_checkpoint(
    folder: Path,
    model: TransferModel,
    recipe: nn.Module,
    optimizer: torch.optim.Optimizer,
    epoch: int,
) -> None:
    """Write the trainable state after `epoch` epochs into `folder`. Frozen weights are left out:
    the source model has them."""
    state = {
        "model": model.trainable_state(),
        "recipe": recipe.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": epoch,
    }
    temporary = folder / (FILE_NAME + ".tmp")
    torch.save(state, temporary)
    os.replace(temporary, folder / FILE_NAME)


def load_checkpoint(
    folder: Path,
    model: TransferModel,
    recipe: nn.Module | None = None,
    optimizer: torch.optim.Optimizer | None = None,
) -> int:
    """Put the saved state back and return how many epochs it has seen.

    Raises CorruptError where the file cannot be read.
    """
    try:
        state = torch.load(folder / FILE_NAME, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CorruptError(f"{folder / FILE_NAME}: cannot read the checkpoint: {error}") from None
    model.load_trainable_state(state["model"])
    if recipe is not None:
        recipe.load_state_dict(state["recipe"])
    if optimizer is not None:
        optimizer.load_state_dict(state["optimizer"])
    return int(state["epoch"])
