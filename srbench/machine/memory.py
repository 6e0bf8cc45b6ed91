"""Memory: its peak, and errors that mean a lack of it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

import torch

_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "STATUS_ALLOC_FAILED")
"""Messages of CUDA and MPS; of torch on a CPU (Linux, Windows); of cuDNN and cuBLAS. No exception class covers them."""


def out_of_memory(error: BaseException) -> bool:
    """True if a computation failed because the device or the machine had too little memory."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)


def peak_memory_mb(device: str) -> float | None:
    """Peak memory in MB, on ``cuda`` of the GPU since its last reset, elsewhere of this process; None on Windows."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes on macOS, kilobytes on Linux


def memory_bytes() -> int | None:
    """Memory of this machine in bytes; None if unknown."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def free_bytes() -> int | None:
    """Memory that this process may still take: that of the machine, or of its container; None if unknown."""
    found = []
    with suppress(OSError, ValueError, IndexError):
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        found.append(int(lines["MemAvailable"].split()[0]) * 1024)
    with suppress(OSError, ValueError):  # "max" is no number
        limit, taken = (int(Path("/sys/fs/cgroup", name).read_text()) for name in ("memory.max", "memory.current"))
        found.append(limit - taken)
    return min(found) if found else memory_bytes()
