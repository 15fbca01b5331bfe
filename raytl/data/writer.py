"""Writing a dataset: chunks of images and labels in, Arrow shards out.

Legend: N rows, H height, W width, C channels.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from raytl.data.schema import (
    FILE_NAME,
    DatasetInfo,
    ImageColumn,
    LabelColumn,
    ShardInfo,
    SplitInfo,
    fingerprint_of,
)
from raytl.errors import DataError
from raytl.folders import new_folder

Chunk = tuple[np.ndarray, np.ndarray]  # images_NHWC, labels_N
Progress = Callable[[int], None]  # rows read since the last call

SHARD_BYTES = 64 * 2**20


def write_dataset(
    out: Path,
    image: ImageColumn,
    classes: tuple[str, ...],
    splits: Mapping[str, Iterable[Chunk]],
    origin: dict[str, Any],
    *,
    shard_bytes: int = SHARD_BYTES,
    force: bool = False,
    progress: Progress = lambda rows: None,
) -> DatasetInfo:
    """Write `splits` under `out`, whole or not at all.

    Raises DataError for a row whose image or label does not fit, UserError where `out` exists
    without `force`, RaytlError where the disk is full.
    """
    columns: dict[str, Any] = {"image": image, "label": LabelColumn(classes=classes)}
    rows_per_shard = max(1, shard_bytes // max(1, int(np.prod(image.shape)) * _itemsize(image)))
    with new_folder(out, force) as folder:
        infos: dict[str, SplitInfo] = {}
        first_id = 0
        for name, chunks in splits.items():
            checked = _checked_all(chunks, image, classes, name, progress)
            infos[name] = _write_split(folder, name, _regroup(checked, rows_per_shard), first_id)
            first_id += infos[name].rows
        info = DatasetInfo(
            columns=columns, splits=infos, origin=origin, fingerprint=fingerprint_of(columns, infos)
        )
        text = json.dumps(info.model_dump(mode="json"), indent=1)
        (folder / FILE_NAME).write_text(text, encoding="utf-8")
    return info


def _itemsize(image: ImageColumn) -> int:
    return np.dtype(image.dtype).itemsize


def _checked_all(
    chunks: Iterable[Chunk],
    image: ImageColumn,
    classes: tuple[str, ...],
    split: str,
    progress: Progress,
) -> Iterator[Chunk]:
    for chunk in chunks:
        yield _checked(chunk, image, classes, split)
        progress(len(chunk[1]))


def _checked(chunk: Chunk, image: ImageColumn, classes: tuple[str, ...], split: str) -> Chunk:
    images, labels = chunk
    if len(images) != len(labels):
        raise DataError(f"split {split}: {len(images)} images but {len(labels)} labels")
    if images.shape[1:] != image.shape or images.dtype != np.dtype(image.dtype):
        raise DataError(
            f"split {split}: images must be {image.shape} {image.dtype}, "
            f"got {images.shape[1:]} {images.dtype}"
        )
    bad = np.flatnonzero((labels < 0) | (labels >= len(classes)))
    if len(bad):
        raise DataError(
            f"split {split}: labels must lie in 0..{len(classes) - 1} for {len(classes)} classes, "
            f"but row {bad[0]} has {labels[bad[0]]}"
        )
    if image.dtype == "float32" and not np.isfinite(images).all():
        raise DataError(f"split {split}: images must be finite, but there is a NaN or infinity")
    return images, labels.astype(np.int64)


def _regroup(chunks: Iterable[Chunk], rows: int) -> Iterator[Chunk]:
    """Yield chunks of exactly `rows` rows, the last one shorter."""
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    held = 0
    for more_images, more_labels in chunks:
        start = 0
        while start < len(more_images):
            take = min(rows - held, len(more_images) - start)
            images.append(more_images[start : start + take])
            labels.append(more_labels[start : start + take])
            held, start = held + take, start + take
            if held == rows:
                yield np.concatenate(images), np.concatenate(labels)
                images, labels, held = [], [], 0
    if held:
        yield np.concatenate(images), np.concatenate(labels)


def _write_split(folder: Path, name: str, chunks: Iterator[Chunk], first_id: int) -> SplitInfo:
    # The number of shards is in every name but known only at the end: renamed then.
    written: list[tuple[Path, int]] = []
    rows = 0
    for images, labels in chunks:
        path = folder / f"{name}-{len(written):05d}.arrow"
        _write_shard(path, images, labels, first_id + rows)
        written.append((path, len(labels)))
        rows += len(labels)
    if not rows:
        raise DataError(f"split {name}: no rows; leave the split out or look at the source")
    shards = []
    for index, (path, count) in enumerate(written):
        final = folder / f"{name}-{index:05d}-of-{len(written):05d}.arrow"
        path.rename(final)
        shards.append(
            ShardInfo(
                file=final.name, rows=count, bytes=final.stat().st_size, sha256=sha256_of(final)
            )
        )
    return SplitInfo(rows=rows, shards=tuple(shards))


def _write_shard(path: Path, images: np.ndarray, labels: np.ndarray, first_id: int) -> None:
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(images))
    batch = pa.record_batch(
        {
            "id": pa.array(np.arange(first_id, first_id + len(labels), dtype=np.int64)),
            "image": tensors,
            "label": pa.array(labels),
        }
    )
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)


def sha256_of(path: Path) -> str:
    """Return a file's SHA-256 in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
