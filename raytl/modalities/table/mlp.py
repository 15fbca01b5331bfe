"""A multilayer perceptron for tables.

Legend: B rows, N numbers, C categories, D width.
"""

from collections.abc import Callable
from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from raytl.config import Frozen
from raytl.config.base import Count, Probability
from raytl.modalities.table.fields import CategoryField, FieldStem, NumberField
from raytl.modalities.table.layout import Layout


class MLPOptions(Frozen):
    """Arguments of `mlp`."""

    width: PositiveInt = 256
    depth: Count = 2  # hidden layers after the stem's
    dropout: Probability = 0.1
    norm: Literal["none", "batch", "layer"] = "none"
    # False: a category has a vector of the full width, which is a linear layer of one-hot codes
    embeddings: bool = True
    # The width of each category's embedding, whatever number of categories it has: rules that hang
    # on that number give tables which list other categories other shapes, and nothing transfers
    embedding_dim: PositiveInt = 16


NORMS: dict[str, Callable[[int], nn.Module]] = {
    "none": lambda width: nn.Identity(),
    "batch": nn.BatchNorm1d,
    "layer": nn.LayerNorm,
}


class SumStem(FieldStem):
    """dropout(relu(norm(Σ over fields of their vectors + bias))): (B, 2·N + C) → (B, D).

    The sum is a linear layer over all fields side by side, with its weights cut by field; numbers,
    missing indicators, and embeddings or one-hot codes are its inputs. Weights are drawn as
    nn.Linear draws them, from ±1 / √inputs; an embedding, from N(0, 1).
    """

    def __init__(self, layout: Layout, options: MLPOptions) -> None:
        width, embedding = options.width, options.embedding_dim
        inputs = len(layout.numbers) + len(layout.categories) * (
            embedding if options.embeddings else 1
        )
        bound = inputs**-0.5
        super().__init__(
            layout,
            lambda: NumberField(width, bound, bias=False),
            lambda known: (
                CategoryField(known, embedding, width, bound, bias=False)
                if options.embeddings
                else CategoryField(known, width, None, bound, bias=False)
            ),
        )
        self.bias = nn.Parameter(torch.empty(width).uniform_(-bound, bound))
        self.after = _activated(options)

    def forward(self, x: Tensor) -> Tensor:
        x_BN, missing_BN, codes_BC = self.layout.parts(x)
        h_BD = self.bias.expand(x.shape[0], -1)
        if self.layout.numbers:
            h_BD = h_BD + x_BN @ self.numbers(lambda field: field.weight)
            h_BD = h_BD + missing_BN @ self.numbers(lambda field: field.missing_weight)
        for vector_BD in self.categories(codes_BC):
            h_BD = h_BD + vector_BD
        return self.after(h_BD)


def _activated(options: MLPOptions) -> nn.Module:
    return nn.Sequential(NORMS[options.norm](options.width), nn.ReLU(), nn.Dropout(options.dropout))


def mlp(layout: Layout, options: MLPOptions) -> list[nn.Module]:
    """Return the blocks: the stem, then `depth` hidden layers dropout(relu(norm(W h + b)))."""
    hidden = [
        nn.Sequential(nn.Linear(options.width, options.width), *_activated(options).children())
        for _ in range(options.depth)
    ]
    return [SumStem(layout, options), *hidden]
