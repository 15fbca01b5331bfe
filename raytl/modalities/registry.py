"""Every modality, by its name, which is the kind of its column."""

from raytl.errors import ModelError
from raytl.modalities.audio.wing import Audio
from raytl.modalities.base import Modality
from raytl.modalities.column import Column
from raytl.modalities.image.wing import Image
from raytl.modalities.series.wing import Series
from raytl.modalities.table.wing import Table
from raytl.modalities.text.wing import Text

WINGS: tuple[Modality, ...] = (Image(), Text(), Table(), Series(), Audio())
MODALITIES: dict[str, Modality] = {wing.name: wing for wing in WINGS}


def modality_of(column: Column) -> Modality:
    """Return the modality of an input column."""
    return MODALITIES[column.kind]


def stored_modality(name: str) -> Modality:
    """Return a modality by its name; raises ModelError that lists the known ones."""
    if name not in MODALITIES:
        raise ModelError(f"unknown modality '{name}'; known: {', '.join(MODALITIES)}")
    return MODALITIES[name]
