"""Mappers: the module T between source features and head.

Legend: B batch, D features.
"""

from collections.abc import Callable

from torch import Tensor, nn

from raytl.config import MapperConfig


class Mapper(nn.Module):
    """f_BD → z_BD' with D' = `out_dim`."""

    out_dim: int


class Identity(Mapper):
    """z = f."""

    def __init__(self, config: MapperConfig, in_dim: int) -> None:
        super().__init__()
        self.out_dim = in_dim

    def forward(self, f_BD: Tensor) -> Tensor:
        return f_BD


class Linear(Mapper):
    """z = W f + b."""

    def __init__(self, config: MapperConfig, in_dim: int) -> None:
        super().__init__()
        self.out_dim = config.out or in_dim
        self.linear = nn.Linear(in_dim, self.out_dim)

    def forward(self, f_BD: Tensor) -> Tensor:
        return self.linear(f_BD)


class MLP(Mapper):
    """z = relu(W2 relu(W1 f + b1) + b2)."""

    def __init__(self, config: MapperConfig, in_dim: int) -> None:
        super().__init__()
        self.out_dim = config.out or in_dim
        self.layers = nn.Sequential(
            nn.Linear(in_dim, config.hidden), nn.ReLU(), nn.Linear(config.hidden, self.out_dim),
            nn.ReLU(),
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


MAPPERS: dict[str, Callable[[MapperConfig, int], Mapper]] = {
    "identity": Identity,
    "linear": Linear,
    "mlp": MLP,
    "residual": Residual,
}


def build_mapper(config: MapperConfig, in_dim: int) -> Mapper:
    """Build the mapper for features of width `in_dim`."""
    return MAPPERS[config.name](config, in_dim)
