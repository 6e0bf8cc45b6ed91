"""The number of worker processes, and the end of a process. No large library is loaded here."""

from __future__ import annotations

import atexit
import gc
import os

MOST = 8
"""Largest default number of processes."""
IMAGES_EACH = 4
"""Images per process by default: a process first has to load everything."""


class Interrupted(KeyboardInterrupt):
    """Raised when a signal has ended the command, after work in progress was finished. The message says what is kept."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.code = 128 + number
        """Exit code of the command, as a shell gives it to a process that the signal ended."""


def suitable_workers(device: str, tasks: int) -> int:
    """Default number of processes for so many tasks: one per core, 1 on a GPU and for short work."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(min(cores, MOST, tasks // IMAGES_EACH), 1) if device == "cpu" else 1


def end_quickly() -> None:
    """Skip garbage collection when this process exits: collecting torch's objects takes 0.3 s."""
    atexit.register(gc.freeze)
