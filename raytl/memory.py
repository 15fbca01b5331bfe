"""How a process of raytl's own treats freed memory."""

import ctypes
import platform
from functools import cache

# glibc's malloc.h
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


@cache
def keep_freed_memory() -> bool:
    """Keep freed memory in the process instead of giving it back to the kernel; return whether it
    took effect (glibc alone can).

    glibc maps every block of over 32 MiB anew, and a convolution's activations are that large: the
    page faults took a third of SqueezeNet's forward pass (29 → 20 ms a row on one core) and a
    fifth of its training step. For processes that do nothing but train: what they freed stays
    theirs until they end.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, 2**31 - 1))
