"""Ctrl-C and SIGTERM end a training after the step in progress."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """The signal that asked the training to stop, 0 without one."""

    def __init__(self) -> None:
        self.signal = 0


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Inside, the first SIGINT and the first SIGTERM are only noted; a second one acts as it did before.

    Does nothing about signals that are ignored, as SIGINT is in background jobs, and outside the main thread.
    """
    request = StopRequest()
    before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

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
