"""Networks compiled by torch, block by block (`train.compile`)."""

import os
import shutil
import socket
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib.util import find_spec

import torch

from raytl.errors import ConfigError
from raytl.modalities.base import Transform
from raytl.models.branch import Branch
from raytl.rows import Padded

C_COMPILERS = ("g++", "clang++", "c++")


def check_fixed_shapes(transforms: Mapping[str, Transform]) -> None:
    """Raise ConfigError where a column's rows differ in length: each batch has a shape of its own
    then, and would be compiled anew."""
    ragged = [column for column, of in transforms.items() if isinstance(of.example(1), Padded)]
    if ragged:
        raise ConfigError(
            f"train.compile: rows must have one shape, but those of {', '.join(ragged)} differ in "
            "length; leave train.compile out, or take other inputs"
        )


def missing_compiler(device: torch.device) -> str | None:
    """Return what this machine lacks to compile for a device; None where nothing is missing."""
    if not any(shutil.which(name) for name in (os.environ.get("CXX", ""), *C_COMPILERS) if name):
        return "a C++ compiler (g++)"
    if device.type == "cuda" and find_spec("triton") is None:
        return "triton"
    return None


def compile_blocks(branches: Mapping[str, Branch], device: torch.device) -> None:
    """Let the blocks of the branches be compiled when they first train; their state's names stay as
    they are. Raises ConfigError for rows of several lengths and without a compiler."""
    check_fixed_shapes({name: branch.transform for name, branch in branches.items()})
    missing = missing_compiler(device)
    if missing is not None:
        raise ConfigError(
            f"train.compile: {socket.gethostname()} lacks {missing}; install it on every node, or "
            "leave train.compile out"
        )
    for branch in branches.values():
        for block in branch.backbone.blocks:
            block.compile(dynamic=False)


def eagerly(compiled: bool) -> AbstractContextManager[object]:
    """Run what is `compiled` as it is written: the last batch of a pass has a shape of its own."""
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()
