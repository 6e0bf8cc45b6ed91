"""Memory: its peak, and errors that mean a lack of it."""

from __future__ import annotations

import sys

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
