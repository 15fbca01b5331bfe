"""The wing of tables."""

from collections.abc import Mapping
from typing import Any

from raytl.config import SourceModelConfig
from raytl.errors import ModelError
from raytl.modalities.backbone import Backbone
from raytl.modalities.base import Modality, Sample, Transform
from raytl.modalities.column import Column
from raytl.modalities.table.catalogue import (
    BACKBONES,
    TableNetwork,
    build,
    checked,
    network_options,
)
from raytl.modalities.table.column import TableColumn
from raytl.modalities.table.grafting import graft_fields
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
        if config.backbone is None:
            raise ModelError(
                f"'{config.origin}': torchvision, timm and huggingface have no networks for "
                f"tables; write backbone: with one of {', '.join(BACKBONES)}, or path:"
            )
        network_options(config.backbone, config.args)
        checked(TransformOptions, config.transform, "transform")
        for option in ("input_size", "normalization"):
            if getattr(config, option) is not None:
                raise ModelError(f"{option} is of images; tables have transform: instead")
        if config.weights is None:
            return
        if not config.has_local_weights:
            raise ModelError(
                f"weights: {config.weights}: there are none to download for tables; give a file "
                "such as model.safetensors, or leave it out"
            )
        from raytl.weight_files import check_file

        check_file(config.weights_file)

    def fit(self, config: SourceModelConfig, column: Column, sample: Sample) -> TableTransform:
        assert isinstance(column, TableColumn)
        options = checked(TransformOptions, config.transform, "transform")
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
        """Fields and categories that both tables have keep their weights; others start fresh."""
        assert isinstance(transform, TableTransform) and isinstance(column, TableColumn)
        extended = transform.extended(column, sample())
        if extended.layout == transform.layout:
            return backbone, transform.for_column(column), None
        new = self.build(backbone.name, extended, args)
        report = graft_fields(backbone, new)
        return new, extended, report.describe()

    def load(self, config: SourceModelConfig, transform: Transform) -> Backbone:
        """Build it, and load a local state dict, whose keys name the fields."""
        from raytl.state_dicts import load_strictly, read_state_dict

        assert config.backbone is not None and config.weights is not None
        backbone = self.build(config.backbone, transform, config.args)
        path = config.weights_file
        load_strictly(backbone, read_state_dict(path), str(path))
        return backbone
