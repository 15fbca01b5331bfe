"""Networks for tables, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pydantic import ValidationError
from torch import nn

from raytl.config import Frozen, nearest
from raytl.errors import ModelError
from raytl.modalities.backbone import Backbone
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


def checked(options: type[Frozen], given: Mapping[str, Any], place: str) -> Any:
    """Return `given` as options; raises ModelError for the first that does not hold."""
    try:
        return options.model_validate(dict(given))
    except ValidationError as error:
        first = error.errors()[0]
        where = ": ".join([place, *(str(part) for part in first["loc"])])
        what = first["msg"].removeprefix("Value error, ")
        got = f", got {first['input']!r}" if first["loc"] else ""
        raise ModelError(f"{where}: {what}{got}") from None


def network_options(name: str, args: Mapping[str, Any]) -> tuple[TableNetwork, Any]:
    """Return a network and its checked arguments; raises ModelError for an unknown name or
    argument."""
    if name not in BACKBONES:
        raise ModelError(f"unknown backbone '{name}' for tables; {nearest(name, list(BACKBONES))}")
    network = BACKBONES[name]
    return network, checked(network.options, args, f"{name}: args")


def build(name: str, layout: Layout, args: Mapping[str, Any]) -> Backbone:
    """Build a network with fresh weights that reads rows of `layout`. Raises ModelError for an
    unknown name or argument."""
    network, options = network_options(name, args)
    example = torch.zeros(2, layout.width)
    return Backbone(name, network.blocks(layout, options), network.pool(), example)
