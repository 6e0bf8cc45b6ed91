"""Worker processes: how many, and what they inherit. No large library is loaded here."""

from __future__ import annotations

import atexit
import gc
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
SET_FOR_WORKERS = (*_THREADS, "CUDA_VISIBLE_DEVICES")
"""Variables that differ between the processes of one command."""
MOST = 8
"""Most processes that are started by default."""
IMAGES_EACH = 4
"""Images per process by default: a process first has to load everything."""


class Interrupted(KeyboardInterrupt):
    """The end that a signal asked for, after work in progress was finished. The message says what is kept."""

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


@contextmanager
def for_workers(gpu: str | None = None) -> Iterator[None]:
    """Let processes that start inside use one thread and one GPU, and leave Ctrl-C, which reaches all, to this one.

    The GPU has to be chosen before torch is loaded.
    """
    settings = dict.fromkeys(_THREADS, "1") | ({} if gpu is None else {"CUDA_VISIBLE_DEVICES": gpu})
    before = {name: os.environ[name] for name in settings if name in os.environ}
    mask = None
    if hasattr(signal, "pthread_sigmask"):
        resource_tracker.ensure_running()  # else the first process starts it, which unblocks Ctrl-C again
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(settings)
    try:
        yield
    finally:
        for name in settings.keys() - before:
            del os.environ[name]
        os.environ.update(before)
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
