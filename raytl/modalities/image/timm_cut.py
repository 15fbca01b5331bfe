"""Any network of timm as ordered blocks.

timm's networks have two halves, `forward_features` and `forward_head`, and say which of their
parameters belong together (`group_matcher`). One run in eval mode shows which modules hand their
output on, as it is, to the next: those are a chain, and the links of one group are a block. What
`forward_features` computes before the chain (patches, class token, positions) is the stem. So the
blocks compute what timm computes, whatever the family; where a network mixes its modules in
another way, the chain is shorter and the stem larger.

Legend: B batch, C channels, H height, W width, S positions, D features.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn

from raytl.modalities.image.recording import Call, Key, Recording


def cut(network: Any, x_BCHW: Tensor) -> tuple[list[nn.Module], nn.Module]:
    """Return blocks and pool of a network in eval mode, which is taken apart. Fails, in whatever
    way, where it is none of the kind."""
    drop_classifier(network)
    run = Recording(network, network.forward_features, x_BCHW)
    head_run = Recording(network, lambda h: network.forward_head(h, pre_logits=True), run.result)
    nhwc = run.result.dim() == 4 and str(getattr(network, "output_fmt", "")).endswith("NHWC")
    links, start = _Chain(network, run).below(run.top)
    whole = start == run.top.start
    units = [
        [_as_block(network.get_submodule(link.name), link) for link in unit]
        for unit in _grouped(network, links, has_stem=not whole)
    ]
    for link in links:
        _replace(network, link.name)
    if not whole:
        units[0].insert(0, Features(_only(network, run.names, own_parameters=True)))
    if nhwc:
        units[-1].append(ChannelsFirst())
    head = Head(_only(network, head_run.names, own_parameters=False), nhwc)
    blocks = [unit[0] if len(unit) == 1 else nn.Sequential(*unit) for unit in units]
    if next(head.parameters(), None) is None:
        return blocks, head
    return [*blocks, head], nn.Identity()


class Features(nn.Module):
    """What is left of a network's `forward_features`: the stem."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.network.forward_features(x_BCHW)  # type: ignore[operator]


class Passed(nn.Identity):
    """In a module's place: gives the first thing that it is given."""

    def forward(self, h: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return h


class With(nn.Module):
    """A module and what else it is given in every call (positions to rotate by, a size)."""

    def __init__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        super().__init__()
        self.module, self._count, self._keys = module, len(args), list(kwargs)
        named = {f"arg_{number}": value for number, value in enumerate(args)}
        for name, value in (named | {f"key_{key}": kwargs[key] for key in kwargs}).items():
            if isinstance(value, Tensor):
                self.register_buffer(name, value.detach().clone(), persistent=False)
            else:
                setattr(self, name, value)

    def forward(self, h: Tensor) -> Tensor:
        args = [getattr(self, f"arg_{number}") for number in range(self._count)]
        return self.module(h, *args, **{key: getattr(self, f"key_{key}") for key in self._keys})


def _as_block(module: nn.Module, link: Call) -> nn.Module:
    return With(module, link.args, link.kwargs) if link.args or link.kwargs else module


class ChannelsFirst(nn.Module):
    """(B, H, W, C) → (B, C, H, W), as maps are."""

    def forward(self, h_BHWC: Tensor) -> Tensor:
        return h_BHWC.permute(0, 3, 1, 2)


class Head(nn.Module):
    """A network's `forward_head` up to the classifier: maps or tokens → (B, D)."""

    def __init__(self, network: nn.Module, nhwc: bool) -> None:
        super().__init__()
        self.network, self.nhwc = network, nhwc

    def forward(self, h: Tensor) -> Tensor:
        h = h.permute(0, 2, 3, 1) if self.nhwc else h
        return self.network.forward_head(h, pre_logits=True)  # type: ignore[operator]


class Whole(nn.Module):
    """A network that cannot be cut, as one block: (B, C, H, W) → (B, D)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        drop_classifier(network)
        self.network = network

    def forward(self, x_BCHW: Tensor) -> Tensor:
        h = self.network.forward_features(x_BCHW)  # type: ignore[operator]
        return self.network.forward_head(h, pre_logits=True)  # type: ignore[operator]


def drop_classifier(network: Any) -> None:
    """Take a network's classifiers away; `forward_head(…, pre_logits=True)` calls none."""
    found = network.get_classifier()
    those = found if isinstance(found, tuple | list) else (found,)
    for name in [n for n, m in network.named_modules() if any(m is one for one in those)]:
        _replace(network, name)


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


def _replace(network: nn.Module, name: str) -> None:
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, Passed())


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
            _replace(module, last)


def same(one: Tensor, other: Tensor) -> bool:
    """Whether two results agree up to rounding."""
    return one.shape == other.shape and bool((one - other).abs().max() < 1e-4)


@torch.no_grad()
def computes(blocks: nn.ModuleList, pool: nn.Module, x_BCHW: Tensor, wanted_BD: Tensor) -> bool:
    """Whether blocks and pool give `wanted_BD`, and no block changes its input."""
    h = x_BCHW
    for block in blocks:
        before = h.clone()
        after = block(h)
        if not torch.equal(h, before):
            return False
        h = after
    return same(pool(h), wanted_BD)
