"""The lock of reports: one at a time in a folder, while a run may be writing its rows there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from srbench.reporting import ReportError
from srbench.run_folder.folder import NO_LOCKS, REPORT_LOCK

WAIT = 10
"""Seconds that a report waits for another one."""


@contextmanager
def reporting(run: Path) -> Iterator[None]:
    """Lock the reports in the folder of a run. The lock ends with its process, however that ends.

    Raises ReportError if another report takes too long, or the folder cannot be written.
    """
    lock = FileLock(run / REPORT_LOCK)
    try:
        lock.acquire(timeout=WAIT)
    except Timeout:
        raise ReportError(
            f"{run}: another report is being written there; wait for it, or choose another --out"
        ) from None
    except NotImplementedError:
        raise ReportError(f"{run}: {NO_LOCKS}; choose another --out") from None
    except OSError as error:
        raise ReportError(f"{run}: cannot be written ({error.strerror}); choose another --out") from None
    try:
        yield
    except OSError as error:
        raise ReportError(f"{error.filename or run}: {error.strerror or error}; write the report again") from None
    finally:
        lock.release()
