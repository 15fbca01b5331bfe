"""Which modules a network calls in one run, and what they hand on."""

# A run is recorded with gradients, so that what hangs on the input or on weights is known by its
# `requires_grad`.

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

Key = tuple[int, int]  # a tensor, and how often it was written to


@dataclass
class Call:
    """One call of a module: its tensor in and its tensor out (None where it takes or gives
    anything else), what else it was given that is the same for all rows, and the calls that it
    made."""

    name: str
    start: Key | None
    end: Key | None = None
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)
    children: list["Call"] = field(default_factory=list)

    def every(self) -> Iterator["Call"]:
        """Yield all calls below this one."""
        for child in self.children:
            yield child
            yield from child.every()


class Recording:
    """One run of a network: the tree of its calls below `top`, and the run's result."""

    def __init__(self, network: nn.Module, run: Callable[[Tensor], Any], x: Tensor) -> None:
        self._names = {module: name for name, module in network.named_modules()}
        self._alive: list[Tensor] = []  # so that no id is given twice
        x = x.detach().clone().requires_grad_()
        self.top = Call("", self._key(x))
        self._open = [self.top]
        handles = [m.register_forward_pre_hook(self._enter, with_kwargs=True) for m in self._names]
        handles += [m.register_forward_hook(self._leave) for m in self._names]
        try:
            with torch.enable_grad():
                self.result = run(x)
        finally:
            for handle in handles:
                handle.remove()
        self.top.end = self._key(self.result)

    @property
    def names(self) -> list[str]:
        """The modules called, as often as they were."""
        return [call.name for call in self.top.every()]

    def _key(self, given: Any) -> Key | None:
        if not isinstance(given, Tensor):
            return None
        self._alive.append(given)
        return id(given), given._version

    def _enter(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        more = {key: value for key, value in kwargs.items() if value is not None}
        fixed = all(map(_is_fixed, (*args[1:], *more.values())))
        start = self._key(args[0]) if args and fixed else None
        call = Call(self._names[module], start, args=args[1:], kwargs=more)
        self._open[-1].children.append(call)
        self._open.append(call)

    def _leave(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        self._open.pop().end = self._key(output)


def _is_fixed(value: Any) -> bool:
    if isinstance(value, Tensor):
        return not value.requires_grad
    return isinstance(value, int | float | str | tuple | None)
