"""Where a dataset's shards are read: in its folder, or in this node's copies of what lies behind a
URL."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import pyarrow as pa

from raytl.data import verification
from raytl.data.schema import ID, ShardInfo
from raytl.data.verification import (
    REMEDY,
    Columns,
    Progress,
    check_batch,
    map_shard,
    verify_shard,
)
from raytl.errors import CorruptError
from raytl.files import digest_of
from raytl.node_cache import NodeCache, limit_bytes
from raytl.remote_files import download, files_in, filesystem_of, reaching
from raytl.urls import Place, Url

FETCHERS = 8  # shards that a process fetches at once
MAPPED = 2**15  # shards that a process keeps mapped; the kernel allows 65,530 maps by default
PASSING = 64  # the same, of datasets that pass through a node's cache
TRIES = 3  # a copy may be deleted between the look at it and its map


class ShardFiles(Protocol):
    """The shards of one dataset."""

    @property
    def kept(self) -> bool:
        """Whether a shard stays on this machine once it was read."""
        ...

    @property
    def whole(self) -> bool:
        """Whether all shards are on this machine already."""
        ...

    @property
    def room(self) -> int:
        """How many bytes this machine may keep, of these shards and of others behind URLs."""
        ...

    def check(self, shards: Sequence[ShardInfo]) -> None:
        """Raise CorruptError where a shard is missing or has another size than was written,
        RaytlError where it cannot be told."""
        ...

    def ensure(self, shards: Sequence[ShardInfo]) -> None:
        """Have the shards verified that are on this machine already. Raises CorruptError for the
        first that is not what `dataset.json` says."""
        ...

    def verify(self, shards: Sequence[ShardInfo], progress: Progress) -> None:
        """Read the shards where they are, and compare them with `dataset.json`, whatever is
        remembered of them; raises as `ensure`, and RaytlError where one cannot be reached."""
        ...

    def batches(self, shards: Sequence[ShardInfo]) -> list[pa.RecordBatch]:
        """Return the shards' record batches, verified and memory-mapped; raises as `verify`."""
        ...

    def few(self, shards: Sequence[ShardInfo], column: str) -> list[pa.Array]:
        """Return what the shards hold in a column whose values are small, a target's, say, without
        the others. Of shards that are not on this machine it is not verified."""
        ...


def shard_files(place: Place, columns: Columns, num_bytes: int) -> ShardFiles:
    """Return a dataset's shards. `num_bytes`: of all of them."""
    if not isinstance(place, Url):
        return LocalShards(place, columns)
    return FetchedShards(place, columns, num_bytes, NodeCache.of_node())


@dataclass(frozen=True)
class LocalShards:
    """Shards in a folder."""

    folder: Path
    columns: Columns
    kept: bool = True
    whole: bool = True

    @property
    def room(self) -> int:
        return limit_bytes()

    def check(self, shards: Sequence[ShardInfo]) -> None:
        for shard in shards:
            file = self.folder / shard.file
            _check_size(str(file), shard, file.stat().st_size if file.exists() else None)

    def ensure(self, shards: Sequence[ShardInfo]) -> None:
        verification.ensure_verified(self.folder, shards, self.columns)

    def verify(self, shards: Sequence[ShardInfo], progress: Progress) -> None:
        verification.verify(self.folder, shards, self.columns, progress)

    def batches(self, shards: Sequence[ShardInfo]) -> list[pa.RecordBatch]:
        self.ensure(shards)
        return [self._batch(shard) for shard in shards]

    def _batch(self, shard: ShardInfo) -> pa.RecordBatch:
        path = self.folder / shard.file
        batch = _mapped(path, _stamp(path))
        check_batch(path, batch, shard.rows, self.columns)
        return batch

    def few(self, shards: Sequence[ShardInfo], column: str) -> list[pa.Array]:
        return [batch.column(column) for batch in self.batches(shards)]


@dataclass(frozen=True)
class FetchedShards:
    """Shards behind a URL: each fetched once a node, whole and verified, by the first process that
    reads it. Where not all `bytes` of them can be kept, those used longest ago make room. Sent to
    another node they are fetched there."""

    url: Url
    columns: Columns
    bytes: int
    cache: NodeCache
    whole: bool = False

    @property
    def kept(self) -> bool:
        return self.bytes <= self.cache.limit // 2  # the other domain's must find room too

    @property
    def room(self) -> int:
        return self.cache.limit

    def check(self, shards: Sequence[ShardInfo]) -> None:
        found = files_in(self.url)
        for shard in shards:
            known = found.get(shard.file)
            _check_size(
                (self.url / shard.file).shown, shard, None if known is None else known.bytes
            )

    def ensure(self, shards: Sequence[ShardInfo]) -> None:
        """Each is verified as it is fetched."""

    def verify(self, shards: Sequence[ShardInfo], progress: Progress) -> None:
        def one(shard: ShardInfo) -> int:
            with TemporaryDirectory(prefix="raytl-verify-") as folder:
                self._fetch(shard, Path(folder) / shard.file)
            return shard.bytes

        with ThreadPoolExecutor(FETCHERS) as pool:
            for done in pool.map(one, shards):
                progress(done)

    def batches(self, shards: Sequence[ShardInfo]) -> list[pa.RecordBatch]:
        with ThreadPoolExecutor(FETCHERS) as pool:
            return list(pool.map(self._batch, shards))

    def _batch(self, shard: ShardInfo) -> pa.RecordBatch:
        """Map a shard as soon as it is there: the next one may take its place."""
        mapped = _mapped if self.kept else _mapped_in_passing
        for left in reversed(range(TRIES)):
            path = self._path(shard)
            try:
                return mapped(path, _stamp(path))
            except (FileNotFoundError, CorruptError):
                if not left or path.exists():
                    raise
        raise AssertionError("the last try returns or raises")

    def few(self, shards: Sequence[ShardInfo], column: str) -> list[pa.Array]:
        def fetch(to: Path) -> None:
            with ThreadPoolExecutor(FETCHERS) as pool:
                parts = pool.map(lambda shard: self._column(shard, column), shards)
                batches = [pa.record_batch({column: part}) for part in parts]
            with pa.ipc.new_file(str(to), batches[0].schema) as writer:
                for batch in batches:
                    writer.write_batch(batch)

        facts = [verification.facts_of(self.columns), column, [s.sha256 for s in shards]]
        path = self.cache.get(f"{digest_of(facts)[:40]}-{column}.arrow", fetch)
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        return list(table.column(column).chunks)

    def _path(self, shard: ShardInfo) -> Path:
        name = f"{shard.sha256[:40]}-{digest_of(verification.facts_of(self.columns))[:8]}.arrow"
        return self.cache.get(name, lambda to: self._fetch(shard, to))

    def _fetch(self, shard: ShardInfo, to: Path) -> None:
        url = self.url / shard.file
        try:
            download(url, to)
        except FileNotFoundError:
            raise CorruptError(f"{url.shown}: the shard is missing; {REMEDY}") from None
        verify_shard(to, shard, self.columns, url.shown)

    def _column(self, shard: ShardInfo, column: str) -> pa.Array:
        """Read a column alone, by the ranges that hold it."""
        url = self.url / shard.file
        filesystem, path = filesystem_of(url)
        options = pa.ipc.IpcReadOptions(included_fields=[[ID, *self.columns].index(column)])
        with reaching(url), filesystem.open_input_file(path) as file:
            batch = pa.ipc.open_file(file, options=options).get_batch(0)
        if batch.schema.names != [column] or batch.num_rows != shard.rows:
            raise CorruptError(f"{url.shown}: is no shard that dataset.json tells of; {REMEDY}")
        return batch.column(0)


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _map(path: Path, stamp: tuple[int, int]) -> pa.RecordBatch:
    return map_shard(path)


# Once a process, whoever reads: a trial's domains and streams share the maps.
_mapped = lru_cache(maxsize=MAPPED)(_map)
_mapped_in_passing = lru_cache(maxsize=PASSING)(_map)


def _check_size(name: str, shard: ShardInfo, found: int | None) -> None:
    if found != shard.bytes:
        what = "is missing" if found is None else f"has {found} bytes"
        raise CorruptError(f"{name}: shard {what}, expected {shard.bytes} bytes; {REMEDY}")
