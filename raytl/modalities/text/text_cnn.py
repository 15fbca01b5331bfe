"""Convolutions over token vectors, the greatest value of each over the row.

Legend: B rows, S positions, C features of a token, F filters of all widths.
"""

from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import nn
from torch.nn import functional as F

from raytl.modalities.backbone import Backbone, MaxPool
from raytl.modalities.text.embedding import Embedding, EmbeddingArgs
from raytl.modalities.text.transform import VocabularyTransform
from raytl.rows import Padded


class TextCnnArgs(EmbeddingArgs):
    """Arguments of `text_cnn`."""

    # Tokens that a filter reads at once
    widths: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (3, 4, 5)
    filters: PositiveInt = 100  # of each width


class Convolutions(nn.Module):
    """Parallel convolutions and ReLU: Padded (B, S, C) → Padded (B, S, F). What stands at a
    position is what the filters find from there on.

    Windows that reach over the row's end are 0, which after ReLU never is the greatest value; a row
    that is shorter than a filter is read as if zeros stood behind it.
    """

    def __init__(self, inside: int, args: TextCnnArgs) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(
            nn.Conv1d(inside, args.filters, width) for width in args.widths
        )
        self.widths = args.widths

    def forward(self, h: Padded) -> Padded:
        x_BCS = (h.values * h.mask.unsqueeze(2)).transpose(1, 2)
        positions_S = torch.arange(x_BCS.shape[2], device=x_BCS.device)
        lengths_B1 = h.sizes[:, :1].to(x_BCS.device)
        found = []
        for convolution, width in zip(self.convolutions, self.widths, strict=True):
            y_BFS = convolution(F.pad(x_BCS, (0, width - 1))).relu()
            whole_BS = positions_S < (lengths_B1 - width + 1).clamp(min=1)
            found.append(y_BFS * whole_BS.unsqueeze(1))
        return h.with_values(torch.cat(found, dim=1).transpose(1, 2) * h.mask.unsqueeze(2))


def text_cnn(name: str, transform: VocabularyTransform, args: TextCnnArgs) -> Backbone:
    """Kim 2014, "Convolutional neural networks for sentence classification", eq. 2 to 4: block 0 is
    the token vectors, block 1 the convolutions; max over time. Deviation: dropout is on the token
    vectors, not on the features, which belong to mapper and head."""
    stem = Embedding(transform, args)
    return Backbone(name, [stem, Convolutions(stem.dim, args)], MaxPool(), transform.example(2))
