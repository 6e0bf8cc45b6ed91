"""What tells that memory was short: every device and library says it in its own way."""

from __future__ import annotations

import torch

_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "STATUS_ALLOC_FAILED")
"""Of CUDA and MPS; of torch on a CPU (Linux, Windows); of cuDNN and cuBLAS."""


def out_of_memory(error: BaseException) -> bool:
    """Did a computation fail because the device, or the machine, had too little memory for it?"""
    if isinstance(error, MemoryError | torch.cuda.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in _WORDS)
