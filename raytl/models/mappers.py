"""Mappers: the module T between source features and head.

Legend: B batch, C channels, H height, W width, S positions, D features.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from raytl.config import MapperConfig
from raytl.errors import ModelError
from raytl.rows import Padded, Rows, mean_of

NEVER = -1e9  # the score of a position that is not the row's own


class Mapper(nn.Module):
    """f_BD → z_BD' with D' = `out_dim`. A `spatial` mapper is given the backbone's output before
    its pool instead, (B, C, H, W) maps or (B, S, C) tokens."""

    out_dim: int
    spatial = False
    only_source = False  # applied to the source domain's rows alone


class Identity(Mapper):
    """z = f."""

    def __init__(self, config: MapperConfig, in_dim: int) -> None:
        super().__init__()
        self.out_dim = in_dim

    def forward(self, f_BD: Tensor) -> Tensor:
        return f_BD


class Linear(Mapper):
    """z = W f + b, normalised over the batch with `config.batch_norm` (Ioffe & Szegedy 2015)."""

    def __init__(self, config: MapperConfig, in_dim: int) -> None:
        super().__init__()
        self.out_dim = config.out or in_dim
        self.linear = nn.Linear(in_dim, self.out_dim)
        self.norm = _norm(config, self.out_dim)

    def forward(self, f_BD: Tensor) -> Tensor:
        return self.norm(self.linear(f_BD))


def _norm(config: MapperConfig, dim: int) -> nn.Module:
    return nn.BatchNorm1d(dim) if config.batch_norm else nn.Identity()


class Matrix(Mapper):
    """z = M (f - a) + b for the source domain's rows, with M, a and b in closed form, never
    trained: it carries source features over into the target's space. Target rows are left alone.

    What is fitted is `config.fit`: see `training.closed_form`. Identity before that.
    """

    only_source = True

    matrix_DD: Tensor
    source_mean_D: Tensor
    target_mean_D: Tensor

    def __init__(self, config: MapperConfig, in_dim: int) -> None:
        super().__init__()
        self.out_dim = in_dim
        self.fitted_by = config.fit
        self.register_buffer("matrix_DD", torch.eye(in_dim))
        self.register_buffer("source_mean_D", torch.zeros(in_dim))
        self.register_buffer("target_mean_D", torch.zeros(in_dim))

    def forward(self, f_BD: Tensor) -> Tensor:
        return (f_BD - self.source_mean_D) @ self.matrix_DD.T + self.target_mean_D


class MLP(Mapper):
    """z = relu(W2 relu(W1 f + b1) + b2), normalised before the last relu with
    `config.batch_norm`."""

    def __init__(self, config: MapperConfig, in_dim: int) -> None:
        super().__init__()
        self.out_dim = config.out or in_dim
        self.layers = nn.Sequential(
            nn.Linear(in_dim, config.hidden), nn.ReLU(), nn.Linear(config.hidden, self.out_dim),
            _norm(config, self.out_dim), nn.ReLU(),
        )  # fmt: skip

    def forward(self, f_BD: Tensor) -> Tensor:
        return self.layers(f_BD)


class Residual(Mapper):
    """z = f + W2 relu(W1 f + b1) + b2 with W2 = b2 = 0 at first, so that it starts as identity
    (the adapter of Houlsby et al. 2019, with ReLU)."""

    def __init__(self, config: MapperConfig, in_dim: int) -> None:
        super().__init__()
        self.out_dim = in_dim
        self.down, self.up = nn.Linear(in_dim, config.hidden), nn.Linear(config.hidden, in_dim)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, f_BD: Tensor) -> Tensor:
        return f_BD + self.up(self.down(f_BD).relu())


class Conv1x1(Mapper):
    """z = mean over positions of relu(W h + b): a 1×1 convolution of the spatial maps, or of a
    row's own tokens."""

    spatial = True

    def __init__(self, config: MapperConfig, in_dim: int) -> None:
        super().__init__()
        self.out_dim = config.out or in_dim
        self.linear = nn.Linear(in_dim, self.out_dim)

    def forward(self, h: Rows) -> Tensor:
        positions = _positions(h)
        return mean_of(positions.with_values(self.linear(positions.values).relu()))


class AttentionPool(Mapper):
    """z = Σ_s softmax_s(v · tanh(W h_s)) h_s: attention-weighted positions (Ilse et al. 2018,
    "Attention-based Deep Multiple Instance Learning", eq. 7 and 8)."""

    spatial = True

    def __init__(self, config: MapperConfig, in_dim: int) -> None:
        super().__init__()
        self.out_dim = in_dim
        self.score = nn.Sequential(
            nn.Linear(in_dim, config.hidden), nn.Tanh(), nn.Linear(config.hidden, 1)
        )

    def forward(self, h: Rows) -> Tensor:
        positions = _positions(h)
        hidden_BS1 = ~positions.mask.unsqueeze(2)
        # Not -inf: a row without positions would become NaN.
        scores_BS1 = self.score(positions.values).masked_fill(hidden_BS1, NEVER)
        return (scores_BS1.softmax(1) * positions.values).sum(1)


def _positions(h: Rows) -> Padded:
    """(B, C, H, W), (B, S, C) or padded (B, S, C) → padded (B, S, C)."""
    if isinstance(h, Padded):
        return h
    if h.dim() in (3, 4):
        h_BSC = h.flatten(2).transpose(1, 2) if h.dim() == 4 else h
        return Padded(h_BSC, torch.full((h.shape[0], 1), h_BSC.shape[1]))
    raise ModelError(
        "this mapper needs spatial maps, but the backbone's last block gives plain features; "
        "choose another mapper or backbone"
    )


MAPPERS: dict[str, Callable[[MapperConfig, int], Mapper]] = {
    "identity": Identity,
    "linear": Linear,
    "matrix": Matrix,
    "mlp": MLP,
    "residual": Residual,
    "conv1x1": Conv1x1,
    "attention": AttentionPool,
}


# Those that need maps or tokens of one branch, not its features
SPATIAL = ("conv1x1", "attention")
# Those that normalise over a step's rows with `config.batch_norm`, which takes two
NORMALISING = ("linear", "mlp")


def build_mapper(config: MapperConfig, in_dim: int) -> Mapper:
    """Build the mapper for features of width `in_dim`."""
    return MAPPERS[config.name](config, in_dim)
