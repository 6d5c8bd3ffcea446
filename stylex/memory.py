"""Keep memory between training steps instead of returning it to the system and asking for it again."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # glibc's <malloc.h>
NEVER = (1 << 31) - 1


def keep_freed_memory() -> bool:
    """Ask glibc to reuse freed blocks of any size; returns whether it will (other systems: no).

    A step allocates and frees some hundred tensors. By default the large ones go back to the kernel, which clears their
    pages again at the next step (docs/performance.md).
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # musl has no such function
        return False
    return bool(mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, NEVER))
