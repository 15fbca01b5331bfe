"""Importers: from raw files to chunks of images and labels, one file a kind."""

from raytl.data.importers.arrays import read_arrays
from raytl.data.importers.base import Importer
from raytl.data.importers.digits import read_digits
from raytl.data.importers.image_folder import read_image_folder
from raytl.data.importers.mnist import read_mnist
from raytl.data.importers.rendered_digits import read_rendered_digits
from raytl.data.importers.torchvision_sets import read_torchvision

IMPORTERS = {
    "mnist": Importer(read_mnist),
    "arrays": Importer(read_arrays, uses=frozenset({"splits", "image_shape", "classes"})),
    "image-folder": Importer(read_image_folder, uses=frozenset({"skip_bad"})),
    "torchvision": Importer(read_torchvision, uses=frozenset({"root"})),
    "digits": Importer(read_digits, uses=frozenset({"seed"}), source="none"),
    "rendered-digits": Importer(
        read_rendered_digits, uses=frozenset({"rows", "seed"}), source="optional"
    ),
}
