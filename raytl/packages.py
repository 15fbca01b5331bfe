"""The versions of the packages that numbers hang on, and raytl's own source."""

import hashlib
import socket
from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from raytl.errors import ConfigError, RaytlError


def versions_of(packages: Iterable[str]) -> dict[str, str]:
    """Return the versions of those of the packages that are installed."""
    found = {name: _version(name) for name in packages}
    return {name: known for name, known in found.items() if known is not None}


@cache  # reading it takes about a millisecond, and keys of prefix features ask often
def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:  # an extra that was not asked for
        return None


def own_version() -> str:
    """Return raytl's version; "unknown" of a checkout that was never installed."""
    return _version("raytl") or "unknown"


def pandas() -> Any:
    """Return the module, imported where tables are asked for. Raises ConfigError where it is not
    installed."""
    try:
        import pandas as module
    except ImportError:
        raise ConfigError("results as DataFrames need pandas; pip install pandas") from None
    return module


@cache
def source_digest() -> str:
    """Return the SHA-256 of raytl's own source files."""
    root, digest = Path(__file__).parent, hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(str(file.relative_to(root)).encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def check_raytl(driver: str) -> None:
    """Raise RaytlError where this process runs another raytl than that of the `driver`, by its
    source's digest: its numbers would not go with the others'."""
    here = source_digest()
    if here != driver:
        raise RaytlError(
            f"{socket.gethostname()}: raytl here is not the driver's (source {here:.12}, there "
            f"{driver:.12}); install the same on every node (`raytl doctor`)"
        )
