"""Losses of proposed and of classified regions, of each image by itself.

Torchvision's are means over the regions that it draws from all images of a batch, at random. Here
each region counts with the chance that it would be drawn with: the mean over all draws, which hangs
on no generator, on no other row and on no worker.

Legend: B images, P regions of all images, K classes.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

BETA = 1 / 9  # where the smooth L1 loss of a box turns from a square into a line


class Sampler(Protocol):
    """How many regions of an image are drawn, and which part of them, at most, are of objects."""

    batch_size_per_image: int
    positive_fraction: float


def drawn_weights(label_P: Tensor, sampler: Sampler) -> Tensor:
    """Return what one image's regions count for, (P,), 1 in all: with the chance of each to be
    among those that `sampler` draws, by how many these are. Labels are > 0 for an object, 0 for
    none, < 0 for what is never drawn."""
    objects_P, others_P = label_P > 0, label_P == 0
    # On the device: were the numbers read, the host would wait for each image
    objects, others = objects_P.sum().double(), others_P.sum().double()
    some = objects.clamp(max=int(sampler.batch_size_per_image * sampler.positive_fraction))
    rest = torch.minimum(others, sampler.batch_size_per_image - some)
    each = objects_P * (some / objects.clamp(min=1)).float()
    each = each + others_P * (rest / others.clamp(min=1)).float()
    return each / (some + rest).clamp(min=1)


def of_images(loss_P: Tensor, labels: Sequence[Tensor]) -> Tensor:
    """Return the sums over each image's regions, (B,); `labels`: of these."""
    return torch.stack([part.sum() for part in loss_P.split([len(label) for label in labels])])


def proposal_losses(
    objectness_P: Tensor,
    delta_P4: Tensor,
    labels: Sequence[Tensor],
    wanted: Sequence[Tensor],
    sampler: Sampler,
) -> Tensor:
    """Return of each image the loss of objectness and of boxes, (B,), added up
    (`RegionProposalNetwork.compute_loss`; Ren et al. 2015, "Faster R-CNN", eq. 1)."""
    weight_P = torch.cat([drawn_weights(label, sampler) for label in labels])
    label_P = torch.cat(list(labels))
    object_loss_P = F.binary_cross_entropy_with_logits(
        objectness_P, label_P.clamp(min=0), reduction="none"
    )
    own = label_P > 0
    box_loss_P = _box_loss(delta_P4, torch.cat(list(wanted)), own)
    return of_images(weight_P * (object_loss_P + box_loss_P), labels)


def region_losses(
    logit_PK: Tensor,
    delta_PM: Tensor,
    labels: Sequence[Tensor],
    wanted: Sequence[Tensor],
    sampler: Sampler,
    smoothing: float = 0.0,
) -> Tensor:
    """Return of each image the loss of regions' classes and boxes, (B,), added up
    (`fastrcnn_loss`; Girshick 2015, "Fast R-CNN", eq. 1). Class 0 is none; each class has a box of
    its own, M = 4·K. `smoothing` is of the classes."""
    weight_P = torch.cat([drawn_weights(label, sampler) for label in labels])
    label_P = torch.cat(list(labels))
    class_loss_P = F.cross_entropy(logit_PK, label_P, reduction="none", label_smoothing=smoothing)
    delta_PK4 = delta_PM.view(len(delta_PM), -1, 4)
    delta_P4 = delta_PK4[torch.arange(len(label_P), device=label_P.device), label_P]
    box_loss_P = _box_loss(delta_P4, torch.cat(list(wanted)), label_P > 0)
    return of_images(weight_P * (class_loss_P + box_loss_P), labels)


def _box_loss(delta_P4: Tensor, wanted_P4: Tensor, own_P: Tensor) -> Tensor:
    """Return the loss of the boxes of objects, 0 of others, (P,)."""
    # Others have no box to be measured by: what is wanted of them may not be finite.
    wanted_P4 = torch.where(own_P[:, None], wanted_P4, delta_P4.detach())
    return F.smooth_l1_loss(delta_P4, wanted_P4, beta=BETA, reduction="none").sum(1)
