"""Writing a dataset: chunks of images and labels in, Arrow shards out.

Legend: N rows, H height, W width, C channels.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from raytl.data.schema import (
    FILE_NAME,
    Columns,
    DatasetInfo,
    ImageColumn,
    LabelColumn,
    ShardInfo,
    SplitInfo,
    fingerprint_of,
    plain_name,
)
from raytl.errors import DataError
from raytl.files import sha256_of
from raytl.folders import new_folder

Progress = Callable[[int], None]  # rows read since the last call

SHARD_BYTES = 64 * 2**20


class Chunk(NamedTuple):
    """Some rows of a split, in the order in which they are stored."""

    images_NHWC: np.ndarray
    labels_N: np.ndarray
    places_N: np.ndarray  # where each row stands in its source, from 0; gaps allowed


Pair = tuple[np.ndarray, np.ndarray]  # images and labels that come in the source's own order
Chunks = Iterable[Chunk] | Iterable[Pair]


def write_dataset(
    out: Path,
    image: ImageColumn,
    classes: tuple[str, ...],
    splits: Mapping[str, Chunks],
    origin: dict[str, Any],
    *,
    shard_bytes: int = SHARD_BYTES,
    force: bool = False,
    progress: Progress = lambda rows: None,
) -> DatasetInfo:
    """Write `splits` under `out`, whole or not at all.

    Ids number the rows of all splits from 0, those of a split in the order of their source.
    Raises DataError for a split's name that is not plain and for a row whose image or label does
    not fit, UserError where `out` exists without `force`, RaytlError where the disk is full.
    """
    _check_names(splits)
    columns = Columns(image=image, label=LabelColumn(classes=classes))
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


def _check_names(splits: Iterable[str]) -> None:
    for name in splits:
        try:
            plain_name(name)
        except ValueError as error:
            raise DataError(f"{error}, got '{name}'; rename it") from None


def _itemsize(image: ImageColumn) -> int:
    return np.dtype(image.dtype).itemsize


def _checked_all(
    chunks: Chunks, image: ImageColumn, classes: tuple[str, ...], split: str, progress: Progress
) -> Iterator[Chunk]:
    rows = 0
    for chunk in chunks:
        images, labels = chunk[:2]
        in_order = np.arange(rows, rows + len(labels))
        places = chunk.places_N if isinstance(chunk, Chunk) else in_order
        _check(Chunk(images, labels, places), image, classes, split)
        yield Chunk(images, labels.astype(np.int64), places)
        rows += len(labels)
        progress(len(labels))


def _check(chunk: Chunk, image: ImageColumn, classes: tuple[str, ...], split: str) -> None:
    images, labels, places = chunk
    if len(images) != len(labels):
        raise DataError(f"split {split}: {len(images)} images but {len(labels)} labels")
    if images.shape[1:] != image.shape or images.dtype != np.dtype(image.dtype):
        raise DataError(
            f"split {split}: images must be {image.shape} {image.dtype}, as the first are, "
            f"got {images.shape[1:]} {images.dtype}; --size makes all of one shape"
        )
    bad = np.flatnonzero((labels < 0) | (labels >= len(classes)))
    if len(bad):
        raise DataError(
            f"split {split}: labels must lie in 0..{len(classes) - 1} for {len(classes)} classes, "
            f"but row {places[bad[0]]} has {labels[bad[0]]}"
        )
    if image.dtype == "float32" and not np.isfinite(images).all():
        raise DataError(f"split {split}: images must be finite, but there is a NaN or infinity")


def _regroup(chunks: Iterable[Chunk], rows: int) -> Iterator[Chunk]:
    """Yield chunks of exactly `rows` rows, the last one shorter."""
    parts: list[tuple[Any, ...]] = []
    held = 0
    for chunk in chunks:
        start = 0
        while start < len(chunk.labels_N):
            take = min(rows - held, len(chunk.labels_N) - start)
            parts.append(tuple(array[start : start + take] for array in chunk))
            held, start = held + take, start + take
            if held == rows:
                yield _joined(parts)
                parts, held = [], 0
    if held:
        yield _joined(parts)


def _joined(parts: list[tuple[Any, ...]]) -> Chunk:
    return Chunk(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _write_split(folder: Path, name: str, chunks: Iterator[Chunk], first_id: int) -> SplitInfo:
    # The number of shards is in every name but known only at the end: renamed then.
    written: list[Path] = []
    places = []
    for images, labels, of_rows in chunks:
        path = folder / f"{name}-{len(written):05d}.arrow"
        _write_shard(path, _record_batch(images, labels, first_id + of_rows))
        written.append(path)
        places.append(of_rows)
    if not places:
        raise DataError(f"split {name}: no rows; leave the split out or look at the source")
    _close_gaps(written, places, first_id)
    shards = []
    for index, path in enumerate(written):
        final = folder / f"{name}-{index:05d}-of-{len(written):05d}.arrow"
        path.rename(final)
        shards.append(
            ShardInfo(
                file=final.name,
                rows=len(places[index]),
                bytes=final.stat().st_size,
                sha256=sha256_of(final),
            )
        )
    return SplitInfo(rows=sum(map(len, places)), shards=tuple(shards))


def _close_gaps(written: list[Path], places: list[np.ndarray], first_id: int) -> None:
    """Number the rows anew where some were left out, so that ids have no gaps."""
    every = np.sort(np.concatenate(places))
    if every[-1] == len(every) - 1:
        return
    for path, of_rows in zip(written, places, strict=True):
        with pa.OSFile(str(path)) as file:
            batch = pa.ipc.open_file(file).get_batch(0)
        ids = pa.array(first_id + np.searchsorted(every, of_rows))
        _write_shard(path, batch.set_column(0, "id", ids))


def _record_batch(images: np.ndarray, labels: np.ndarray, ids: np.ndarray) -> pa.RecordBatch:
    tensors = pa.FixedShapeTensorArray.from_numpy_ndarray(np.ascontiguousarray(images))
    columns = {"id": pa.array(ids.astype(np.int64)), "image": tensors, "label": pa.array(labels)}
    return pa.record_batch(columns)


def _write_shard(path: Path, batch: pa.RecordBatch) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
