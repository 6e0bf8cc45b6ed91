"""Settings for srbench's own processes, the command line and its workers. The library never changes its process."""

from __future__ import annotations

import ctypes
import gc
import os
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # constants of malloc.h
_KEPT = 2**26
"""Bytes of freed memory that a process keeps."""
_LARGEST_KEPT = 2**25
"""Size of the largest block that is kept, in bytes: glibc's limit."""


def wait_briefly() -> None:
    """Let idle threads of this process and its workers spin for a tenth of a millisecond, unless the user set
    otherwise.

    Threads that spin longer take cores from working threads; threads that sleep at once are late for the next small
    operation. GNU OpenMP and numpy's OpenBLAS (20 ms by default) read these variables when they are loaded, so call
    this before importing torch and numpy.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "18")  # log2 of the number of cycles


def keep_freed_memory() -> None:
    """Let glibc reuse freed memory for the next feature maps instead of returning it to the system.

    The system clears every page on first access: without this, a sample of CelebA 8x takes 1.1 times as long. Does
    nothing with another C library, or if the user has set any of glibc's variables.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    with suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_TRIM_THRESHOLD, _KEPT)


def collect_seldom() -> None:
    """Let Python search for unused objects that refer to each other after 7,000 new objects, not after 700.

    A search of everything that importing torch makes takes 0.1 s: a tenth of the time of a report went into six.
    """
    gc.set_threshold(7_000)
