"""Settings of a process of srbench's own: the command line and its workers. A library leaves its process as it is."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h
_KEPT = 2**26
"""Bytes of freed memory that a process keeps."""
_LARGEST_KEPT = 2**25
"""Bytes of the largest block that is kept: glibc's limit."""


def wait_briefly() -> None:
    """Let idle threads of this process and its workers spin for a tenth of a millisecond; the user's settings stay.

    Threads that spin for long take cores from those that work; threads that sleep at once are late for the next small
    operation. GNU's OpenMP and numpy's OpenBLAS, whose default is 20 ms, read these variables when they are loaded, so
    this has to come before torch and numpy.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "18")  # 2 to the power of that, in cycles


def keep_freed_memory() -> None:
    """Let glibc keep freed memory for the next maps, where it would return pages and need them again at once.

    Every page is cleared when it is first touched: without this, one sample of CelebA 8x takes 1.1 times as long. Does
    nothing with another C library, or if the user has set one of glibc's variables.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    with suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_TRIM_THRESHOLD, _KEPT)
