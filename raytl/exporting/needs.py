"""Packages that some formats need, which an extra brings."""

from collections.abc import Sequence
from importlib.util import find_spec

from raytl.errors import RaytlError


def need(extra: str, packages: Sequence[str]) -> None:
    """Raise RaytlError, naming the extra, where one of the packages is not installed."""
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise RaytlError(
            f"{', '.join(missing)}: not installed, but needed for this format; "
            f"pip install 'raytl[{extra}]'"
        )
