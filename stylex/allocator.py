"""The allocator of the C library: keep memory between training steps instead of returning it to the system."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc's <malloc.h>


def keep_freed_memory() -> bool:
    """Ask glibc to reuse freed blocks of any size; return whether it will (other systems: no).

    A step allocates and frees some hundred tensors. By default the large ones go back to the kernel, which clears their
    pages again at the next step (docs/performance.md).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform.startswith("linux") else None  # musl: none
    return bool(mallopt and mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1))
