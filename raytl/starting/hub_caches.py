"""Pretrained networks that this machine downloaded before, and a few that could be downloaded."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from raytl.errors import RaytlError
from raytl.modalities.column import Column
from raytl.modalities.image.catalogue import OWN, backbones
from raytl.starting.candidates import Candidate, reading

# Names that a study may download, as lines that are commented out, and how large they are
TO_DOWNLOAD: dict[str, dict[str, tuple[dict[str, Any], str]]] = {
    "image": {
        "resnet18": ({"torchvision": "resnet18", "weights": "DEFAULT"}, "45 MB"),
        "efficientnet_lite0": ({"timm": "tf_efficientnet_lite0", "weights": True}, "19 MB"),
    },
    "text": {
        "minilm": ({"huggingface": "sentence-transformers/all-MiniLM-L6-v2"}, "91 MB"),
    },
}


def downloads_for(column: Column, words: int | None) -> list[Candidate]:
    """Return networks of a column's kind that can be downloaded."""
    known = TO_DOWNLOAD.get("image" if column.kind == "audio" else column.kind, {})
    return [
        Candidate(name, reading(config, column, words), True, f"a download of {size}")
        for name, (config, size) in known.items()
    ]


def cached_models(column: Column, words: int | None) -> Iterator[Sequence[Candidate]]:
    """Yield the networks for a column in the caches of torch's hub and of Hugging Face."""
    if column.kind in ("image", "audio"):
        found = [*_of_torch(), *_of_timm()]
    elif column.kind == "text":
        found = [*_of_hugging_face()]
    else:
        found = []
    for name, config in found:
        note = "downloaded before"
        yield [Candidate(name, reading(config, column, words), True, note)]


def _of_torch() -> Iterator[tuple[str, dict[str, Any]]]:
    home = os.environ.get("TORCH_HOME")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = (Path(home) if home else Path(base) / "torch") / "hub" / "checkpoints"
    files = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if not files:
        return
    import torchvision

    for name in backbones():
        if name in OWN:
            continue
        usual = torchvision.models.get_model_weights(name).DEFAULT
        if Path(usual.url).name in files:
            yield name, {"torchvision": name, "weights": "DEFAULT"}


def _hub() -> Path:
    given = os.environ.get("HF_HUB_CACHE")
    home = os.environ.get("HF_HOME")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(given or (Path(home) if home else Path(base) / "huggingface") / "hub")


def _snapshots() -> Iterator[tuple[str, Path]]:
    """Yield the hub's names of what was downloaded, and the folder of each."""
    folder = _hub()
    for model in sorted(folder.glob("models--*")) if folder.is_dir() else ():
        versions = sorted((model / "snapshots").glob("*"))
        if versions:
            yield model.name.removeprefix("models--").replace("--", "/"), versions[-1]


def _of_timm() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, folder in _snapshots():
        if name.startswith("timm/") and any(folder.glob("model.safetensors")):
            yield name.removeprefix("timm/"), {"timm": name.removeprefix("timm/"), "weights": True}


def _of_hugging_face() -> Iterator[tuple[str, dict[str, Any]]]:
    from raytl.modalities.text.hub import check_folder

    for name, folder in _snapshots():
        try:
            check_folder(folder)
        except RaytlError:
            continue  # of another kind, or not whole
        yield name.rpartition("/")[2], {"huggingface": name}
