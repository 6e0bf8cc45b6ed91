"""The number of worker processes, and how a process ends. Imports no large library."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from pathlib import Path

MAX_WORKERS = 8
"""Largest default number of processes."""
IMAGES_EACH = 4
"""Smallest default number of images per process, because starting a process takes time."""


STOPPING = tuple(getattr(signal, name) for name in ("SIGHUP", "SIGINT", "SIGTERM") if hasattr(signal, name))
"""Signals that end a command: the terminal was closed, Ctrl-C, and the request of a scheduler. Windows has no SIGHUP."""


class Interrupted(KeyboardInterrupt):
    """One of STOPPING ends the command. The message states what was saved; it is empty if work in progress is lost."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.code = 128 + number
        """Exit code of the command, the same as a shell reports for a process killed by the signal."""


def suitable_workers(device: str, tasks: int) -> int:
    """Default number of processes for this number of tasks: one per core, but 1 on a GPU or for few tasks."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(min(cores, MAX_WORKERS, tasks // IMAGES_EACH), 1) if device == "cpu" else 1


def may_have_gpu() -> bool:
    """Return False on Linux without a device file of a GPU: then torch need not be loaded, a second, to look for it."""
    files = ("nvidia*", "nvhost*", "kfd", "dxg")  # NVIDIA, its Tegra, AMD, Windows Subsystem for Linux
    return sys.platform != "linux" or any(any(Path("/dev").glob(name)) for name in files)


def end_quickly() -> None:
    """Skip garbage collection when this process exits, which would take 0.3 s for torch's objects."""
    atexit.register(gc.freeze)
