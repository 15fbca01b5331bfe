"""Networks for series by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from raytl.config import Frozen, nearest
from raytl.errors import ModelError
from raytl.modalities.backbone import Backbone
from raytl.modalities.options import options_of
from raytl.modalities.series.inception import InceptionArgs, build_inception
from raytl.modalities.series.last_steps import LastStepsArgs, build_last_steps
from raytl.modalities.series.rnn import RnnArgs, build_rnn
from raytl.modalities.series.transform import SeriesTransform


@dataclass(frozen=True)
class SeriesNetwork:
    """How a network is built: build(name, channels, args, example); and what `args` it takes."""

    build: Callable[..., Backbone]
    args: type[Frozen]


BACKBONES: dict[str, SeriesNetwork] = {
    "lstm": SeriesNetwork(build_rnn, RnnArgs),
    "gru": SeriesNetwork(build_rnn, RnnArgs),
    "inception": SeriesNetwork(build_inception, InceptionArgs),
    "last_steps": SeriesNetwork(build_last_steps, LastStepsArgs),
}


def network_args(name: str, args: Mapping[str, Any]) -> Frozen:
    """Return the checked arguments of a network; raises ModelError that names the nearest known
    name or argument."""
    if name not in BACKBONES:
        raise ModelError(f"unknown backbone '{name}' for series; {nearest(name, list(BACKBONES))}")
    return options_of(BACKBONES[name].args, args, f"{name}: args")


def build_backbone(name: str, transform: SeriesTransform, args: Mapping[str, Any]) -> Backbone:
    """Build network `name` with fresh weights for the transform's channels; raises ModelError as
    `network_args` does."""
    checked = network_args(name, args)
    return BACKBONES[name].build(name, len(transform.channels), checked, transform.example(2))
