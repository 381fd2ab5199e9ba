"""Processes that are there all day give back to the machine what they have needed once (mallopt(3), malloc_trim(3))."""

from __future__ import annotations

import gc

from pycompose.engine.linux.libc import libc

# malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8


def be_thrifty(kept_bytes: int) -> None:
    """Have the C library keep little of what is freed: not more than `kept_bytes` in one piece.

    All threads get one heap: they are never busy together.
    """
    mallopt = getattr(libc, "mallopt", None)  # another C library has none
    if mallopt is not None:
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_MMAP_THRESHOLD, kept_bytes)
        mallopt(_M_TRIM_THRESHOLD, kept_bytes)


def give_back() -> None:
    """Return to the machine what isn't used any more."""
    gc.collect()
    trim = getattr(libc, "malloc_trim", None)
    if trim is not None:
        trim(0)
