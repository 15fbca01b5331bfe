"""A bidirectional LSTM over token vectors.

Legend: B rows, S positions, D features, half of them from each direction.
"""

from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from raytl.modalities.backbone import Backbone
from raytl.modalities.text.embedding import POOLS, Embedding, EmbeddingArgs
from raytl.modalities.text.transform import VocabularyTransform
from raytl.rows import Padded


class BiLstmArgs(EmbeddingArgs):
    """Arguments of `bilstm`."""

    hidden: PositiveInt = 128  # features of each direction
    layers: PositiveInt = 1
    pooling: Literal["mean", "max", "last"] = "mean"


class LstmLayer(nn.Module):
    """One layer in both directions: Padded (B, S, C) → Padded (B, S, D). Rows are packed, so that
    the backward direction starts at each row's own end."""

    def __init__(self, inside: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inside, hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)

    def forward(self, h: Padded) -> Padded:
        # A row of length 0 cannot be packed: its one blank position is read, and cleared again.
        lengths = h.sizes[:, 0].clamp(min=1).cpu()
        packed = pack_padded_sequence(h.values, lengths, batch_first=True, enforce_sorted=False)
        out, _ = pad_packed_sequence(
            self.lstm(packed)[0], batch_first=True, total_length=h.values.shape[1]
        )
        return h.with_values(self.dropout(out * h.mask.unsqueeze(2)))


class LastPool(nn.Module):
    """What each direction ends with: forward at the row's last position, backward at its first.
    Padded (B, S, D) → (B, D); zeros for a row of length 0."""

    def forward(self, h: Padded) -> Tensor:
        ends_B = (h.sizes[:, 0] - 1).clamp(min=0).to(h.values.device)
        rows_B = torch.arange(len(ends_B), device=h.values.device)
        half = h.values.shape[2] // 2
        return torch.cat([h.values[rows_B, ends_B, :half], h.values[:, 0, half:]], dim=1)


def bilstm(name: str, transform: VocabularyTransform, args: BiLstmArgs) -> Backbone:
    """Graves & Schmidhuber 2005, "Framewise phoneme classification with bidirectional LSTM": block
    0 is the token vectors, then a block a layer; pooled over the row's own positions."""
    stem = Embedding(transform, args)
    blocks: list[nn.Module] = [stem]
    for index in range(args.layers):
        inside = 2 * args.hidden if index else stem.dim
        blocks.append(LstmLayer(inside, args.hidden, args.dropout))
    pool = LastPool() if args.pooling == "last" else POOLS[args.pooling]()
    return Backbone(name, blocks, pool, transform.example(2))
