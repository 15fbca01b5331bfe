"""The stem of networks that read a vocabulary's numbers, and what all of them can be asked for.

Legend: B rows, S positions, V tokens of the vocabulary, D features.
"""

from typing import Literal

import numpy as np
import torch
from pydantic import PositiveInt
from torch import nn

from raytl.config.base import Frozen, Probability
from raytl.errors import ModelError
from raytl.modalities.backbone import MaxPool, MeanPool
from raytl.modalities.text.transform import PADDING, SPECIAL, VocabularyTransform
from raytl.rows import Padded

FRESH_STD = 0.1  # small beside trained vectors, so that what is known outweighs what is not
DIM = 100


class EmbeddingArgs(Frozen):
    """Arguments that every network over a vocabulary has."""

    dim: PositiveInt | None = None  # numbers of a token's vector; None: its word vectors', or 100
    dropout: Probability = 0.0  # share of the vectors' numbers that training leaves out


class Embedding(nn.Module):
    """A vector a token: Padded (B, S) → Padded (B, S, D), zeros behind each row's end. Fresh
    vectors are normal with a deviation of 0.1."""

    def __init__(self, transform: VocabularyTransform, args: EmbeddingArgs) -> None:
        """Raises ModelError where `dim` is not that of the word vectors."""
        super().__init__()
        if args.dim is not None and transform.dim not in (None, args.dim):
            raise ModelError(
                f"args.dim must be that of the word vectors, but got {args.dim} for vectors of "
                f"{transform.dim}; leave it out"
            )
        self.dim = args.dim or transform.dim or DIM
        self.vectors = nn.Embedding(transform.size, self.dim, padding_idx=PADDING)
        nn.init.normal_(self.vectors.weight, std=FRESH_STD)
        self.dropout = nn.Dropout(args.dropout)
        with torch.no_grad():
            self.vectors.weight[PADDING].zero_()

    @torch.no_grad()
    def take(self, vocabulary: list[str], words: list[str], vectors_ND: np.ndarray) -> int:
        """Take these words' vectors in place of fresh ones; return of how many tokens."""
        rows = {word: row for row, word in enumerate(words)}
        found = [(SPECIAL + i, rows[w]) for i, w in enumerate(vocabulary) if w in rows]
        if found:
            numbers, of = (torch.tensor(part) for part in zip(*found, strict=True))
            self.vectors.weight[numbers] = torch.from_numpy(vectors_ND)[of]
        return len(found)

    def forward(self, tokens: Padded) -> Padded:
        return tokens.with_values(self.dropout(self.vectors(tokens.values)))


Pooling = Literal["mean", "max"]
POOLS: dict[str, type[nn.Module]] = {"mean": MeanPool, "max": MaxPool}
