"""Processes: how many work, their settings, and the signals that end them. Imports no large library."""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from srbench.machine.memory import free_bytes

MAX_WORKERS = 8
"""Largest default number of processes."""
IMAGES_EACH = 4
"""Smallest default number of images per process, because starting a process takes time."""
PIXELS = 2**19
"""Number of pixels of outputs to measure that count as an image:
to measure fewer, another process would take longer to start than it saves."""
GPU_BYTES = 2 * 2**30
"""GPU memory for each process that measures. LPIPS of an image of 2040x1356 makes 0.4 GB of tensors, by
``srbench.metrics.cost.LiveTensors``; the rest is an estimate for CUDA's context and cuDNN."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # constants of malloc.h
_KEPT = 2**26
"""Bytes of freed memory that a process keeps."""
_LARGEST_KEPT = 2**25
"""Size of the largest block that is kept, in bytes: glibc's limit."""

STOPPING = tuple(getattr(signal, name) for name in ("SIGHUP", "SIGINT", "SIGTERM") if hasattr(signal, name))
"""Signals that end a command: the terminal was closed, Ctrl-C, and the request of a scheduler.
Windows has no SIGHUP."""


class Interrupted(KeyboardInterrupt):
    """One of STOPPING ends the command. The message states what was saved; it is empty if work in progress is lost."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.code = 128 + number
        """Exit code of the command, the same as a shell reports for a process killed by the signal."""


def suitable_workers(device: str, images: int) -> int:
    """Default number of processes for this number of images: one per core, but 1 on a GPU or for few images."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(min(cores, MAX_WORKERS, images // IMAGES_EACH), 1) if device == "cpu" else 1


def measuring_workers(device: str, images: int) -> int:
    """Default number of processes that measure this number of images.

    With metrics on a GPU, the CPU still does most of the work, so the number is that of a CPU, limited by the memory of
    the GPU. A metric for which that memory does not suffice is computed on the CPU (``computed_on``).
    """
    workers = suitable_workers("cpu", images)
    if workers > 1 and device.startswith("cuda"):
        workers = max(min(workers, (free_bytes(device) or 0) // GPU_BYTES), 1)
    return workers


def may_have_gpu() -> bool:
    """Return whether torch, which loads slowly, is needed to look for a GPU:
    not on Linux without a device file of one.
    """
    files = ("nvidia*", "nvhost*", "kfd", "dxg")  # NVIDIA, its Tegra, AMD, Windows Subsystem for Linux
    return sys.platform != "linux" or any(any(Path("/dev").glob(name)) for name in files)


def wait_briefly() -> None:
    """Let idle threads of this process and its workers spin only briefly, unless the user set otherwise.

    Threads that spin longer take cores from working threads; threads that sleep at once are late for the next small
    operation. GNU OpenMP and numpy's OpenBLAS, which spins long by default, read these variables when they are loaded,
    so call this before importing torch and numpy.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "passive"
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "18")  # log2 of the number of cycles


def keep_freed_memory() -> None:
    """Let glibc reuse freed memory for the next feature maps instead of returning it to the system.

    The system clears every page on first access, which makes sampling slower. Does nothing with another C library, or
    if the user has set any of glibc's variables.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    with suppress(AttributeError, OSError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)
        mallopt(_TRIM_THRESHOLD, _KEPT)


def collect_seldom() -> None:
    """Let Python search less often for unused objects that refer to each other, and not when this process exits.

    Importing torch makes very many objects, and a short command such as a report would search all of them several
    times.
    """
    gc.set_threshold(7_000)
    atexit.register(gc.freeze)
