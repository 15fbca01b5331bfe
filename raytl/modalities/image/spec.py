"""What is known of an image network before it is built."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor

from raytl.errors import ModelError
from raytl.modalities.backbone import Backbone

Shape = tuple[int, int, int]  # (C, H, W)


@dataclass(frozen=True)
class BackboneSpec:
    """How a backbone is built, and what inputs it takes."""

    build: Callable[..., Backbone]  # build(name, input_shape, **args)
    min_side: int
    channels: tuple[int, ...] | None = None  # None: any number
    side_multiple: int = 1
    default_side: int | None = None  # None: the data's own
    of: Literal["raytl", "torchvision", "timm"] = "raytl"
    rename: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None  # others' weights


@contextlib.contextmanager
def building(
    name: str, input_shape: Shape, args: Mapping[str, Any], how: str = ""
) -> Iterator[None]:
    """Raise ModelError for whatever a network raises of arguments and shapes that it cannot
    take."""
    try:
        yield
    except Exception as error:  # arguments reach code of others, which checks few of them
        reason = (str(error).splitlines() or ["no reason given"])[0][:160]
        with_args = f"args {dict(args)}"[:160] if args else "no arguments"
        raise ModelError(
            f"{name} cannot be built for inputs of {input_shape} with {with_args}"
            f"{f' {how}' if how else ''}: {type(error).__name__}: {reason}"
        ) from None
