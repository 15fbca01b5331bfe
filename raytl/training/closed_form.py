"""Mappers in closed form, fitted once before training.

Legend: S source rows, T target rows, K classes, D features.
"""

from collections.abc import Collection, Mapping
from typing import Literal

import torch
from torch import Tensor

from raytl.data.feed import Feed
from raytl.errors import ConfigError
from raytl.models.mappers import Matrix
from raytl.models.transfer_model import TransferModel
from raytl.recipes.base import Stream

COVARIANCE_RIDGE = 1.0  # added to the covariances' diagonals, as in CORAL's algorithm 1
MEANS_RIDGE = 1e-2  # pull towards the identity, relative to the class means' mean square


def coral_matrix(source_SD: Tensor, target_TD: Tensor) -> Tensor:
    """Return M = C_T^{1/2} C_S^{-1/2} for column vectors: whitening by the source's covariance,
    recolouring by the target's (Sun, Feng & Saenko 2016, "Return of Frustratingly Easy Domain
    Adaptation", AAAI, algorithm 1; C + I each)."""
    roots = [_power(_covariance(source_SD), -0.5), _power(_covariance(target_TD), 0.5)]
    return roots[1] @ roots[0]


def class_means_matrix(source_KD: Tensor, target_KD: Tensor) -> Tensor:
    """Return M = argmin Σ_k ‖M s_k - t_k‖² + ρ‖M - I‖²_F for centred class means s and t, with
    ρ MEANS_RIDGE times the mean of ‖s_k‖²: in closed form M = (TᵀS + ρI)(SᵀS + ρI)⁻¹."""
    ridge = MEANS_RIDGE * source_KD.square().sum(1).mean()
    eye = torch.eye(source_KD.shape[1], dtype=source_KD.dtype)
    left = target_KD.T @ source_KD + ridge * eye
    right = source_KD.T @ source_KD + ridge * eye
    return torch.linalg.solve(right.T, left.T).T


def _covariance(f_BD: Tensor) -> Tensor:
    return torch.cov(f_BD.T) + COVARIANCE_RIDGE * torch.eye(f_BD.shape[1], dtype=f_BD.dtype)


def _power(symmetric_DD: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(symmetric_DD)
    return vectors @ torch.diag(values.clamp(min=1e-12) ** exponent) @ vectors.T


TARGET_STREAMS: Mapping[str, tuple[Stream, ...]] = {
    "coral": ("target", "labelled"),
    "class_means": ("labelled",),
}


def check_streams(how: str, recipe: str, streams: Collection[Stream]) -> None:
    """Raise ConfigError where a recipe that reads these streams has not what the matrix is fitted
    to by `how`."""
    if _of_target(how, streams) is None:
        raise ConfigError(
            f"{_law(how)}, but {recipe} reads {', '.join(streams)} here; take another recipe or "
            "mapper, or name in `when` what goes together"
        )


def _of_target(how: str, streams: Collection[str]) -> str | None:
    """Return the stream of the target that is fitted to beside the source domain's."""
    found = next((name for name in TARGET_STREAMS[how] if name in streams), None)
    return found if "source" in streams else None


def _law(how: str) -> str:
    return (
        f"mapper matrix with fit={how} needs a recipe that reads the source domain and the "
        f"{' or '.join(TARGET_STREAMS[how])} rows of the target"
    )


@torch.no_grad()
def fit_matrix(
    model: TransferModel,
    how: Literal["coral", "class_means"],
    feeds: Mapping[str, Feed],
    device: torch.device,
) -> None:
    """Fit the model's `Matrix` mapper to all rows of the trial's training streams.

    coral needs the source domain and the target's rows, class_means the source domain and labelled
    target rows; raises ConfigError where the recipe does not read them.
    """
    stream = _of_target(how, feeds)
    if stream is None:
        raise ConfigError(f"{_law(how)}, but this one reads {', '.join(feeds)}")
    was_training = model.training
    model.eval()
    (source_SD, source_y), (target_TD, target_y) = (
        _features(model, feeds[name], device) for name in ("source", stream)
    )
    model.train(was_training)
    a_D, b_D = source_SD.mean(0), target_TD.mean(0)
    if how == "coral":
        matrix = coral_matrix(source_SD, target_TD)
    else:
        assert source_y is not None and target_y is not None
        classes = [k for k in target_y.unique().tolist() if (source_y == k).any()]
        means = [
            torch.stack([rows[labels == k].mean(0) for k in classes])
            for rows, labels in ((source_SD, source_y), (target_TD, target_y))
        ]
        a_D, b_D = means[0].mean(0), means[1].mean(0)
        matrix = class_means_matrix(means[0] - a_D, means[1] - b_D)
    mapper = model.mapper
    assert isinstance(mapper, Matrix)
    mapper.matrix_DD.copy_(matrix)
    mapper.source_mean_D.copy_(a_D)
    mapper.target_mean_D.copy_(b_D)


def _features(
    model: TransferModel, feed: Feed, device: torch.device
) -> tuple[Tensor, Tensor | None]:
    rows, labels = [], []
    for batch in feed.eval_batches():
        rows.append(model(batch.to(device).inputs).features.double().cpu())
        if isinstance(batch.target, Tensor):
            labels.append(batch.target)
    return torch.cat(rows), torch.cat(labels) if labels else None
