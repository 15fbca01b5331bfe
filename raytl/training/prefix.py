"""The frozen prefix of a model as a pure function: its output, and the key of that output.

Nothing in it draws at random or changes: no dropout, fixed batch-norm statistics, a deterministic
transform. So its output on a dataset's split can be kept and read in its stead.

Legend: B batch, H height, W width, C channels.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from raytl.data.dataset import Dataset
from raytl.data.transforms import InputTransform
from raytl.data.views import View
from raytl.files import digest_of
from raytl.models.source_model import SourceSpec
from raytl.models.transfer_model import Reads, TransferModel
from raytl.state_dicts import digest_of_state
from raytl.training.inputs import input_transform

FORMAT = 4  # of what is stored; part of every key
StoredType = Literal["float32", "bfloat16"]
_row_bytes: dict[str, int] = {}


@dataclass(frozen=True)
class Prefix:
    """The frozen prefix of a model whose backbone `spec` describes, with the transform in front of
    it."""

    model: TransferModel
    spec: SourceSpec
    device: torch.device
    dtype: StoredType = "float32"

    @cached_property
    def transform(self) -> InputTransform:
        """What makes the model's input from images as the shards hold them."""
        return input_transform(self.spec)

    @property
    def depth(self) -> int:
        return self.model.frozen_depth

    @property
    def reads(self) -> Reads:
        """What is stored: the backbone's features where all of it is frozen, else the maps."""
        whole = self.depth == len(self.model.backbone.blocks)
        return "features" if whole and not self.model.mapper.spatial else "prefix"

    @property
    def row_bytes(self) -> int:
        """Bytes of one stored row."""
        known = digest_of(self._function(self.depth))
        if known not in _row_bytes:  # once a process: it takes a forward pass
            channels, height, width = self.spec.input_shape
            row = self.of_images(np.zeros((1, height, width, channels), np.float32))
            _row_bytes[known] = row.nbytes
        return _row_bytes[known]

    def of_images(self, images_BHWC: np.ndarray) -> np.ndarray:
        """Return what is stored of images as the shards hold them."""
        return self._finish(self.transform(torch.from_numpy(images_BHWC).to(self.device)), 0)

    def of_stored(self, stored: np.ndarray, depth: int) -> np.ndarray:
        """Return what is stored, given what a prefix of `depth` blocks stores."""
        return self._finish(decode(stored).to(self.device), depth)

    @torch.inference_mode()
    def _finish(self, h: Tensor, done: int) -> np.ndarray:
        was_training = self.model.training
        self.model.eval()
        h = self.model.backbone.run(h, done, self.depth)
        if self.reads == "features":
            h = self.model.backbone.pool(h)
        self.model.train(was_training)
        return encode(h, self.dtype)

    @cached_property
    def _block_digests(self) -> list[str]:
        return [digest_of_state(block) for block in self.model.backbone.blocks[: self.depth]]

    def key(
        self, dataset: Dataset, split: str, depth: int | None = None, view: View | None = None
    ) -> str:
        """Return the digest of all that the features depend on; with `depth`, of those after the
        first `depth` blocks; with `view`, of what that shows."""
        rows = {"dataset": dataset.fingerprint, "split": split, "view": view and view.key}
        return digest_of(self._function(self.depth if depth is None else depth) | rows)

    def _function(self, depth: int) -> dict[str, Any]:
        """Return what the features of given rows depend on after `depth` blocks.

        Weights alone would not do: arguments change strides and the like, and kinds of device
        round otherwise.
        """
        spec = self.spec
        return {
            "format": FORMAT,
            "torch": torch.__version__,
            "device": self.device.type,
            "backbone": spec.backbone,
            "args": spec.args,
            "blocks": self._block_digests[:depth],
            "reads": self.reads if depth == self.depth else "prefix",
            "input_shape": spec.input_shape,
            "normalization": spec.normalization.model_dump(),
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
