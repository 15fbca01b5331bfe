"""Parts of pages that are made of the package: what `<!-- made: NAME -->` becomes."""

from collections.abc import Callable

import commands
import registries
import study_keys

PARTS: dict[str, Callable[[], str]] = {
    "commands": commands.reference,
    "study": study_keys.study,
    "trial": study_keys.trial,
    **registries.PARTS,
}


def part(name: str) -> str:
    """Return a part's Markdown. Raises KeyError for an unknown one, which ends the build."""
    return PARTS[name]()
