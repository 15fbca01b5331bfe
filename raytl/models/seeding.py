"""Weights that are drawn by a seed of their own."""

import contextlib
from collections.abc import Iterator

import torch


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let what draws from torch's global generator draw by `seed`; the generator is put back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
