"""Which blocks of a backbone are frozen or tuned, as numbers and as percentages."""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator

from raytl.errors import ConfigError


def _check_depth(value: Any) -> int | str:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)%", str(value))
    if match and float(match[1]) <= 100:
        return str(value)
    raise ValueError(
        f"frozen_depth must be a number of blocks >= 0 or a percentage 0%..100%, got {value!r}"
    )


FrozenDepth = Annotated[int | str, BeforeValidator(_check_depth)]


_RANGE = re.compile(r"(\d+)(?:-(\d+))?|(\d{1,3})%-(\d{1,3})%")


def _check_range(value: Any) -> str:
    match = _RANGE.fullmatch(str(value))
    if match is not None:
        low, high = int(match[1] or match[3]), int(match[2] or match[4] or match[1])
        if low <= high and (match[3] is None or high <= 100):
            return str(value)
    raise ValueError(
        "tuned_blocks must be a block, a range of blocks or of percentages, such as 0, 2-3 or "
        f"0%-25%, got {value!r}"
    )


BlockRange = Annotated[str, BeforeValidator(_check_range)]


def tuned_blocks(blocks: str, num_blocks: int, backbone: str) -> range:
    """Return the numbers of the blocks that `blocks` names, of a backbone with `num_blocks`.

    Percentages are rounded to the nearest block; the range holds one block at least. Raises
    ConfigError where a block lies beyond the backbone.
    """
    match = _RANGE.fullmatch(blocks)
    assert match is not None
    if match[3] is not None:
        first, end = (round(num_blocks * int(match[i]) / 100) for i in (3, 4))
        first = min(first, num_blocks - 1)
        return range(first, max(end, first + 1))
    last = int(match[2] or match[1])
    if last >= num_blocks:
        raise ConfigError(
            f"tuned_blocks < blocks must hold, but got tuned_blocks={blocks} for {backbone} with "
            f"{num_blocks} blocks, counted from 0; lower it or use percentages"
        )
    return range(int(match[1]), last + 1)


def frozen_blocks(depth: int | str, num_blocks: int, backbone: str) -> int:
    """Return how many leading blocks of a backbone with `num_blocks` blocks `depth` freezes.

    A percentage is rounded to the nearest block. Raises ConfigError where a number of blocks
    goes beyond the backbone.
    """
    if isinstance(depth, str):
        return round(num_blocks * float(depth.removesuffix("%")) / 100)
    if depth > num_blocks:
        raise ConfigError(
            f"frozen_depth <= blocks must hold, but got frozen_depth={depth} for {backbone} "
            f"with {num_blocks} blocks; lower it or use a percentage"
        )
    return depth
