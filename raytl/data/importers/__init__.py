"""Importers: from raw files to chunks of rows, one file a kind."""

from raytl.data.importers.arrays import read_arrays
from raytl.data.importers.audio_folder import read_audio_folder
from raytl.data.importers.base import CUTTING, FITTING, Importer
from raytl.data.importers.box_folder import read_box_folder
from raytl.data.importers.diabetes import read_diabetes
from raytl.data.importers.diabetes_ages import read_diabetes_ages
from raytl.data.importers.digits import read_digits
from raytl.data.importers.docstrings import read_docstrings
from raytl.data.importers.huggingface import read_huggingface
from raytl.data.importers.image_folder import read_image_folder
from raytl.data.importers.mask_folder import read_mask_folder
from raytl.data.importers.mnist import read_mnist
from raytl.data.importers.motions import read_motions
from raytl.data.importers.named_digits import read_named_digits
from raytl.data.importers.rendered_digits import read_rendered_digits
from raytl.data.importers.series import read_series
from raytl.data.importers.table import read_table
from raytl.data.importers.text_lines import read_text_lines
from raytl.data.importers.text_pairs import read_text_pairs
from raytl.data.importers.tones import read_tones
from raytl.data.importers.torchvision_sets import read_torchvision
from raytl.data.importers.tumours import read_tumours
from raytl.data.importers.webdataset import read_webdataset

MADE = frozenset({"rows", "seed"})

TARGET = frozenset({"target", "task", "classes", "positive", "unlabelled"})
COLUMNS = frozenset({"text", "image", "audio", "number", "category", "drop", "group", "skip_bad"})
CSV = frozenset({"no_header", "delimiter", "encoding", "split_column", "where"})
FORECAST = frozenset({"horizon", "window", "step", "season"})
LINES = frozenset({"delimiter", "label_first", "class_files", "encoding"})

IMPORTERS = {
    "mnist": Importer(read_mnist, FITTING | {"validation", "seed"}),
    "arrays": Importer(read_arrays, FITTING | CUTTING | {"splits", "image_shape", "classes"}),
    "image-folder": Importer(
        read_image_folder, FITTING | CUTTING | {"classes", "unlabelled", "skip_bad"}, far=True
    ),
    "mask-folder": Importer(
        read_mask_folder, FITTING | CUTTING | {"classes", "void", "unlabelled", "skip_bad"}
    ),
    "box-folder": Importer(
        read_box_folder, FITTING | CUTTING | {"classes", "unlabelled", "skip_bad"}
    ),
    "torchvision": Importer(read_torchvision, FITTING | CUTTING | {"root"}, alone=True),
    "digits": Importer(read_digits, FITTING | {"seed"}, source="none", alone=True),
    "rendered-digits": Importer(
        read_rendered_digits, FITTING | {"rows", "seed"}, source="optional", alone=True
    ),
    "diabetes": Importer(read_diabetes, frozenset({"seed"}), source="none", alone=True),
    "table": Importer(
        read_table,
        FITTING | CUTTING | TARGET | COLUMNS | CSV | {"splits", "rate"},
        source="optional",
        looks=True,
        far=True,
    ),
    "text-lines": Importer(
        read_text_lines, CUTTING | (TARGET - {"target"}) | LINES | {"splits"}, source="optional"
    ),
    "text-pairs": Importer(read_text_pairs, CUTTING | {"splits", "encoding"}, source="optional"),
    "audio-folder": Importer(
        read_audio_folder,
        CUTTING | (TARGET - {"target"}) | {"pattern", "where", "rate", "skip_bad"},
        looks=True,
        far=True,
    ),
    "series": Importer(
        read_series,
        CUTTING | TARGET | CSV | FORECAST | {"splits", "series_id", "time", "group", "drop"},
        source="optional",
    ),
    "huggingface": Importer(
        read_huggingface,
        FITTING | CUTTING | TARGET | COLUMNS | {"where", "split_column", "rate"},
        looks=True,
    ),
    "webdataset": Importer(
        read_webdataset,
        FITTING | CUTTING | TARGET | {"splits", "rate", "group", "drop", "skip_bad"},
        source="optional",
        looks=True,
        far=True,
    ),
    # Two domains each, which SOURCE names; of the demos
    "docstrings": Importer(read_docstrings, uses=MADE, alone=True),
    "tumours": Importer(read_tumours, uses=frozenset({"seed"}), alone=True),
    "diabetes-ages": Importer(read_diabetes_ages, uses=frozenset({"seed"}), alone=True),
    "motions": Importer(read_motions, uses=MADE, alone=True),
    "tones": Importer(read_tones, uses=MADE, alone=True),
    "named-digits": Importer(read_named_digits, uses=MADE | {"size", "fit", "box"}, alone=True),
}
