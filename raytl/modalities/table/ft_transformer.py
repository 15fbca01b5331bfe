"""FT-Transformer: Gorishniy et al. 2021, "Revisiting Deep Learning Models for Tabular Data".

Legend: B rows, N numbers, C categories, S tokens (the class token, then N + C), D width, H heads,
K hidden width of a feed-forward part.
"""

from typing import Self

import torch
from pydantic import PositiveInt, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from raytl.config import Frozen
from raytl.config.base import Positive, Probability
from raytl.modalities.table.fields import CategoryField, FieldStem, NumberField
from raytl.modalities.table.layout import Layout


class FTTransformerOptions(Frozen):
    """Arguments of `ft_transformer`; the defaults are the paper's (supplement, table 12)."""

    width: PositiveInt = 192  # of a token
    depth: PositiveInt = 3  # transformer layers
    heads: PositiveInt = 8
    hidden_factor: Positive = 4 / 3  # of the feed-forward part: its width over a token's
    attention_dropout: Probability = 0.2
    hidden_dropout: Probability = 0.1
    residual_dropout: Probability = 0.0

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.width % self.heads:
            raise ValueError(
                f"heads must divide width, got heads={self.heads} and width={self.width}; "
                "change one of them"
            )
        return self


class FeatureTokenizer(FieldStem):
    """A token a field, behind the class token: (B, 2·N + C) → (B, S, D).

    T_j = b_j + x_j · W_j for a number and b_j + W_j[x_j] for a category (sec. 3.3). Deviation:
    a missing number's own vector is added, which starts at 0.
    """

    def __init__(self, layout: Layout, options: FTTransformerOptions) -> None:
        width = options.width
        bound = width**-0.5
        super().__init__(
            layout,
            lambda: NumberField(width, bound, bias=True),
            lambda known: CategoryField(known, width, None, bound, bias=True),
        )
        self.class_token_D = nn.Parameter(torch.empty(width).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        x_BN, missing_BN, codes_BC = self.layout.parts(x)
        tokens = [self.class_token_D.expand(x.shape[0], 1, -1)]
        if self.layout.numbers:
            tokens.append(
                x_BN.unsqueeze(2) * self.numbers(lambda field: field.weight)
                + missing_BN.unsqueeze(2) * self.numbers(lambda field: field.missing_weight)
                + self.numbers(lambda field: field.bias)
            )
        tokens += [vector_BD.unsqueeze(1) for vector_BD in self.categories(codes_BC)]
        return torch.cat(tokens, 1)


class Layer(nn.Module):
    """h + attention(norm(h)), then h + W2 reglu(W1 norm(h)): (B, S, D) → (B, S, D).

    The first layer has no first norm (sec. 3.3: it did harm). The last one also applies the final
    norm and ReLU, which the paper counts to its head.
    """

    def __init__(self, options: FTTransformerOptions, *, first: bool, last: bool) -> None:
        super().__init__()
        width, hidden = options.width, int(options.width * options.hidden_factor)
        self.options = options
        self.norm1 = nn.Identity() if first else nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 2 * hidden), nn.Linear(hidden, width)
        self.final = nn.Sequential(nn.LayerNorm(width), nn.ReLU()) if last else nn.Identity()
        nn.init.zeros_(self.query_key_value.bias)
        nn.init.zeros_(self.out.bias)

    def forward(self, h_BSD: Tensor) -> Tensor:
        h_BSD = h_BSD + self._dropped(self._attention(self.norm1(h_BSD)))
        value, gate = self.up(self.norm2(h_BSD)).chunk(2, -1)
        reglu_BSK = F.dropout(value * gate.relu(), self.options.hidden_dropout, self.training)
        return self.final(h_BSD + self._dropped(self.down(reglu_BSK)))

    def _attention(self, h_BSD: Tensor) -> Tensor:
        heads = self.query_key_value(h_BSD).unflatten(2, (3, self.options.heads, -1))
        query, key, value = heads.permute(2, 0, 3, 1, 4)  # each (B, H, S, D / H)
        # Written out: F.scaled_dot_product_attention is not batched by vmap on the CPU, where
        # trials run fused; rows of tables are too short for its kernels to matter.
        scores_BHSS = query @ key.transpose(2, 3) * query.shape[3] ** -0.5
        weights_BHSS = F.dropout(
            scores_BHSS.softmax(3), self.options.attention_dropout, self.training
        )
        return self.out((weights_BHSS @ value).transpose(1, 2).flatten(2))

    def _dropped(self, h_BSD: Tensor) -> Tensor:
        return F.dropout(h_BSD, self.options.residual_dropout, self.training)


class ClassToken(nn.Module):
    """The first token: (B, S, D) → (B, D)."""

    def forward(self, h_BSD: Tensor) -> Tensor:
        return h_BSD[:, 0]


def ft_transformer(layout: Layout, options: FTTransformerOptions) -> list[nn.Module]:
    """Return the blocks: the tokenizer, then `depth` layers."""
    layers = [
        Layer(options, first=i == 0, last=i == options.depth - 1) for i in range(options.depth)
    ]
    return [FeatureTokenizer(layout, options), *layers]
