"""What blocks of timm's networks are made of.

Legend: B batch, C channels, H height, W width, D features.
"""

from typing import Any

from torch import Tensor, nn


class Features(nn.Module):
    """What is left of a network's `forward_features`: the stem."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x_BCHW: Tensor) -> Tensor:
        return self.network.forward_features(x_BCHW)  # type: ignore[operator]


class Passed(nn.Identity):
    """In a module's place: gives the first thing that it is given."""

    def forward(self, h: Tensor, *args: Any, **kwargs: Any) -> Tensor:  # type: ignore[override]
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
        replace_module(network, name)


def replace_module(network: nn.Module, name: str) -> None:
    """Take a module out, and let what it is given pass in its place."""
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, Passed())
