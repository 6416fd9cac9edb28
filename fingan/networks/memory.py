"""Keeping freed memory in the process: a tenth of a CPU step otherwise goes into page faults."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of glibc's malloc.h
_LARGEST_ON_HEAP = 32 << 20  # glibc accepts no more
_NEVER_TRIM = (1 << 31) - 1


def keep_freed_memory() -> bool:
    """Tell glibc's malloc to reuse freed blocks instead of returning them to the system.

    A step allocates and frees the same megabyte-sized activations again and
    again; by default each comes back as fresh pages that fault on first use.
    For processes that train or sample, not for one that embeds fingan: the setting
    holds for the whole process, and resident memory then stays near its peak.

    Returns:
        True where the allocator took the setting, False where it is not glibc's.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    taken = [mallopt(_MMAP_THRESHOLD, _LARGEST_ON_HEAP), mallopt(_TRIM_THRESHOLD, _NEVER_TRIM)]
    return all(taken)
