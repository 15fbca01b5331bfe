"""Fusion: joins the features of all branches.

Legend: B batch, D features.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from raytl.models.branch import BranchOutput
from raytl.rows import Rows


@dataclass(frozen=True)
class Fused:
    """The joint features f_BD, and of a single branch what its last block gave."""

    features: Tensor
    state: Rows | None


class Single(nn.Module):
    """One branch: its features as they are."""

    def __init__(self, dims: Mapping[str, int]) -> None:
        super().__init__()
        (self.out_dim,) = dims.values()

    def forward(self, outputs: Mapping[str, BranchOutput]) -> Fused:
        (output,) = outputs.values()
        return Fused(output.features, output.state)
