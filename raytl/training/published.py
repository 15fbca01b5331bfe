"""Prefix features that the nodes of a run share: what one has computed, others fetch.

An entry is published under its key as files that are named by what they hold, and `info.json`,
which comes last and names them: so whoever reads it finds one node's files, whole, even where two
have published the same. A fetched entry is a copy on the node's own disk, verified, and mapped from
there.
"""

import contextlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raytl.errors import CorruptError, RaytlError
from raytl.files import sha256_of
from raytl.node_cache import NodeCache
from raytl.remote_files import fetch, put, put_text, read_text
from raytl.training.entry_files import INFO, OFFSETS, VALUES
from raytl.training.pooled import Pooled
from raytl.urls import Place

# What a node is taken to fetch in a second, beside its trials: about half a gigabit.
FETCHED_BYTES_A_S = 60e6


def worth_fetching(num_bytes: float, seconds: float) -> bool:
    """Whether bytes are sooner fetched than computed, which takes so many seconds."""
    return num_bytes / FETCHED_BYTES_A_S < seconds


class _AbsentError(Exception):
    """Nothing is published, or what is there cannot be had."""


@dataclass(frozen=True)
class Published:
    """The entries that are published under `place`, a folder that all nodes see or a URL."""

    place: Place

    def publish(self, entry: Path, info: Mapping[str, Any]) -> threading.Thread | None:
        """Publish a finished entry in the background, if it is worth fetching; return what does.
        Where it cannot be, others compute it themselves."""
        if not worth_fetching(info["bytes"], info["seconds"]):
            return None
        errand = threading.Thread(
            target=self._publish, args=(entry, info), name="raytl-publish", daemon=True
        )
        errand.start()
        return errand

    def _publish(self, entry: Path, info: Mapping[str, Any]) -> None:
        # An entry that is deleted meanwhile, a full disk, a bucket out of reach: nobody waits.
        with contextlib.suppress(OSError, RaytlError):
            for name, sha256 in _files(info).items():
                put(entry / name, self.place / entry.name / _stored_as(sha256))
            put_text(json.dumps(info), self.place / entry.name / INFO)

    def fetched(self, key: str) -> Path | None:
        """Return this node's copy of an entry that another has published, fetched once for all its
        processes; None where there is none, or it cannot be had whole."""
        try:
            return NodeCache.of_node().get(key, lambda to: self._fetch(key, to))
        except (_AbsentError, RaytlError):
            return None

    def _fetch(self, key: str, to: Path) -> None:
        info = self._info(key)
        to.mkdir()
        for name, sha256 in _files(info).items():
            place = self.place / key / _stored_as(sha256)
            fetch(place, to / name)
            if sha256_of(to / name) != sha256:
                raise CorruptError(f"{place}: is not what was written")

    def _info(self, key: str) -> dict[str, Any]:
        try:
            return dict(json.loads(read_text(self.place / key / INFO)))
        except (OSError, ValueError) as error:  # FileNotFoundError mostly
            raise _AbsentError from error


@dataclass(frozen=True)
class Shared:
    """What a run's trials share of prefix features beside their node's cache. `published`: entries
    of other nodes, where there are such. `pooled`: features that the cluster has computed before
    the trials, where data are large."""

    published: Published | None = None
    pooled: Pooled | None = None


NOTHING_SHARED = Shared()


def _files(info: Mapping[str, Any]) -> dict[str, str]:
    """Return the SHA-256 of an entry's files by their names."""
    return {VALUES: info["sha256"]} | ({OFFSETS: info["offsets"]} if info["offsets"] else {})


def _stored_as(sha256: str) -> str:
    return f"{sha256[:40]}.npy"
