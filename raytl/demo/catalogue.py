"""What each demo makes, and the study that it runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raytl.config import OptimizerConfig, nearest
from raytl.errors import ConfigError


@dataclass(frozen=True)
class Data:
    """A dataset at data/`name`: what `raytl shard` is told. `doing`: what that is called."""

    name: str
    doing: str
    kind: str
    source: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """A source model at sources/`name`: what `raytl pretrain` is told. `on`: the dataset's name and
    what it is called. With `bare`, its backbone's weights also stand at sources/NAME.safetensors,
    for a network of another modality."""

    name: str
    on: tuple[str, str]
    backbone: str
    epochs: int
    options: Mapping[str, Any] = field(default_factory=dict)
    bare: bool = False


@dataclass(frozen=True)
class Demo:
    """`line`: what it is. `study`: the file's name in search_spaces/, without .yaml."""

    line: str
    study: str
    data: tuple[Data, ...]
    models: tuple[Model, ...]


ADAM = OptimizerConfig(name="adamw", lr=5e-3)
SGD = OptimizerConfig(name="sgd", lr=0.05)
ON_RENDERED = ("rendered_digits", "the rendered digits")
RENDERED = "rendering the source domain from fonts"
ON_SCIPY = ("scipy_docstrings", "scipy's docstrings")
ON_SMALL = ("small_tumours", "the small tumours")
ON_YOUNGER = ("younger_patients", "the younger patients")
ON_CLEAN = ("clean_motions", "the clean motions")
ON_FLUTE = ("flute_tones", "the flute")

DEMOS: dict[str, Demo] = {
    "images": Demo(
        "digits rendered from fonts → handwritten digits",
        "digits",
        (
            Data("rendered_digits", RENDERED, "rendered-digits", options={"rows": 4000}),
            Data(
                "digits", "sharding the target domain, scikit-learn's handwritten digits",
                "digits", options={"size": 28},
            ),
        ),
        (
            Model("rendered_lenet", ON_RENDERED, "lenet", epochs=4, options={"optimizer": SGD}),
            Model("rendered_cnn", ON_RENDERED, "small_cnn", epochs=3, options={"optimizer": SGD}),
        ),
    ),
    "text": Demo(
        "sentences of scipy's docstrings → of numpy's: which module are they of?",
        "demo_text",
        (
            Data("scipy_docstrings", "reading scipy's docstrings", "docstrings", "scipy"),
            Data("numpy_docstrings", "reading numpy's docstrings", "docstrings", "numpy"),
        ),
        (
            Model(
                "scipy_bilstm", ON_SCIPY, "bilstm", epochs=6,
                options={
                    "args": {"dim": 48, "hidden": 32, "dropout": 0.2}, "batch_size": 64,
                    "optimizer": ADAM,
                },
            ),
            Model(
                "scipy_cnn", ON_SCIPY, "text_cnn", epochs=6,
                options={
                    "args": {"dim": 48, "filters": 32, "dropout": 0.2}, "batch_size": 64,
                    "optimizer": ADAM,
                },
            ),
            Model(
                "scipy_bag", ON_SCIPY, "bag_of_embeddings", epochs=10,
                options={
                    "args": {"dim": 48, "hidden": 64, "dropout": 0.2}, "batch_size": 64,
                    "optimizer": ADAM,
                },
            ),
        ),
    ),
    "table": Demo(
        "small tumours → large ones: malignant or benign?",
        "demo_table",
        (
            Data("small_tumours", "sharding the smaller half of the tumours", "tumours", "small"),
            Data("large_tumours", "sharding the larger half", "tumours", "large"),
        ),
        (
            Model(
                "small_mlp", ON_SMALL, "mlp", epochs=15,
                options={"args": {"width": 64, "depth": 1}, "batch_size": 32, "optimizer": ADAM},
            ),
            Model(
                "small_ft", ON_SMALL, "ft_transformer", epochs=15,
                options={
                    "args": {"width": 32, "depth": 2, "heads": 4}, "batch_size": 32,
                    "optimizer": ADAM,
                },
            ),
        ),
    ),
    "regression": Demo(
        "younger diabetes patients → older ones: how far does the disease go in a year?",
        "demo_regression",
        (
            Data("younger_patients", "sharding the younger patients", "diabetes-ages", "younger"),
            Data("older_patients", "sharding the older patients", "diabetes-ages", "older"),
        ),
        (
            Model(
                "younger_mlp", ON_YOUNGER, "mlp", epochs=15,
                options={
                    "args": {"width": 64, "depth": 1}, "batch_size": 32, "optimizer": ADAM,
                },
            ),
            Model(
                "younger_ft", ON_YOUNGER, "ft_transformer", epochs=15,
                options={
                    "args": {"width": 32, "depth": 2, "heads": 4}, "batch_size": 32,
                    "optimizer": ADAM,
                },
            ),
        ),
    ),
    "series": Demo(
        "motions felt by a good sensor → by a noisy one that samples half as often",
        "demo_series",
        (
            Data("clean_motions", "making the clean motions", "motions", "clean"),
            Data("noisy_motions", "making the noisy motions", "motions", "noisy"),
        ),
        (
            Model(
                "clean_lstm", ON_CLEAN, "lstm", epochs=4,
                options={
                    "args": {"layers": 2, "width": 24}, "batch_size": 32, "optimizer": ADAM,
                },
            ),
            Model(
                "clean_inception", ON_CLEAN, "inception", epochs=4,
                options={
                    "args": {"blocks": 2, "modules": 2, "filters": 8, "kernel": 20},
                    "batch_size": 32, "optimizer": ADAM,
                },
            ),
        ),
    ),
    "audio": Demo(
        "tones of a flute → of a reed, also by a network that has seen images of digits alone",
        "demo_audio",
        (
            Data("rendered_digits", RENDERED, "rendered-digits", options={"rows": 4000}),
            Data("flute_tones", "making the tones of a flute", "tones", "flute"),
            Data("reed_tones", "making the tones of a reed", "tones", "reed"),
        ),
        (
            Model(
                "rendered_cnn", ON_RENDERED, "small_cnn", epochs=2,
                options={"optimizer": SGD}, bare=True,
            ),
            Model(
                "flute_cnn", ON_FLUTE, "small_cnn", epochs=6,
                options={"input_size": 32, "batch_size": 32, "optimizer": SGD},
            ),
        ),
    ),
    "image-text": Demo(
        "digits with misspelt names, image and text: each alone against both",
        "demo_image_text",
        (
            Data(
                "rendered_digits", "rendering digits from fonts", "rendered-digits",
                options={"size": 16, "rows": 4000},
            ),
            Data(
                "rendered_named", "rendering the source domain, with names", "named-digits",
                "rendered", {"size": 16, "rows": 4000},
            ),
            Data(
                "handwritten_named", "misspelling names for scikit-learn's handwritten digits",
                "named-digits", "handwritten", {"size": 16},
            ),
        ),
        (Model("rendered_cnn", ON_RENDERED, "small_cnn", epochs=2, options={"optimizer": SGD}),),
    ),
}  # fmt: skip


def demo_named(name: str) -> Demo:
    """Return a demo; raises ConfigError that names the nearest known one."""
    if name not in DEMOS:
        raise ConfigError(f"demo: no demo '{name}'; {nearest(name, list(DEMOS))}")
    return DEMOS[name]
