"""Every kind of column that a dataset can have."""

from typing import Annotated

from pydantic import Field

from raytl.data.group_column import GroupColumn
from raytl.modalities.image.column import ImageColumn
from raytl.tasks.columns import LabelColumn, ValueColumn

AnyColumn = Annotated[
    ImageColumn | LabelColumn | ValueColumn | GroupColumn, Field(discriminator="kind")
]
