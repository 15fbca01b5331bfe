"""The wing of tables."""

from collections.abc import Mapping
from typing import Any

from raytl.config import SourceModelConfig
from raytl.modalities.backbone import Backbone
from raytl.modalities.base import Modality, Sample, Transform
from raytl.modalities.column import Column
from raytl.modalities.local_networks import checked_name, load_file
from raytl.modalities.options import options_of
from raytl.modalities.table.catalogue import (
    BACKBONES,
    TableNetwork,
    build,
    network_options,
)
from raytl.modalities.table.column import TableColumn
from raytl.modalities.table.grafting import graft_fields
from raytl.modalities.table.matching import compared_tables
from raytl.modalities.table.transform import (
    TableTransform,
    TransformOptions,
    fit_table,
    table_transform,
)


class Table(Modality):
    """Tables of numbers and categories, any of them missing."""

    name = "table"
    column = TableColumn
    packages = ("scipy",)

    def backbones(self) -> Mapping[str, TableNetwork]:
        return BACKBONES

    def check(self, config: SourceModelConfig) -> None:
        """Raise ModelError, too, for pretrained networks of hubs, which read no tables."""
        if config.path is not None:
            return
        network_options(checked_name(config, "tables", BACKBONES), config.args)
        options_of(TransformOptions, config.transform, "transform")

    def fit(self, config: SourceModelConfig, column: Column, sample: Sample) -> TableTransform:
        assert isinstance(column, TableColumn)
        options = options_of(TransformOptions, config.transform, "transform")
        return fit_table(column, sample(), options)

    def transform(self, facts: Mapping[str, Any]) -> TableTransform:
        return table_transform(facts)

    def build(self, backbone: str, transform: Transform, args: Mapping[str, Any]) -> Backbone:
        assert isinstance(transform, TableTransform)
        return build(backbone, transform.layout, args)

    def adapted(
        self,
        backbone: Backbone,
        transform: Transform,
        args: Mapping[str, Any],
        column: Column,
        sample: Sample,
    ) -> tuple[Backbone, Transform, str | None]:
        """Fields and categories that both tables have keep their weights; others start fresh. A
        number that was constant so far, and read as 0, is scaled anew."""
        assert isinstance(transform, TableTransform) and isinstance(column, TableColumn)
        extended = transform.extended(column, sample())
        if extended.layout == transform.layout:
            return backbone, extended, None
        new = self.build(backbone.name, extended, args)
        report = graft_fields(backbone, new)
        return new, extended, report.describe()

    def compared(self, target: Column, source: Column) -> str | None:
        """Raise ConfigError where the tables share no field."""
        assert isinstance(target, TableColumn) and isinstance(source, TableColumn)
        return compared_tables(target, source)

    def load(self, config: SourceModelConfig, transform: Transform) -> Backbone:
        """Build it, and load a local state dict, whose keys name the fields."""
        assert config.backbone is not None
        backbone = self.build(config.backbone, transform, config.args)
        load_file(backbone, config)
        return backbone
