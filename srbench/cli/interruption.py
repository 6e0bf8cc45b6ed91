"""Ctrl-C: the first ends a command cleanly, the second at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
"""Exit code after Ctrl-C, by the convention of shells (128 + SIGINT)."""


@contextmanager
def twice_at_once() -> Iterator[None]:
    """Let the first Ctrl-C raise KeyboardInterrupt, and the second end this process and its workers at once.

    Does nothing if SIGINT is ignored, as in background jobs, or already handled.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _first)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGINT) is _first:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def _first(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGINT, _again)
    raise KeyboardInterrupt


def _again(number: int, frame: FrameType | None) -> None:
    for worker in multiprocessing.active_children():
        worker.kill()
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), b"\x1b[?25h\n")  # show the cursor, which the progress bar hides
    os._exit(INTERRUPTED)
