"""Prefix features: the output of a frozen prefix, computed once and shared by every trial.

A frozen prefix is a pure function of its weights and its input (no dropout, fixed batch-norm
statistics, deterministic transform), so its output on a dataset's split is kept in a cache folder
as a memory-mapped array and read in its stead. Processes of one machine share its pages.

Legend: N rows of a split, B batch.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from raytl.data.dataset import Dataset, Split
from raytl.data.transforms import InputTransform
from raytl.folders import new_folder
from raytl.models.transfer_model import Reads, TransferModel

FORMAT = 1  # of the entries; part of every key
COMPUTE_BATCH = 64
LOCK_S = 3600.0  # at most that long another process may be computing what this one waits for


def cache_folder() -> Path:
    """Return RAYTL_CACHE, or raytl's folder under the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("RAYTL_CACHE") or Path(base) / "raytl") / "prefix"


@dataclass(frozen=True)
class Prefix:
    """The frozen prefix of a model, with the transform in front of it."""

    model: TransferModel
    transform: InputTransform
    device: torch.device

    @property
    def reads(self) -> Reads:
        """What is stored: the backbone's features where all of it is frozen, else the maps."""
        whole = self.model.frozen_depth == len(self.model.backbone.blocks)
        return "features" if whole and not self.model.mapper.spatial else "prefix"

    @property
    def row_bytes(self) -> int:
        """Bytes of one row's float32 features."""
        return self(np.zeros((1, *self.stored_shape), np.float32)).nbytes

    @property
    def stored_shape(self) -> tuple[int, int, int]:
        channels, height, width = self.transform.input_shape
        return height, width, channels

    @torch.inference_mode()
    def __call__(self, images_BHWC: np.ndarray) -> np.ndarray:
        """Return the float32 features of images as the shards hold them."""
        x = self.transform(torch.from_numpy(images_BHWC).to(self.device))
        was_training = self.model.training
        self.model.eval()
        h = self.model.prefix(x)
        if self.reads == "features":
            h = self.model.backbone.pool(h)
        self.model.train(was_training)
        return h.float().cpu().numpy()

    def key(self, dataset: Dataset, split: str) -> str:
        """Return the digest of everything that the features depend on."""
        blocks = self.model.backbone.blocks[: self.model.frozen_depth]
        weights = hashlib.sha256()
        for name, tensor in blocks.state_dict().items():
            weights.update(name.encode())
            weights.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        content = {
            "format": FORMAT,
            "torch": torch.__version__,
            "backbone": self.model.backbone.name,
            "weights": weights.hexdigest(),
            "depth": self.model.frozen_depth,
            "reads": self.reads,
            "dataset": dataset.fingerprint,
            "split": split,
            "input_shape": self.transform.input_shape,
            "mean": self.transform.mean.tolist(),
            "std": self.transform.std.tolist(),
            "dtype": "float32",
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


class FeatureSplit:
    """A split whose images are prefix features; labels and ids are the split's own."""

    def __init__(self, split: Split, features: np.ndarray) -> None:
        self._split, self._features = split, features
        self.rows, self.bytes = split.rows, features.nbytes

    def images(self, indices: Sequence[int] | np.ndarray | range) -> np.ndarray:
        """Return the features of the rows `indices`, copied out of the mapped file."""
        return np.asarray(self._features[np.asarray(indices, dtype=np.int64)])

    def labels(self) -> np.ndarray:
        """Return every label, int64 (N,)."""
        return self._split.labels()

    def ids(self) -> np.ndarray:
        """Return every row's id, int64 (N,)."""
        return self._split.ids()


def stored_features(prefix: Prefix, dataset: Dataset, split: str, budget: int) -> FeatureSplit:
    """Return the features of a whole split, computing and storing them where they are not yet.

    Of several processes that need the same features, one computes and the others wait. An entry
    that is not what was written is computed again. Entries that save the fewest seconds per byte go
    first where the cache would grow beyond `budget` bytes.
    """
    part, key = dataset.split(split), prefix.key(dataset, split)
    entry = cache_folder() / key
    entry.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(entry.with_suffix(".lock"), timeout=LOCK_S):
        if not _is_whole(entry):
            _compute(prefix, part, entry, budget)
    return FeatureSplit(part, np.load(entry / "features.npy", mmap_mode="r"))


def _compute(prefix: Prefix, part: Split, entry: Path, budget: int) -> None:
    start = time.perf_counter()
    first = prefix(part.images([0]))
    shape = (part.rows, *first.shape[1:])
    make_room(entry.parent, budget - first.nbytes * part.rows)
    with new_folder(entry, force=True) as folder:
        file = folder / "features.npy"
        features = np.lib.format.open_memmap(file, "w+", np.float32, shape)
        for begin in range(0, part.rows, COMPUTE_BATCH):
            rows = range(begin, min(begin + COMPUTE_BATCH, part.rows))
            features[rows.start : rows.stop] = prefix(part.images(rows))
        features.flush()
        info = {
            "bytes": file.stat().st_size,
            "sha256": _sha256(file),
            "seconds": time.perf_counter() - start,
        }
        (folder / "info.json").write_text(json.dumps(info), encoding="utf-8")


def _info(entry: Path) -> dict[str, Any] | None:
    try:
        return dict(json.loads((entry / "info.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return None


def _is_whole(entry: Path) -> bool:
    info, file = _info(entry), entry / "features.npy"
    if info is None or not file.exists() or file.stat().st_size != info["bytes"]:
        return False
    return _matches(file, file.stat().st_mtime_ns, info["sha256"])


@lru_cache(maxsize=256)
def _matches(file: Path, mtime_ns: int, sha256: str) -> bool:
    # Once a process: a warm trial does not read the whole entry again.
    return _sha256(file) == sha256


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make_room(folder: Path, budget: int) -> None:
    """Delete entries until they take at most `budget` bytes, the fewest seconds per byte first.

    A process that still maps a deleted entry keeps reading it.
    """
    infos = {entry: _info(entry) for entry in folder.iterdir() if entry.is_dir()}
    held = {entry: info for entry, info in infos.items() if info is not None}
    total = sum(info["bytes"] for info in held.values())
    for entry in sorted(held, key=lambda e: held[e]["seconds"] / max(1, held[e]["bytes"])):
        if total <= budget:
            return
        shutil.rmtree(entry, ignore_errors=True)
        total -= held[entry]["bytes"]
