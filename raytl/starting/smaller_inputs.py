"""Image networks that read smaller images, where the minutes are few."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from raytl.errors import RaytlError
from raytl.modalities.image.catalogue import backbone_spec
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.image.timm_models import TIMM, timm_settings
from raytl.starting.candidates import Candidate
from raytl.starting.facts import Facts

SIDES = (160, 128, 96)  # pixels; below, networks of photographs know little


def sides_of(
    models: Sequence[Candidate], facts: Facts
) -> Iterator[tuple[int | None, Mapping[str, float]]]:
    """Yield sides of what pretrained image networks read, None for their own first, and which share
    of the time each takes then: work goes with the pixels."""
    yield None, {}
    own = {model.name: side for model in models if (side := _side(model, facts)) is not None}
    for side in SIDES:
        smaller = {name: (side / of) ** 2 for name, of in own.items() if side < of}
        if smaller:
            yield side, smaller


def with_side(model: Candidate, side: int, facts: Facts) -> Candidate:
    """Return a source model that reads images of `side` pixels, if it read larger ones."""
    own = _side(model, facts)
    if own is None or own <= side:
        return model
    return replace(model, config=model.config | {"input_size": side})


def _side(model: Candidate, facts: Facts) -> int | None:
    """Return the side, in pixels, of what a pretrained image network reads; None where it cannot be
    another, or there are several columns."""
    columns, config = list(facts.inputs.values()), model.config
    if not model.pretrained or len(columns) != 1 or not isinstance(columns[0], ImageColumn):
        return None
    if "torchvision" not in config and "timm" not in config:
        return None
    name = f"{TIMM}{config['timm']}" if "timm" in config else config["torchvision"]
    try:
        spec = backbone_spec(name)
        if spec.default_side is not None or spec.side_multiple > 1:
            return None
        if "input_size" in config:
            return int(config["input_size"])
        of_timm = timm_settings(name).input_size[1] if "timm" in config else None
    except RaytlError:
        return None
    return of_timm or max(*columns[0].shape[:2], spec.min_side)
