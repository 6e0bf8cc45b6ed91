"""Memory: peak, total and free memory, and errors that mean out of memory."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from srbench.words import amount, one_line

Result = TypeVar("Result")

_MESSAGES = (
    *("out of memory", "can't allocate memory", "not enough memory"),
    *(
        "ALLOC_FAILED",
        "CUBLAS_STATUS_NOT_INITIALIZED",
        "unable to find an engine",
        "Unable to find a valid cuDNN algorithm",
        "Failed to allocate memory",
    ),
)
"""Messages of CUDA and MPS, and of torch on a CPU (Linux, Windows); of cuDNN, cuBLAS and cuFFT, which need memory of
their own; of ONNX Runtime. No exception class covers all."""


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error means that the device or the machine ran out of memory."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, without importing it
        return True
    is_of_a_library = isinstance(error, RuntimeError) or type(error).__module__.startswith("onnxruntime")
    return is_of_a_library and any(message in str(error) for message in _MESSAGES)


def shortage(error: BaseException) -> str:
    """Say of an error that means out of memory where it was, and how much was wanted, as far as the error does."""
    text = one_line(error)
    place = ""
    if isinstance(error, MemoryError) or "DefaultCPUAllocator" in text:
        place = " on the CPU"
    elif re.search("CUDA|cuDNN|cuFFT|CUBLAS|MPS|find an engine", text):
        place = " on the GPU"
    asked = re.search(r"(?:tried|unable) to allocate ([\d.]+) (\w+)", text, re.IGNORECASE)
    if asked is None:
        return f"out of memory{place}"
    number, unit = asked[1].rstrip("."), asked[2]
    size = amount(float(number), "B") if unit == "bytes" else f"{number} {unit}"
    return f"out of memory{place}: {size} were wanted"


def computed_on(device: str, compute: Callable[[str], Result]) -> Result:
    """Return ``compute(device)``, or ``compute("cpu")`` if the device is MPS, without float64, or lacks the memory."""
    if device not in ("cpu", "mps"):
        try:
            return compute(device)
        except Exception as error:
            if not out_of_memory(error.__cause__ or error):
                raise
    return compute("cpu")


def peak_memory_mb(device: str) -> float | None:
    """Peak memory in MB: of a GPU since its last reset, else of this process; None on Windows."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated(device) / 2**20
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes on macOS, kilobytes on Linux


def memory_bytes() -> int | None:
    """Total memory of this machine in bytes; None if unknown."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def free_bytes(device: str = "cpu") -> int | None:
    """Memory that this process may still allocate: of a GPU, or of the machine and its container; None if unknown."""
    if device.startswith("cuda"):
        import torch

        kept_by_torch = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept_by_torch
    limits = []
    with suppress(OSError, ValueError, IndexError):
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        limits.append(int(lines["MemAvailable"].split()[0]) * 1024)
    with suppress(OSError, ValueError):  # a container without a limit has "max" instead of a number
        limit, used = (int(Path("/sys/fs/cgroup", name).read_text()) for name in ("memory.max", "memory.current"))
        limits.append(limit - used)
    return min(limits) if limits else memory_bytes()
