"""What stands before the network of a column, by its transform."""

from raytl.data.fitting import Frame
from raytl.errors import ModelError
from raytl.exporting.fronts.base import Front
from raytl.exporting.fronts.pictures import AudioFront, ImageFront
from raytl.exporting.fronts.series import SeriesFront
from raytl.exporting.fronts.tables import ScaledTableFront, TableFront
from raytl.exporting.fronts.texts import TextFront
from raytl.modalities.audio.transform import AudioTransform
from raytl.modalities.base import Transform
from raytl.modalities.column import Column
from raytl.modalities.image.transform import ImageTransform
from raytl.modalities.series.transform import SeriesTransform
from raytl.modalities.table.transform import TableTransform
from raytl.modalities.text.transform import TokenizerTransform, VocabularyTransform


def front_of(
    name: str, transform: Transform, column: Column | None, frame: Frame | None = None
) -> Front:
    """Return what stands before the network of a column called `name`. `column`: how its rows were
    stored, where that is known; `frame`: what its images were fitted into. Raises ModelError for a
    transform of somebody else's wing."""
    if isinstance(transform, ImageTransform):
        return ImageFront(name, transform, column, frame)
    if isinstance(transform, AudioTransform):
        return AudioFront(name, transform)
    if isinstance(transform, VocabularyTransform | TokenizerTransform):
        return TextFront(name, transform)
    if isinstance(transform, SeriesTransform):
        return SeriesFront(name, transform)
    if not isinstance(transform, TableTransform):
        raise ModelError(
            f"column '{name}': {type(transform).__name__} has no front that is exported; use "
            "`raytl predict`, or raytl.load in a program of your own"
        )
    by_quantiles = transform.facts()["options"]["scaling"] == "quantile"
    return (ScaledTableFront if by_quantiles else TableFront)(name, transform)
