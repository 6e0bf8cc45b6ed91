"""The end of a training that is asked for while it runs, by Ctrl-C, SIGTERM or the clock of checkpoints."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SECONDS = 120.0
"""Longest time between checkpoints, unless saving them would take more than SHARE of it."""
SHARE = 0.02


class Request:
    """The request to stop: none, or the signal that asked for it."""

    def __init__(self) -> None:
        self.signal = 0


@contextmanager
def stop_requests() -> Iterator[Request]:
    """Inside, the first SIGINT and the first SIGTERM are noted, for the step in progress to end.

    The next one does what it did before. So does the first where it is ignored, as SIGINT is in background jobs, and
    outside the main thread.
    """
    request, before = Request(), dict[int, Callable[[int, FrameType | None], object] | int | None]()

    def note(number: int, frame: FrameType | None) -> None:
        request.signal = number
        signal.signal(number, before.pop(number))

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, note)
    try:
        yield request
    finally:
        for noted, handler in before.items():
            signal.signal(noted, handler)


class Clock:
    """The time since the last checkpoint."""

    def __init__(self) -> None:
        self._last, self._pause = time.monotonic(), SECONDS

    def due(self) -> bool:
        """True if a checkpoint should be saved although none is due by its step."""
        return time.monotonic() - self._last >= self._pause

    @contextmanager
    def saving(self) -> Iterator[None]:
        """Measure a checkpoint, after which the time begins again."""
        start = time.monotonic()
        yield
        self._last = time.monotonic()
        self._pause = max(SECONDS, (self._last - start) / SHARE)
