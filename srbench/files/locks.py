"""Locks between processes, each with a file."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from srbench.interfaces import SRBenchError

NO_LOCKS = "its file system has no locks, without which two commands could write at once"
_PATIENCE = 2.0
"""Seconds of waiting after which a warning says why."""


@contextmanager
def locked(file: Path, doing: str) -> Iterator[None]:
    """Hold a lock, which ends with the process, on the cache that contains ``file``; the folder is created.

    Waits for another process, and warns that it is ``doing`` the same. Raises SRBenchError if the file system has no
    locks.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file)
    try:
        try:
            lock.acquire(timeout=_PATIENCE)
        except Timeout:
            warnings.warn(f"{file.parent}: another process is {doing}; waiting for it", stacklevel=3)
            lock.acquire()
    except NotImplementedError:  # raised by older versions of filelock
        raise SRBenchError(f"{file.parent}: {NO_LOCKS}; set XDG_CACHE_HOME to another folder") from None
    try:
        yield
    finally:
        lock.release()
