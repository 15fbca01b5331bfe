"""Heads that say a sentence, token by token, of what an encoder gives.

Legend: B rows, S positions of the encoder, T tokens said, C channels of the encoder, H width, V
tokens known, A attention heads, D channels of one.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raytl.config import HeadConfig, HeadName
from raytl.errors import ModelError
from raytl.rows import Padded, Rows, count, mean_of
from raytl.tasks.heads import OneAnswer
from raytl.tasks.vocabulary import OwnVocabulary

HEADS_OF_LAYER, LAYERS = 4, 2


class Decoder(nn.Module, ABC):
    """`forward` gives what needs no target, once a row; the rest runs on it. `vocabulary`: of a
    decoder that was trained before, its own; None: the task's. `out_dim`: V."""

    out_dim: int
    vocabulary: OwnVocabulary | None = None

    @abstractmethod
    def forward(self, state: Any) -> Rows:
        """What the encoder's last block gives, (B, S, C) → memory (B, S, H)."""

    @abstractmethod
    def logits(self, memory: Any, given_BT: Tensor) -> Tensor:
        """Return logits (B, T, V) of what follows each of the tokens given."""

    @abstractmethod
    def begin(self, memory: Any) -> Any:
        """Return the state, a `rows.Tree`, before anything is said."""

    @abstractmethod
    def step(self, state: Any, token_B: Tensor) -> tuple[Tensor, Any]:
        """Say a token each; return logits (B, V) of the next, and the state after it. The same
        numbers as `logits`."""


class _Tokens(nn.Module):
    """Token vectors, which are the output's weights too (Press & Wolf 2017, "Using the Output
    Embedding to Improve Language Models")."""

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(tokens, width) / math.sqrt(width))

    def forward(self, token: Tensor) -> Tensor:
        return F.embedding(token, self.weight) * math.sqrt(self.weight.shape[1])

    def logits(self, h: Tensor) -> Tensor:
        return F.linear(h, self.weight)


def _memory(state: Rows, linear: nn.Module) -> Padded:
    if isinstance(state, Tensor):
        sizes = torch.full((len(state), 1), state.shape[1], device=state.device)
        state = Padded(state, sizes)
    return state.with_values(linear(state.values) * state.mask.unsqueeze(2))


def attended(memory: Padded) -> Tensor:
    """Which positions may be looked at, bool (B, 1, 1, S): the row's own, of an empty row one."""
    mask_BS = memory.mask.clone()
    mask_BS[:, 0] = True
    return mask_BS[:, None, None]


def _positions(first: int, h_BTH: Tensor) -> Tensor:
    """Return sines and cosines of positions from `first` on, (T, H): Vaswani et al. 2017, section
    3.5."""
    (count, width), device = h_BTH.shape[1:], h_BTH.device
    place_T1 = torch.arange(first, first + count, device=device).unsqueeze(1)
    rate_H = torch.arange(0, width, 2, device=device) * (-math.log(10000.0) / width)
    angle_TH = place_T1 * rate_H.exp()
    return torch.cat([angle_TH.sin(), angle_TH.cos()], dim=1).to(h_BTH.dtype)


class _Attention(nn.Module):
    """Vaswani et al. 2017, section 3.2.2."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.query, self.out = nn.Linear(width, width), nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.dropout = dropout

    def looked_at(self, h_BSH: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values, (B, A, S, D) each."""
        key_BSH, value_BSH = self.key_value(h_BSH).chunk(2, dim=2)
        return _by_head(key_BSH), _by_head(value_BSH)

    def forward(self, h_BTH: Tensor, seen: tuple[Tensor, Tensor], **how: Any) -> Tensor:
        dropout = self.dropout if self.training else 0.0
        h_BATD = F.scaled_dot_product_attention(
            _by_head(self.query(h_BTH)), *seen, dropout_p=dropout, **how
        )
        return self.out(h_BATD.transpose(1, 2).flatten(2))


def _by_head(h_BTH: Tensor) -> Tensor:
    return h_BTH.unflatten(2, (HEADS_OF_LAYER, -1)).transpose(1, 2)


class _Layer(nn.Module):
    """Vaswani et al. 2017, section 3.1, a decoder's layer, normalised in front of each part (Xiong
    et al. 2020, "On Layer Normalization in the Transformer Architecture", figure 1b)."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.own, self.other = _Attention(width, dropout), _Attention(width, dropout)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.wide = nn.Sequential(
            nn.Linear(width, 4 * width), nn.ReLU(), nn.Dropout(dropout),
            nn.Linear(4 * width, width),
        )  # fmt: skip
        self.dropout = nn.Dropout(dropout)

    def looked_at(self, memory: Padded) -> tuple[Tensor, Tensor]:
        """Return keys and values of the memory, (B, A, S, D) each."""
        return self.other.looked_at(memory.values)

    def forward(
        self, h_BTH: Tensor, said: Any, memory: tuple[Tensor, Tensor], mask: Tensor
    ) -> tuple[Tensor, Any]:
        """`said`: keys and values of tokens before these, with which it returns those of these;
        None where these are all, each of which sees those before it."""
        x_BTH = self.norms[0](h_BTH)
        seen = self.own.looked_at(x_BTH)
        if said is not None:
            seen = torch.cat([said[0], seen[0]], dim=2), torch.cat([said[1], seen[1]], dim=2)
        h_BTH = h_BTH + self.dropout(self.own(x_BTH, seen, is_causal=said is None))
        x_BTH = self.other(self.norms[1](h_BTH), memory, attn_mask=mask)
        h_BTH = h_BTH + self.dropout(x_BTH)
        return h_BTH + self.dropout(self.wide(self.norms[2](h_BTH))), seen


class TransformerDecoder(Decoder):
    """Vaswani et al. 2017, "Attention Is All You Need": LAYERS layers of width `hidden` over the
    encoder's positions, a linear map of which is the memory."""

    def __init__(self, config: HeadConfig, in_dim: int, tokens: int) -> None:
        super().__init__()
        if config.hidden % (2 * HEADS_OF_LAYER):
            raise ModelError(
                f"head transformer_decoder has {HEADS_OF_LAYER} attention heads, so that "
                f"head.hidden must be a multiple of {2 * HEADS_OF_LAYER}, but got {config.hidden}"
            )
        self.out_dim = tokens
        self.memory = nn.Sequential(nn.Linear(in_dim, config.hidden), nn.LayerNorm(config.hidden))
        self.tokens = _Tokens(tokens, config.hidden)
        self.layers = nn.ModuleList(_Layer(config.hidden, config.dropout) for _ in range(LAYERS))
        self.norm, self.dropout = nn.LayerNorm(config.hidden), nn.Dropout(config.dropout)

    def forward(self, state: Rows) -> Padded:
        return _memory(state, self.memory)

    def _layers(self) -> list[_Layer]:
        return [layer for layer in self.layers if isinstance(layer, _Layer)]

    def _embedded(self, token_BT: Tensor, first: int) -> Tensor:
        h_BTH = self.tokens(token_BT)
        return self.dropout(h_BTH + _positions(first, h_BTH))

    def logits(self, memory: Padded, given_BT: Tensor) -> Tensor:
        h_BTH, mask = self._embedded(given_BT, 0), attended(memory)
        for layer in self._layers():
            h_BTH, _ = layer(h_BTH, None, layer.looked_at(memory), mask)
        return self.tokens.logits(self.norm(h_BTH))

    def begin(self, memory: Padded) -> Any:
        width = self.tokens.weight.shape[1]
        nothing = memory.values.new_zeros(count(memory), HEADS_OF_LAYER, 0, width // HEADS_OF_LAYER)
        seen = tuple(layer.looked_at(memory) for layer in self._layers())
        return tuple((nothing, nothing) for _ in self.layers), seen, attended(memory)

    def step(self, state: Any, token_B: Tensor) -> tuple[Tensor, Any]:
        said, memory, mask = state
        h_BTH, after = self._embedded(token_B.unsqueeze(1), said[0][0].shape[2]), []
        for layer, before, seen in zip(self.layers, said, memory, strict=True):
            h_BTH, now = layer(h_BTH, before, seen, mask)
            after.append(now)
        return self.tokens.logits(self.norm(h_BTH[:, 0])), (tuple(after), memory, mask)


class GruDecoder(Decoder):
    """Luong et al. 2015, "Effective Approaches to Attention-based Neural Machine Translation",
    eq. 5 to 8, global attention with the score `dot`. Deviations: a GRU (Cho et al. 2014) of one
    layer, which starts from the mean of the memory and is not fed what it looked at."""

    def __init__(self, config: HeadConfig, in_dim: int, tokens: int) -> None:
        super().__init__()
        self.out_dim, width = tokens, config.hidden
        self.memory = nn.Sequential(nn.Linear(in_dim, width), nn.LayerNorm(width))
        self.first = nn.Linear(width, width)
        self.tokens, self.dropout = _Tokens(tokens, width), nn.Dropout(config.dropout)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.joined = nn.Linear(2 * width, width)

    def forward(self, state: Rows) -> Padded:
        return _memory(state, self.memory)

    def _said(
        self, given_BT: Tensor, h_BH: Tensor, memory_BSH: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        h_BTH, last = self.gru(self.dropout(self.tokens(given_BT)), h_BH.unsqueeze(0).contiguous())
        looked_at = (memory_BSH.unsqueeze(1),) * 2
        c_BTH = F.scaled_dot_product_attention(h_BTH.unsqueeze(1), *looked_at, attn_mask=mask)
        joined_BTH = self.joined(torch.cat([c_BTH[:, 0], h_BTH], dim=2)).tanh()
        return self.tokens.logits(self.dropout(joined_BTH)), last[0]

    def logits(self, memory: Padded, given_BT: Tensor) -> Tensor:
        return self._said(given_BT, *self.begin(memory))[0]

    def begin(self, memory: Padded) -> Any:
        return self.first(mean_of(memory)).tanh(), memory.values, attended(memory)

    def step(self, state: Any, token_B: Tensor) -> tuple[Tensor, Any]:
        logits_BTV, h_BH = self._said(token_B.unsqueeze(1), *state)
        return logits_BTV[:, 0], (h_BH, *state[1:])


class ConstantDecoder(OneAnswer, Decoder):
    """The same numbers for every token of every row."""

    def __init__(self, config: HeadConfig, in_dim: int, tokens: int) -> None:
        super().__init__(tokens)
        self.out_dim = tokens

    def forward(self, state: Rows) -> Tensor:
        """→ (B, 0): how many rows there are."""
        return self.bias.new_zeros(count(state), 0)

    def logits(self, memory: Tensor, given_BT: Tensor) -> Tensor:
        return self.bias.expand(*given_BT.shape, -1)

    def begin(self, memory: Tensor) -> Any:
        return (memory,)

    def step(self, state: Any, token_B: Tensor) -> tuple[Tensor, Any]:
        return self.bias.expand(len(token_B), -1), state


DECODERS: dict[HeadName, Callable[[HeadConfig, int, int], Decoder]] = {
    "transformer_decoder": TransformerDecoder,
    "gru_decoder": GruDecoder,
    "constant": ConstantDecoder,
}
