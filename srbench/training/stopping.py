"""Handling of Ctrl-C, SIGTERM and SIGHUP, which end a training after the step in progress."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from srbench.machine.processes import STOPPING


class StopRequest:
    """The signal that requested a stop; 0 without a request."""

    def __init__(self) -> None:
        self.signal = 0


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Record the first signal of each kind in STOPPING instead of obeying it; a second one has its usual effect.

    Does nothing outside the main thread, or for ignored signals (as SIGINT is in background jobs).
    """
    request = StopRequest()
    handlers: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def record(number: int, frame: FrameType | None) -> None:
        request.signal = number
        signal.signal(number, handlers.pop(number))

    if threading.current_thread() is threading.main_thread():
        for number in STOPPING:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                handlers[number] = signal.signal(number, record)
    try:
        yield request
    finally:
        for remaining, handler in handlers.items():
            signal.signal(remaining, handler)
