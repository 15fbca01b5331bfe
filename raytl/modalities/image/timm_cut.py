"""Any network of timm as ordered blocks.

timm's networks have two halves, `forward_features` and `forward_head`, and say which of their
parameters belong together (`group_matcher`). One run in eval mode shows which modules hand their
output on, as it is, to the next: those are a chain, and the links of one group are a block. What
`forward_features` computes before the chain (patches, class token, positions) is the stem. So the
blocks compute what timm computes, whatever the family; where a network mixes its modules in
another way, the chain is shorter and the stem larger.

Legend: B batch, C channels, H height, W width, D features.
"""

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from raytl.modalities.image.recording import Call, Key, Recording
from raytl.modalities.image.timm_parts import (
    ChannelsFirst,
    Features,
    Head,
    With,
    drop_classifier,
    replace_module,
)


def cut(network: Any, x_BCHW: Tensor) -> tuple[list[nn.Module], nn.Module]:
    """Return blocks and pool of a network in eval mode, which is taken apart. Fails, in whatever
    way, where it is none of the kind."""
    drop_classifier(network)
    run = Recording(network, network.forward_features, x_BCHW)
    head_run = Recording(network, lambda h: network.forward_head(h, pre_logits=True), run.result)
    nhwc = run.result.dim() == 4 and gives_nhwc(network)
    links, start = _Chain(network, run).below(run.top)
    whole = start == run.top.start
    units = [
        [_as_block(network.get_submodule(link.name), link) for link in unit]
        for unit in _grouped(network, links, has_stem=not whole)
    ]
    for link in links:
        replace_module(network, link.name)
    if not whole:
        units[0].insert(0, Features(_only(network, run.names, own_parameters=True)))
    if nhwc:
        units[-1].append(ChannelsFirst())
    head = Head(_only(network, head_run.names, own_parameters=False), nhwc)
    blocks = [unit[0] if len(unit) == 1 else nn.Sequential(*unit) for unit in units]
    if next(head.parameters(), None) is None:
        return blocks, head
    return [*blocks, head], nn.Identity()


def gives_nhwc(network: Any) -> bool:
    """Whether a network says that its maps have their channels last."""
    return str(getattr(network, "output_fmt", "")).endswith("NHWC")


@torch.no_grad()
def channels_last(blocks: Sequence[nn.Module], x_BCHW: Tensor, nhwc: bool) -> frozenset[int]:
    """Return the numbers of the blocks, in eval mode, whose maps have their channels last: height
    and width are to each other as those of the input. `nhwc`: what holds where both are so."""
    found, h = set(), x_BCHW
    wanted = math.log(x_BCHW.shape[2] / x_BCHW.shape[3])
    for number, block in enumerate(blocks):
        h = block(h)
        if h.dim() != 4:
            continue
        first, last = (abs(math.log(h.shape[i] / h.shape[i + 1]) - wanted) for i in (2, 1))
        if last < first or (last == first and nhwc):
            found.add(number)
    return frozenset(found)


def _as_block(module: nn.Module, link: Call) -> nn.Module:
    return With(module, link.args, link.kwargs) if link.args or link.kwargs else module


class _Chain:
    """The chain of modules that ends in a run's result, as finely as parameters are grouped."""

    def __init__(self, network: nn.Module, run: Recording) -> None:
        self._network = network
        self._groups = groups_of(network)
        names = run.names
        self._once = {name for name in names if names.count(name) == 1}

    def below(self, call: Call) -> tuple[list[Call], Key | None]:
        """Return the links of which the last gives what `call` gives, and the tensor that the first
        of them takes."""
        links: list[Call] = []
        key = call.end
        for child in reversed(call.children):
            if child.end == key and child.start is not None and child.name in self._once:
                links.insert(0, child)
                key = child.start
        return [finer for link in links for finer in self._finer(link)], key

    def _finer(self, link: Call) -> list[Call]:
        if len(_groups_in(self._network, link.name, self._groups)) < 2:
            return [link]
        parts, start = self.below(link)
        return parts if start == link.start else [link]


def groups_of(network: Any) -> dict[str, int]:
    """Return the number of the group that each parameter belongs to, from the input."""
    import timm

    matcher = network.group_matcher(coarse=False)
    return timm.models.group_parameters(network, matcher, reverse=True)


def _groups_in(network: nn.Module, name: str, groups: dict[str, int]) -> set[int]:
    module = network.get_submodule(name)
    return {groups[f"{name}.{key}"] for key, _ in module.named_parameters()}


def _grouped(network: nn.Module, links: list[Call], *, has_stem: bool) -> list[list[Call]]:
    """Join links to blocks: those of one group, and what has no matrix (a norm, an activation) to
    the block before it."""
    blocks: list[list[Call]] = [[]] if has_stem else []
    groups, reached = groups_of(network), -1
    for link in links:
        parameters = list(network.get_submodule(link.name).parameters())
        own = _groups_in(network, link.name, groups)
        matrix = any(parameter.dim() > 1 for parameter in parameters)
        if not blocks or (matrix and max(own) > reached):
            blocks.append([])
        blocks[-1].append(link)
        reached = max(own | {reached})
    return blocks


def _only(network: nn.Module, called: list[str], *, own_parameters: bool) -> nn.Module:
    """Return a copy without the modules that have parameters and were not called."""
    twin = copy.deepcopy(network)
    _prune(twin, "", set(called))
    if not own_parameters:
        for name in list(twin._parameters):
            twin._parameters[name] = None
    return twin


def _prune(module: nn.Module, prefix: str, called: set[str]) -> None:
    for last, child in list(module.named_children()):
        name = prefix + last
        if name in called:
            continue
        if any(other.startswith(f"{name}.") for other in called):
            _prune(child, f"{name}.", called)
        elif any(True for _ in child.parameters()):
            replace_module(module, last)


@torch.no_grad()
def computes(blocks: nn.ModuleList, pool: nn.Module, x_BCHW: Tensor, wanted_BD: Tensor) -> bool:
    """Whether blocks and pool give `wanted_BD` up to rounding, and no block changes its input."""
    h = x_BCHW
    for block in blocks:
        before = h.clone()
        after = block(h)
        if not torch.equal(h, before):
            return False
        h = after
    f_BD, largest = pool(h), wanted_BD.abs().max().clamp(min=1.0)
    return f_BD.shape == wanted_BD.shape and bool((f_BD - wanted_BD).abs().max() < 1e-4 * largest)
