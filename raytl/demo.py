"""Demos: a study of each modality, whose data and source models are made on the spot, offline.

Each is a study file of search_spaces/, which names data and source models by relative paths, and
what has to be made for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from raytl import verbs
from raytl.config import OptimizerConfig, Study, load_study, nearest
from raytl.errors import ConfigError, UserError
from raytl.folders import make_folder

if TYPE_CHECKING:
    from raytl.sweeping.study_run import StudyResult

Say = Callable[[str], None]
OF_DEMO = ("data/", "sources/")  # how paths begin that are taken under a demo's folder


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


ADAM = OptimizerConfig(name="adamw", lr=5e-3)  # what is no image learns little by SGD
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
            Data("rendered_digits", RENDERED, "rendered-digits"),
            Data(
                "digits", "sharding the target domain, scikit-learn's handwritten digits",
                "digits", options={"size": 28},
            ),
        ),
        (
            Model("rendered_lenet", ON_RENDERED, "lenet", epochs=4),
            Model("rendered_cnn", ON_RENDERED, "small_cnn", epochs=3),
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
            Model("rendered_cnn", ON_RENDERED, "small_cnn", epochs=2, bare=True),
            Model(
                "flute_cnn", ON_FLUTE, "small_cnn", epochs=6,
                options={"input_size": 32, "batch_size": 32},
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
        (Model("rendered_cnn", ON_RENDERED, "small_cnn", epochs=2),),
    ),
}  # fmt: skip


def demo_named(name: str) -> Demo:
    """Return a demo; raises ConfigError that names the nearest known one."""
    if name not in DEMOS:
        raise ConfigError(f"demo: no demo '{name}'; {nearest(name, list(DEMOS))}")
    return DEMOS[name]


def study_file(demo: Demo) -> Path:
    """Return a demo's study file, from the installed package or from the checkout."""
    here = Path(__file__).parent
    for folder in (here / "search_spaces", here.parent / "search_spaces"):
        if (folder / f"{demo.study}.yaml").exists():
            return folder / f"{demo.study}.yaml"
    raise UserError(f"search_spaces/{demo.study}.yaml is missing; install raytl again")


def run_demo(demo: Demo, out: Path, *, resume: bool, store: bool = True, say: Say) -> StudyResult:
    """Make what is missing under `out`, then run the study in `out`/run."""
    if (out / "run").exists() and not resume:
        raise UserError(f"{out / 'run'}: the run folder exists; use --resume or another --out")
    make_folder(out)
    start = time.perf_counter()

    def stamp(text: str) -> None:
        say(f"[{time.perf_counter() - start:5.1f} s] {text}")

    make_inputs(demo, out, stamp)
    stamp("searching; the first results take some seconds")
    result = verbs.sweep(study_in(demo, out), out / "run", resume=resume, store=store)
    stamp("done")
    return result


def make_inputs(demo: Demo, out: Path, say: Say = lambda text: None) -> None:
    """Make the datasets and source models of a demo that are not under `out` yet."""
    for data in demo.data:
        folder = out / "data" / data.name
        if not folder.exists():
            say(data.doing)
            verbs.shard(data.kind, data.source, folder, **data.options)
    for model in demo.models:
        folder = out / "sources" / model.name
        if not folder.exists():
            (of, called) = model.on
            say(f"pretraining {model.name} ({model.backbone}) on {called}")
            # One thread: the same weights, and so the same study, whatever cores there are.
            spec = verbs.pretrain(
                out / "data" / of, model.backbone, folder,
                epochs=model.epochs, threads=1, **model.options,
            )  # fmt: skip
            say(f"{model.name}: {spec.score_text}")
        if model.bare:
            _write_bare(folder)


def _write_bare(folder: Path) -> None:
    """Write the weights of a source model's one backbone beside it, as a plain state dict."""
    from safetensors.numpy import load_file, save_file

    tensors = load_file(folder / "model.safetensors")
    of_backbone = {
        key.partition(".backbone.")[2]: value
        for key, value in tensors.items()
        if ".backbone." in key
    }
    save_file(of_backbone, folder.with_name(f"{folder.name}.safetensors"))


def study_in(demo: Demo, out: Path) -> Study:
    """Return a demo's study with the data and source models that it names taken under `out`."""
    return load_study(study_file(demo), settings_in(demo, out))


def settings_in(demo: Demo, out: Path) -> list[str]:
    """Return what sets a demo's study to the data and source models under `out`, as --set has
    it."""
    study = yaml.safe_load(study_file(demo).read_text(encoding="utf-8"))
    return [f"{key}={out / path}" for key, path in _paths(study)]


def _paths(node: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Yield the dotted keys and values of a study's paths."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _paths(value, f"{place}.{key}" if place else str(key))
    elif isinstance(node, str) and node.startswith(OF_DEMO):
        yield place, node
