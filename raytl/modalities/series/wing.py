"""The wing of series."""

from collections.abc import Mapping
from typing import Any

from torch import nn

from raytl.config import SourceModelConfig
from raytl.errors import ModelError
from raytl.modalities.backbone import Backbone
from raytl.modalities.base import Modality, Sample, Transform
from raytl.modalities.column import Column
from raytl.modalities.local_networks import checked_name, load_file
from raytl.modalities.options import options_of
from raytl.modalities.series.catalogue import (
    BACKBONES,
    SeriesNetwork,
    build_backbone,
    network_args,
)
from raytl.modalities.series.column import SeriesColumn
from raytl.modalities.series.transform import (
    SeriesOptions,
    SeriesTransform,
    fit_series,
    series_transform,
)
from raytl.modalities.stems import Steps


class Series(Modality):
    """Series of one or several channels. Rows are not mixed: their lengths differ, and a mean of
    two motions at other phases is no motion."""

    name = "series"
    column = SeriesColumn

    def backbones(self) -> Mapping[str, SeriesNetwork]:
        return BACKBONES

    def check(self, config: SourceModelConfig) -> None:
        if config.path is not None:
            return
        network_args(checked_name(config, "series", BACKBONES), config.args)
        options_of(SeriesOptions, config.transform, "transform")

    def fit(self, config: SourceModelConfig, column: Column, sample: Sample) -> SeriesTransform:
        assert isinstance(column, SeriesColumn)
        options = options_of(SeriesOptions, config.transform, "transform")
        return fit_series(options, column, sample)

    def transform(self, facts: Mapping[str, Any]) -> SeriesTransform:
        return series_transform(facts)

    def build(self, backbone: str, transform: Transform, args: Mapping[str, Any]) -> Backbone:
        assert isinstance(transform, SeriesTransform)
        return build_backbone(backbone, transform, args)

    def stem(
        self, config: SourceModelConfig, column: Column, sample: Sample
    ) -> tuple[Transform, dict[str, Any]]:
        """A linear map of each step; its transform takes the options of series."""
        for option in ("args", "input_size", "normalization"):
            if getattr(config, option):
                raise ModelError(f"graft: {option} means nothing to a stem of series; remove it")
        return self.fit(config, column, sample), {}

    def tokens(self, transform: Transform, width: int, args: Mapping[str, Any]) -> nn.Module:
        assert isinstance(transform, SeriesTransform)
        return Steps(transform.example(1).values.shape[2], width)

    def load(self, config: SourceModelConfig, transform: Transform) -> Backbone:
        """Build it, and load a local state dict."""
        assert config.backbone is not None
        backbone = self.build(config.backbone, transform, config.args)
        load_file(backbone, config)
        return backbone
