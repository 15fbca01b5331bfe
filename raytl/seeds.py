"""Seeds by name: every random choice has a seed of its own, derived from what it is for."""

import hashlib

Name = str | int


def seed_for(*names: Name) -> int:
    """Return a seed in [0, 2^31) that depends on every name, in order.

    `seed_for(study.search.seed, "validation")` and `seed_for(study.search.seed, "shuffle")` are
    independent streams, and adding a new name later changes none of the others.
    """
    digest = hashlib.sha256("\x1f".join(f"{type(n).__name__}:{n}" for n in names).encode())
    return int.from_bytes(digest.digest()[:4], "big") >> 1
