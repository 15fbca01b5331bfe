"""What stands in a source model's place where a series says its last steps again."""

from raytl.data.domain import Domains
from raytl.errors import ConfigError
from raytl.modalities.registry import modality_of
from raytl.modalities.series.column import SeriesColumn
from raytl.modalities.series.transform import SeriesFacts, SeriesTransform
from raytl.models.branch import Part
from raytl.models.source_model import SourceModel, part_spec
from raytl.models.source_spec import SourceSpec
from raytl.recipes import Recipe
from raytl.tasks.steps_column import StepsColumn


def naive_model(domains: Domains, recipe: type[Recipe]) -> SourceModel:
    """Return a network without weights that says the target's last step, or season, again, of the
    series as they are stored. Raises ConfigError where the domain has no series with the channel
    that is forecast."""
    column = domains.target.target_column
    assert isinstance(column, StepsColumn)
    name, series = next(
        (
            (name, of)
            for name, of in domains.target.columns.items()
            if isinstance(of, SeriesColumn) and column.channel in of.channels
        ),
        (None, None),
    )
    if name is None or series is None:
        raise ConfigError(
            f"target_domain.inputs: the {recipe.name} control reads the channel "
            f"'{column.channel}', which no input has; shard the series with it"
        )
    count = len(series.channels)
    plain = SeriesFacts(channels=series.channels, mean=(0.0,) * count, std=(1.0,) * count)
    transform, modality = SeriesTransform(plain), modality_of(series)
    args = {
        "horizon": column.horizon, "season": column.season if recipe.says_again == "season" else 1,
        "channel": series.channels.index(column.channel),
    }  # fmt: skip
    backbone = modality.build("last_steps", transform, args)
    part = Part(modality, transform, backbone, args, fresh=frozenset(), draws=False)
    return SourceModel(recipe.name, {name: part}, SourceSpec(parts={name: part_spec(part)}))
