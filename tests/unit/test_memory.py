"""Freed memory stays in the process: asked of a process of its own, as it cannot be undone."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import mmap, resource
from raytl.memory import keep_freed_memory
took = keep_freed_memory()
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def touch():
    block = bytearray(64 * 2**20)
    del block
touch()
before = faults()
for _ in range(4):
    touch()
print(took, faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc can be told")
def test_freed_memory_is_not_mapped_again() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    took, faults = done.stdout.split()
    assert took == "True"
    assert int(faults) < 64 * 2**20 // 4096  # fewer than one such block alone would take
