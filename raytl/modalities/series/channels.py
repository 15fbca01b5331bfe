"""Which channels two datasets share, by name."""

from raytl.errors import ModelError


def channel_places(wanted: tuple[str, ...], found: tuple[str, ...]) -> tuple[int, ...]:
    """Return where in `found` each wanted channel stands; more channels may stand there. Raises
    ModelError where one does not."""
    missing = [name for name in wanted if name not in found]
    if missing:
        raise ModelError(
            f"channels {_listed(wanted)} are read, but the series have {_listed(found)}: no "
            f"{_listed(missing)}; name the channels alike, or take another source model"
        )
    return tuple(found.index(name) for name in wanted)


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
