"""Networks for tables, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from raytl.config import Frozen, nearest
from raytl.errors import ModelError
from raytl.modalities.backbone import Backbone
from raytl.modalities.options import options_of
from raytl.modalities.table.ft_transformer import ClassToken, FTTransformerOptions, ft_transformer
from raytl.modalities.table.layout import Layout
from raytl.modalities.table.mlp import MLPOptions, mlp


@dataclass(frozen=True)
class TableNetwork:
    """A network for tables: its arguments, its blocks, its pooling."""

    options: type[Frozen]
    blocks: Callable[[Layout, Any], list[nn.Module]]
    pool: Callable[[], nn.Module]


BACKBONES: dict[str, TableNetwork] = {
    "mlp": TableNetwork(MLPOptions, mlp, nn.Identity),
    "ft_transformer": TableNetwork(FTTransformerOptions, ft_transformer, ClassToken),
}


def network_options(name: str, args: Mapping[str, Any]) -> tuple[TableNetwork, Any]:
    """Return a network and its checked arguments; raises ModelError for an unknown name or
    argument."""
    if name not in BACKBONES:
        raise ModelError(f"unknown backbone '{name}' for tables; {nearest(name, list(BACKBONES))}")
    network = BACKBONES[name]
    return network, options_of(network.options, args, f"{name}: args")


def build(name: str, layout: Layout, args: Mapping[str, Any]) -> Backbone:
    """Build a network with fresh weights that reads rows of `layout`. Raises ModelError for an
    unknown name or argument."""
    network, options = network_options(name, args)
    example = torch.zeros(2, layout.width)
    return Backbone(name, network.blocks(layout, options), network.pool(), example)
