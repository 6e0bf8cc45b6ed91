"""Progress for callers in Python; in a notebook, one line in the output of the cell, which every step replaces."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from html import escape

from rich.console import Console

from srbench.interfaces import Progress, Step, silent
from srbench.system.file_names import printable
from srbench.system.progress import shown_progress
from srbench.system.terminal import duration
from srbench.system.time_left import TimeLeft

_SECONDS = 0.2
"""Least time between two messages to the browser."""


def progress_of(asked: Progress | bool) -> AbstractContextManager[Progress]:
    """The function of a caller; for True a bar where somebody looks on, in a terminal or a notebook."""
    if callable(asked):
        return nullcontext(asked)
    console = Console(stderr=True)
    if asked and console.is_jupyter:
        return _shown_in_cell()
    return shown_progress() if asked and console.is_terminal else nullcontext(silent)


@contextmanager
def _shown_in_cell() -> Iterator[Progress]:
    """Show steps beneath the cell that runs, and a line for everything that fails."""
    from IPython.display import HTML, display

    handle = display(HTML(""), display_id=True)
    began, sent, left = time.monotonic(), float("-inf"), TimeLeft()
    faults: list[str] = []

    def update(step: Step) -> None:
        nonlocal sent
        faults.extend([step.fault] if step.fault else [])
        now = time.monotonic()
        if step.total > 0:
            left.reached(_share(step))
        if step.total > 0 and (step.done == step.total or step.fault or now - sent > _SECONDS):
            sent = now
            handle.update(HTML(_line(step, now - began, left.seconds()) + "".join(map(_fault, faults))))

    yield update


def _share(step: Step) -> float:
    return step.done / step.total if step.share is None else step.share


def _line(step: Step, elapsed: float, left: float | None) -> str:
    share = _share(step)
    rest = "" if left is None or share == 1 else f", about {duration(left)} left"
    text = f"{step.done}/{step.total} {printable(step.what)} {duration(elapsed)} elapsed{rest}"
    return f'<div><progress value="{share:.3f}"></progress> {escape(text)}</div>'


def _fault(fault: str) -> str:
    return f"<div>failed: {escape(printable(fault))}</div>"
