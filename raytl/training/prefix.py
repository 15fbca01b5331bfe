"""The frozen prefix of a branch as a pure function: its output, and the key of that output.

Nothing in it draws at random or changes: no dropout, fixed batch-norm statistics, a deterministic
transform. So its output on a dataset's split can be kept and read in its stead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch

from raytl import devices
from raytl.devices import arithmetic_of
from raytl.files import digest_of
from raytl.modalities.backbone import Backbone
from raytl.modalities.registry import stored_modality
from raytl.models.branch import Branch
from raytl.models.grafting import BODY, GRAFT
from raytl.packages import versions_of
from raytl.rows import Padded, Rows, count, move
from raytl.state_dicts import digest_of_state
from raytl.training.batches import MOST_ROWS, rows_at_once
from raytl.training.feature_store import Encoded, StoredType, by_length, encode

FORMAT = 6  # of what is stored; part of every key
_row_bytes: dict[str, float] = {}


@dataclass(frozen=True)
class Prefix:
    """The frozen prefix of a branch, with the transform in front of it; where nothing is frozen, or
    `blocks` is 0, the first half of the transform alone. `pools`: whether what a wholly frozen
    backbone gives is stored after its pooling."""

    branch: Branch
    device: torch.device
    dtype: StoredType = "float32"
    pools: bool = True
    blocks: int | None = None  # None: all that are frozen

    @property
    def depth(self) -> int:
        """How many blocks it has."""
        return self.branch.frozen_depth if self.blocks is None else self.blocks

    @property
    def whole(self) -> bool:
        """Whether features are stored, with all steps done."""
        return self.depth == len(self.branch.backbone.blocks) and self.pools

    @property
    def done(self) -> int:
        """How many steps of the branch are done in what is stored."""
        return self.branch.backbone.steps if self.whole else self.depth

    @property
    def channels_last(self) -> bool:
        """Whether maps are stored with their channels last: a GPU runs them so, and would turn them
        around in each step."""
        return self.depth > 0 and devices.runs_beside(self.device)

    def row_bytes(self, rows: Rows) -> float:
        """Return the bytes of a stored row, the mean over these prepared ones."""
        sizes = rows.sizes.tolist() if isinstance(rows, Padded) else None
        known = digest_of(self._function(self.depth) | {"rows": count(rows), "sizes": sizes})
        if known not in _row_bytes:  # once a process: it takes a forward pass
            _row_bytes[known] = self.of_prepared(rows).nbytes / count(rows)
        return _row_bytes[known]

    def rows_at_once(self, rows: Rows) -> int:
        """Return how many rows are run at once, of which the first prepared one is given. A
        function of its size alone: what a row's features are in their last bits may hang on the
        rows that are run with it."""
        if self.depth > 0:
            rows = self.branch.transform(move(rows, self.device))
        return MOST_ROWS if isinstance(rows, Padded) else rows_at_once(rows.numel())

    def of_prepared(self, rows: Rows) -> Encoded:
        """Return what is stored of prepared rows."""
        if self.depth == 0:
            return encode(rows, "float32")
        return self._finish(self.branch.transform(move(rows, self.device)), 0)

    def of_stored(self, stored: Rows, depth: int) -> Encoded:
        """Return what is stored, given what a prefix of `depth` blocks stores."""
        return self._finish(move(stored, self.device), depth)

    @torch.inference_mode()
    def _finish(self, h: Rows, done: int) -> Encoded:
        was_training = self.branch.training
        self.branch.eval()
        run = partial(self._encoded, done=done)
        encoded = by_length(h, run) if isinstance(h, Padded) else run(h)
        self.branch.train(was_training)
        return encoded

    def _encoded(self, h: Rows, done: int) -> Encoded:
        return encode(self._run(h, done), self.dtype, channels_last=self.channels_last)

    def _run(self, h: Rows, done: int) -> Rows:
        h = self.branch.run_frozen(h, done, self.depth)
        return self.branch.backbone.pool(h) if self.whole else h

    @cached_property
    def _block_digests(self) -> list[str]:
        return [digest_of_state(block) for block in self.branch.backbone.blocks[: self.depth]]

    def key(self, rows: Sequence[object], depth: int | None = None) -> str:
        """Return the digest of all that the features of `rows` depend on; with `depth`, of those
        after the first `depth` blocks. `rows`: which rows, and as which view, ready for JSON."""
        return digest_of(
            self._function(self.depth if depth is None else depth) | {"rows": list(rows)}
        )

    def pooled_key(self, rows: Sequence[object]) -> str:
        """Return the digest under which a run keeps features of `rows` for all its nodes: of the
        kind of device alone, as they are computed on whichever there is, and planned for without
        any."""
        return digest_of(
            self._function(self.depth, {"device": self.device.type}) | {"rows": list(rows)}
        )

    def _function(self, depth: int, arithmetic: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return what the features of given rows depend on after `depth` blocks.

        Weights alone would not do: arguments change strides and the like, and kinds of device
        round otherwise, each as it is set.
        """
        branch = self.branch
        return {
            "format": FORMAT,
            "versions": versions_of(_packages(branch)),
            "arithmetic": arithmetic or arithmetic_of(self.device),
            "channels_last": self.channels_last,
            "modality": branch.modality.name,
            "backbone": branch.backbone.name,
            "args": branch.args,
            "blocks": self._block_digests[:depth],
            "done": self.done if depth == self.depth else depth,
            "transform": branch.transform.facts(),
            "dtype": self.dtype,
        } | ({"taps": _taps(branch.backbone)} if branch.tapped else {})


def _taps(backbone: Backbone) -> list[list[int]]:
    return [[n, *shape] for n, shape in zip(backbone.taps, backbone.tap_shapes, strict=True)]


def _packages(branch: Branch) -> tuple[str, ...]:
    """Return whose versions a branch's output hangs on: a grafted body is another wing's."""
    packages = ("torch", "numpy", *branch.modality.packages)
    if branch.backbone.name == GRAFT:
        packages += stored_modality(branch.args[BODY]["modality"]).packages
    return packages
