"""Pretrained networks in files and folders: raytl's own, Hugging Face's, weights of torchvision's
and timm's networks, word vectors."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from raytl.config.base import LOCAL_WEIGHTS
from raytl.errors import ModelError, RaytlError
from raytl.folders import printable
from raytl.modalities.column import Column
from raytl.modalities.image.catalogue import OWN, backbones, timm_names
from raytl.modalities.image.column import ImageColumn
from raytl.modalities.image.timm_models import TIMM
from raytl.models.source_spec import SPEC_FILE, read_spec
from raytl.starting.candidates import SMALL_SIDE, Candidate, reading

VECTORS = (".npz", ".txt", ".vec", ".gz")
MOST_NAMES = 3  # of networks that a file's name has in it, and that are tried


def models_in(place: Path, column: Column, words: int | None) -> Iterator[Sequence[Candidate]]:
    """Yield, for each model in a file or folder that may be of a column's kind, what it may be, the
    likeliest first. Raises ModelError where there is no such place, or nothing is in it."""
    for path in _models(place):
        found = [
            Candidate(name, reading(config, column, words), pretrained=True)
            for name, config in _readings(path, column)
        ]
        if found:
            yield found


def models_of_parts(place: Path) -> Iterator[Candidate]:
    """Yield the source models of raytl's with a part for each of several columns, that are in a
    folder. Raises as `models_in`."""
    for path in _models(place):
        if path.is_dir() and (path / SPEC_FILE).is_file() and len(_modalities(path)) > 1:
            yield Candidate(path.name, {"path": str(path)}, pretrained=True)


def _models(place: Path) -> list[Path]:
    if not place.exists():
        raise ModelError(f"--source-model: {printable(place)}: no such file or folder")
    every = [place] if _is_model(place) else sorted(place.iterdir()) if place.is_dir() else [place]
    models = [path for path in every if _is_model(path)]
    if not models:
        raise ModelError(
            f"--source-model: {printable(place)}: no weights ({', '.join(LOCAL_WEIGHTS)}), word "
            "vectors, source model of raytl's or Hugging Face folder is in it"
        )
    return models


def _is_model(path: Path) -> bool:
    if path.is_dir():
        return (path / SPEC_FILE).is_file() or (path / "config.json").is_file()
    return path.suffix in LOCAL_WEIGHTS or _are_vectors(path)


def _are_vectors(path: Path) -> bool:
    if path.suffix == ".npz":
        try:
            with np.load(path, allow_pickle=False) as archive:
                return {"words", "vectors"} <= set(archive.files)
        except Exception:  # whatever broken bytes provoke
            return False
    return path.suffix in VECTORS and any(w in path.name.lower() for w in ("glove", "vec"))


def _readings(path: Path, column: Column) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield names and configurations of what a model may be to a column."""
    if path.is_dir():
        if (path / SPEC_FILE).is_file():
            if _modalities(path) in ([], [column.kind]):  # [] is broken: loading it says how
                yield path.name, {"path": str(path)}
        elif column.kind == "text":
            yield path.name, {"huggingface": str(path)}
    elif _are_vectors(path):
        if column.kind == "text":
            transform = {"vectors": str(path), "vector_words": "all"}
            yield f"{path.stem}_bilstm", {
                "backbone": "bilstm", "args": {"hidden": 48}, "transform": transform,
            }  # fmt: skip
    elif column.kind in ("image", "audio"):
        yield from _image_weights(path, column)


def _modalities(folder: Path) -> list[str]:
    """Return what the parts of a source model of raytl's read; nothing of a broken one."""
    try:
        return [part.modality for part in read_spec(folder).parts.values()]
    except RaytlError:
        return []


def _image_weights(path: Path, column: Column) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the networks that a file of weights is called after, those of longer names first, then
    raytl's own, which are few."""
    stem, weights = path.stem.lower(), str(path)
    named = sorted((n for n in backbones() if n not in OWN and n in stem), key=len, reverse=True)
    for name in named[:MOST_NAMES]:
        yield name, {"torchvision": name, "weights": weights}
    bare = (name.removeprefix(TIMM) for name in timm_names())
    of_timm = sorted((name for name in bare if name in stem), key=len, reverse=True)
    for name in of_timm[:MOST_NAMES]:
        yield name, {"timm": name, "weights": weights}
    large = isinstance(column, ImageColumn) and max(column.shape[:2]) > SMALL_SIDE
    size = {"input_size": SMALL_SIDE} if large else {}  # these know small images
    for name in OWN:
        yield path.stem, {"backbone": name, "weights": weights, **size}
