"""Fusion: joins the features of all branches.

Legend: B batch, M branches, D features of one branch or of all, W width.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raytl.config import FusionConfig
from raytl.models.branch import BranchOutput, key_of
from raytl.rows import Rows


@dataclass(frozen=True)
class Fused:
    """The joint features f_BD, and of a single branch what its last block gave, and its taps."""

    features: Tensor
    state: Rows | None = None
    taps: tuple[Tensor, ...] = ()


class Fusion(nn.Module, ABC):
    """Branches' features → f_BD with D = `out_dim`, whichever branches are given. In training a
    share `dropout` of them is hidden, row by row, but never all of a row (Neverova et al. 2016,
    "ModDrop", section 3.2): what is missing later must not end it."""

    out_dim: int

    def __init__(self, dims: Mapping[str, int], dropout: float = 0.0) -> None:
        """`dims`: D of each branch, by name."""
        super().__init__()
        self.dims, self.dropout = dict(dims), dropout

    @property
    def draws(self) -> bool:
        """Whether it draws at random in training."""
        return self.dropout > 0.0

    def rename(self, names: Mapping[str, str]) -> None:
        """Call each branch what `names` says of its name until now."""
        self.dims = {names[name]: dim for name, dim in self.dims.items()}

    @abstractmethod
    def forward(self, outputs: Mapping[str, BranchOutput]) -> Fused:
        """Join the branches that are given, one at least."""

    def _weights(self, outputs: Mapping[str, BranchOutput]) -> Tensor:
        """Return 1.0 where a branch counts in a row, else 0.0, (B, M), of all branches in order."""
        first = next(iter(outputs.values())).features
        there_BM = first.new_zeros(first.shape[0], len(self.dims))
        for m, name in enumerate(self.dims):
            if name in outputs:
                there_BM[:, m] = 1.0
        if not (self.training and self.draws):
            return there_BM
        kept_BM = there_BM * (torch.rand_like(there_BM) >= self.dropout)
        none_left_B1 = kept_BM.sum(1, keepdim=True) == 0
        return torch.where(none_left_B1, there_BM, kept_BM)


class Single(Fusion):
    """One branch: its features as they are."""

    def __init__(self, dims: Mapping[str, int]) -> None:
        super().__init__(dims)
        (self.out_dim,) = dims.values()

    def forward(self, outputs: Mapping[str, BranchOutput]) -> Fused:
        (output,) = outputs.values()
        return Fused(output.features, output.state, output.taps)


class Concat(Fusion):
    """f = [n(f_1), n(f_2), …] with n(f) = (f - mean) / deviation of a row's own features, so that
    no branch outweighs another by its scale; zeros for a branch that is missing."""

    def __init__(self, dims: Mapping[str, int], config: FusionConfig) -> None:
        super().__init__(dims, config.dropout)
        self.out_dim = sum(dims.values())

    def forward(self, outputs: Mapping[str, BranchOutput]) -> Fused:
        weights_BM = self._weights(outputs)
        parts = []
        for m, (name, dim) in enumerate(self.dims.items()):
            if name in outputs:
                parts.append(_normalised(outputs[name].features) * weights_BM[:, m : m + 1])
            else:
                parts.append(weights_BM.new_zeros(weights_BM.shape[0], dim))
        return Fused(torch.cat(parts, dim=1))


class Mean(Fusion):
    """f = the mean of W_m n(f_m) + b_m over the branches that a row has."""

    def __init__(self, dims: Mapping[str, int], config: FusionConfig) -> None:
        super().__init__(dims, config.dropout)
        self.out_dim = config.width or max(dims.values())
        self.projections = nn.ModuleDict(
            {key_of(name): nn.Linear(dim, self.out_dim) for name, dim in dims.items()}
        )

    def rename(self, names: Mapping[str, str]) -> None:
        super().rename(names)
        self.projections = nn.ModuleDict(
            {key_of(new): self.projections[key_of(name)] for name, new in names.items()}
        )

    def forward(self, outputs: Mapping[str, BranchOutput]) -> Fused:
        weights_BM = self._weights(outputs)
        projected_BMW = self._projected(outputs, weights_BM)
        total_BW = (weights_BM.unsqueeze(2) * projected_BMW).sum(1)
        return Fused(total_BW / weights_BM.sum(1, keepdim=True))

    def _projected(self, outputs: Mapping[str, BranchOutput], weights_BM: Tensor) -> Tensor:
        nothing = weights_BM.new_zeros(weights_BM.shape[0], self.out_dim)
        every = [
            self.projections[key_of(name)](_normalised(outputs[name].features)) if name in outputs
            else nothing
            for name in self.dims
        ]  # fmt: skip
        return torch.stack(every, dim=1)


class Gated(Mean):
    """f = Σ_m g_m ⊙ tanh(W_m n(f_m) + b_m) with g = softmax over the branches that a row has of
    V [n(f_1), …] (Arevalo et al. 2017, "Gated Multimodal Units for Information Fusion", section
    3.1; the softmax is their sigmoid where there are two)."""

    def __init__(self, dims: Mapping[str, int], config: FusionConfig) -> None:
        super().__init__(dims, config)
        self.gates = nn.Linear(sum(dims.values()), len(dims) * self.out_dim)

    def forward(self, outputs: Mapping[str, BranchOutput]) -> Fused:
        weights_BM = self._weights(outputs)
        given = [
            _normalised(outputs[name].features) * weights_BM[:, m : m + 1] if name in outputs
            else weights_BM.new_zeros(weights_BM.shape[0], dim)
            for m, (name, dim) in enumerate(self.dims.items())
        ]  # fmt: skip
        scores_BMW = self.gates(torch.cat(given, dim=1)).view(
            weights_BM.shape[0], len(self.dims), -1
        )
        hidden_BM1 = (weights_BM == 0).unsqueeze(2)
        gates_BMW = scores_BMW.masked_fill(hidden_BM1, -torch.inf).softmax(1)
        return Fused((gates_BMW * self._projected(outputs, weights_BM).tanh()).sum(1))


def _normalised(f_BD: Tensor) -> Tensor:
    return F.layer_norm(f_BD, f_BD.shape[1:])


FUSIONS: dict[str, Callable[[Mapping[str, int], FusionConfig], Fusion]] = {
    "concat": Concat,
    "gated": Gated,
    "mean": Mean,
}


def build_fusion(config: FusionConfig, dims: Mapping[str, int]) -> Fusion:
    """Build the fusion of branches with these widths, by name; of one branch, its features."""
    return Single(dims) if len(dims) == 1 else FUSIONS[config.name](dims, config)
