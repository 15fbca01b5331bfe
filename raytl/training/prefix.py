"""The frozen prefix of a branch as a pure function: its output, and the key of that output.

Nothing in it draws at random or changes: no dropout, fixed batch-norm statistics, a deterministic
transform. So its output on a dataset's split can be kept and read in its stead.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from raytl.files import digest_of
from raytl.models.branch import Branch
from raytl.rows import Rows, move
from raytl.state_dicts import digest_of_state

FORMAT = 5  # of what is stored; part of every key
StoredType = Literal["float32", "bfloat16"]
_row_bytes: dict[str, int] = {}


@dataclass(frozen=True)
class Prefix:
    """The frozen prefix of a branch, with the transform in front of it. `pools`: whether what a
    wholly frozen backbone gives is stored after its pooling."""

    branch: Branch
    device: torch.device
    dtype: StoredType = "float32"
    pools: bool = True

    @property
    def depth(self) -> int:
        """How many blocks it has."""
        return self.branch.frozen_depth

    @property
    def whole(self) -> bool:
        """Whether features are stored, with all steps done."""
        return self.branch.wholly_frozen and self.pools

    @property
    def done(self) -> int:
        """How many steps of the branch are done in what is stored."""
        return self.branch.backbone.steps if self.whole else self.depth

    @property
    def row_bytes(self) -> int:
        """Bytes of one stored row."""
        known = digest_of(self._function(self.depth))
        if known not in _row_bytes:  # once a process: it takes a forward pass
            _row_bytes[known] = self.of_prepared(self.branch.transform.example(1)).nbytes
        return _row_bytes[known]

    def of_prepared(self, rows: Rows) -> np.ndarray:
        """Return what is stored of prepared rows."""
        return self._finish(self.branch.transform(move(rows, self.device)), 0)

    def of_stored(self, stored: np.ndarray, depth: int) -> np.ndarray:
        """Return what is stored, given what a prefix of `depth` blocks stores."""
        return self._finish(decode(stored).to(self.device), depth)

    @torch.inference_mode()
    def _finish(self, h: Rows, done: int) -> np.ndarray:
        was_training = self.branch.training
        self.branch.eval()
        h = self.branch.backbone.run(h, done, self.depth)
        if self.whole:
            h = self.branch.backbone.pool(h)
        self.branch.train(was_training)
        assert isinstance(h, Tensor)
        return encode(h, self.dtype)

    @cached_property
    def _block_digests(self) -> list[str]:
        return [digest_of_state(block) for block in self.branch.backbone.blocks[: self.depth]]

    def key(self, rows: Sequence[object], depth: int | None = None) -> str:
        """Return the digest of all that the features of `rows` depend on; with `depth`, of those
        after the first `depth` blocks. `rows`: which rows, and as which view, ready for JSON."""
        return digest_of(
            self._function(self.depth if depth is None else depth) | {"rows": list(rows)}
        )

    def _function(self, depth: int) -> dict[str, Any]:
        """Return what the features of given rows depend on after `depth` blocks.

        Weights alone would not do: arguments change strides and the like, and kinds of device
        round otherwise.
        """
        branch = self.branch
        return {
            "format": FORMAT,
            "torch": torch.__version__,
            "device": self.device.type,
            "modality": branch.modality.name,
            "backbone": branch.backbone.name,
            "args": branch.args,
            "blocks": self._block_digests[:depth],
            "done": self.done if depth == self.depth else depth,
            "transform": branch.transform.facts(),
            "dtype": self.dtype,
        }


def encode(h: Tensor, dtype: StoredType) -> np.ndarray:
    """Return a tensor as NumPy can hold it: bfloat16 as its bits, int16."""
    if dtype == "bfloat16":
        return h.bfloat16().cpu().view(torch.int16).numpy()
    return h.float().cpu().numpy()


def decode(stored: np.ndarray) -> Tensor:
    """Return the float32 tensor that `encode` stored."""
    if stored.dtype == np.int16:
        return torch.from_numpy(stored).view(torch.bfloat16).float()
    return torch.from_numpy(stored)
