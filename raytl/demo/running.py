"""Running a demo: its data and source models are made under a folder, then its study runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

import raytl
from raytl import verbs
from raytl.config import Study, load_study
from raytl.demo.catalogue import Demo
from raytl.errors import UserError
from raytl.folders import make_folder

if TYPE_CHECKING:
    from raytl.sweeping.study_run import StudyResult

Say = Callable[[str], None]
OF_DEMO = ("data/", "sources/")  # how paths begin that are taken under a demo's folder


def study_file(demo: Demo) -> Path:
    """Return a demo's study file, from the installed package or from the checkout."""
    here = Path(raytl.__file__).parent
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
