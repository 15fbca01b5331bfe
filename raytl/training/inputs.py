"""The transform that belongs to a source model."""

from raytl.data.transforms import InputTransform
from raytl.models.source_spec import SourceSpec


def input_transform(spec: SourceSpec) -> InputTransform:
    """Return what makes the model's input from images as the shards hold them."""
    of = spec.normalization
    return InputTransform(spec.input_shape, of.mean, of.std)
