"""Image networks that read smaller images, where the minutes are few."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from raytl.errors import RaytlError
from raytl.modalities.image.catalogue import backbone_spec
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.image.timm_models import TIMM, timm_settings
from raytl.starting.candidates import Candidate, Config
from raytl.starting.facts import Facts

SIDES = (160, 128, 96, 64)  # pixels; below, networks of photographs know little


def sides_of(
    models: Sequence[Candidate], facts: Facts
) -> Iterator[tuple[int | None, Mapping[str, float]]]:
    """Yield sides of what pretrained image networks read, None for their own first, and which share
    of the time each takes then: work goes with the pixels."""
    yield None, {}
    own = {model.name: side for model in models if (side := _side(model, facts)) is not None}
    # What a head has to draw is lost in images that are much smaller
    least = max(own.values(), default=0) // 2 if "maps" in facts.gives else 0
    for side in (side for side in SIDES if side >= least):
        smaller = {name: (side / of) ** 2 for name, of in own.items() if side < of}
        if smaller:
            yield side, smaller


def with_side(model: Candidate, side: int, facts: Facts) -> Candidate:
    """Return a source model that reads images of `side` pixels, if it read larger ones."""
    own = _side(model, facts)
    if own is None or own <= side:
        return model
    column, config = _of_images(model, facts)
    smaller = config | {"input_size": side}
    if "parts" not in model.config:
        return replace(model, config=smaller)
    parts = model.config["parts"] | {column: smaller}
    return replace(model, config=model.config | {"parts": parts})


def _of_images(model: Candidate, facts: Facts) -> tuple[str, Config]:
    """Return the first column of images and the configuration of the network that reads it; an
    empty one where there is none."""
    for name, column in facts.inputs.items():
        if isinstance(column, ImageColumn):
            parts = model.config.get("parts")
            return name, model.config if parts is None else parts.get(name, {})
    return "", {}


def _side(model: Candidate, facts: Facts) -> int | None:
    """Return the side, in pixels, of what a pretrained image network reads; None where it cannot be
    another, or the model reads no images."""
    column, config = _of_images(model, facts)
    if not model.pretrained or not ("torchvision" in config or "timm" in config):
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
    images = facts.inputs[column]
    assert isinstance(images, ImageColumn)
    return of_timm or max(*images.shape[:2], spec.min_side)
