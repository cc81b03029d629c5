"""Keeping freed memory for the next batch."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_memory"]

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's options, from its malloc.h."""
ARRAY, KEPT = 256 << 20, 1 << 30
"""Bytes: larger arrays are still given back at once; as much may stay with the process."""


def keep_memory() -> bool:
    """Let the process keep the memory of freed tensors; returns whether it could.

    By default glibc gives each array above 32 MB, and often smaller ones, back to the kernel when it is
    freed; the next batch's first touch of every page is then a fault (Linux man-pages, mallopt(3)): tens of
    thousands a batch (docs/benchmarks.md). Elsewhere than on Linux with glibc this does nothing.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return (
        mallopt is not None and bool(mallopt(MMAP_THRESHOLD, ARRAY)) and bool(mallopt(TRIM_THRESHOLD, KEPT))
    )
