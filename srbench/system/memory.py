"""Recognition of errors that mean a lack of memory."""

from __future__ import annotations

import torch

_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "STATUS_ALLOC_FAILED")
"""Messages of CUDA and MPS; of torch on a CPU (Linux, Windows); of cuDNN and cuBLAS. No exception class covers them."""


def out_of_memory(error: BaseException) -> bool:
    """True if a computation failed because the device or the machine had too little memory."""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)
