"""Importers: from raw files to chunks of rows, one file a kind."""

from raytl.data.importers.arrays import read_arrays
from raytl.data.importers.base import Importer
from raytl.data.importers.diabetes_ages import read_diabetes_ages
from raytl.data.importers.digits import read_digits
from raytl.data.importers.docstrings import read_docstrings
from raytl.data.importers.image_folder import read_image_folder
from raytl.data.importers.mnist import read_mnist
from raytl.data.importers.motions import read_motions
from raytl.data.importers.named_digits import read_named_digits
from raytl.data.importers.rendered_digits import read_rendered_digits
from raytl.data.importers.tones import read_tones
from raytl.data.importers.torchvision_sets import read_torchvision
from raytl.data.importers.tumours import read_tumours

MADE = frozenset({"rows", "seed"})

IMPORTERS = {
    "mnist": Importer(read_mnist),
    "arrays": Importer(read_arrays, uses=frozenset({"splits", "image_shape", "classes"})),
    "image-folder": Importer(read_image_folder, uses=frozenset({"skip_bad"})),
    "torchvision": Importer(read_torchvision, uses=frozenset({"root"})),
    "digits": Importer(read_digits, uses=frozenset({"seed"}), source="none"),
    "rendered-digits": Importer(
        read_rendered_digits, uses=frozenset({"rows", "seed"}), source="optional"
    ),
    # Two domains each, which SOURCE names; of the demos
    "docstrings": Importer(read_docstrings, uses=MADE),
    "tumours": Importer(read_tumours, uses=frozenset({"seed"})),
    "diabetes-ages": Importer(read_diabetes_ages, uses=frozenset({"seed"})),
    "motions": Importer(read_motions, uses=MADE),
    "tones": Importer(read_tones, uses=MADE),
    "named-digits": Importer(read_named_digits, uses=MADE | {"size", "fit", "box"}),
}
