"""Ctrl-C, SIGTERM and SIGHUP: the first ends a command cleanly, the second at once."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from srbench.machine.processes import STOPPING, Interrupted


@contextmanager
def twice_at_once() -> Iterator[None]:
    """Let the first of STOPPING raise Interrupted, and the second end this process and its workers at once.

    Leaves a signal alone that is ignored, as SIGINT is in background jobs and SIGHUP under nohup, or already handled.
    """
    default = (signal.default_int_handler, signal.SIG_DFL)
    before = {number: handler for number in STOPPING if (handler := signal.getsignal(number)) in default}
    for number in before:
        signal.signal(number, _first)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is _first:
                signal.signal(number, handler)


def _first(number: int, frame: FrameType | None) -> None:
    for each in STOPPING:
        if signal.getsignal(each) is _first:
            signal.signal(each, _again)
    raise Interrupted("", number)


def _again(number: int, frame: FrameType | None) -> None:
    if "multiprocessing" in sys.modules:  # else there are no workers
        for worker in sys.modules["multiprocessing"].active_children():
            worker.kill()
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), b"\x1b[?25h\n")  # show the cursor, which the progress bar hides
    os._exit(128 + number)
