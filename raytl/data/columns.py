"""Every kind of column that a dataset can have."""

from typing import Annotated

from pydantic import Field

from raytl.data.group_column import GroupColumn
from raytl.modalities.audio.column import AudioColumn
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.series.column import SeriesColumn
from raytl.modalities.table.column import TableColumn
from raytl.modalities.text.column import TextColumn
from raytl.tasks.box_column import BoxColumn
from raytl.tasks.columns import LabelColumn, ValueColumn
from raytl.tasks.mask_column import MaskColumn
from raytl.tasks.sentence_column import SentenceColumn
from raytl.tasks.steps_column import StepsColumn

Inputs = ImageColumn | TextColumn | TableColumn | SeriesColumn | AudioColumn
Targets = LabelColumn | ValueColumn | MaskColumn | BoxColumn | SentenceColumn | StepsColumn
AnyColumn = Annotated[Inputs | Targets | GroupColumn, Field(discriminator="kind")]
