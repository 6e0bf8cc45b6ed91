"""Steps of a command, or of a call from Python, as a bar on stderr with the time left.

In a notebook they are one line in the output of the cell, which every step replaces.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from html import escape
from typing import Any

from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import TaskID

from srbench.interfaces import Progress, Step, silent
from srbench.terminal.output import elapsed_and_left, progress, say
from srbench.terminal.time_left import TimeLeft
from srbench.words import printable

SECONDS = 30
"""Time between lines of progress if stderr is no terminal."""
_SECONDS_IN_CELL = 0.2
"""Least time between two messages to the browser."""


@dataclass
class Shown:
    """A bar on stderr that is a ``Progress``; a line above it for everything that fails."""

    bar: Bar
    task: TaskID
    left: TimeLeft
    report: Callable[[int], float] | None = None
    """Seconds that the report of so many items is expected to take, if one follows."""
    _said: float = field(default_factory=time.monotonic)

    def __call__(self, step: Step) -> None:
        """Show a step; the time left is that of all stages."""
        if step.fault:
            say(f"failed: {step.fault}")
        if step.total <= 0:
            return
        if self.report is not None:
            self.left.later = self.report(step.total)
        share = _share(step)
        self.left.reached(share)
        description: dict[str, Any] = {"description": printable(step.what)} if step.what else {}
        self.bar.update(self.task, completed=step.done, total=step.total, **description)
        self.bar.start()  # does nothing if it has started
        now, elapsed, left = time.monotonic(), self.bar.tasks[0].elapsed, self.left.seconds()
        if not self.bar.console.is_terminal and now - self._said > SECONDS:
            self._said = now
            what = f"{step.what}: " if step.what else ""
            say(f"{what}{share:.0%}, {elapsed_and_left(elapsed or 0.0, left)}")

    def next_stage(self) -> None:
        """Begin the last stage."""
        self.report = None
        self.left.next_stage()


def _share(step: Step) -> float:
    return step.done / step.total if step.share is None else step.share


@contextmanager
def shown_progress(begun: str = "") -> Iterator[Shown]:
    """Show a bar on stderr as soon as there is something to count; before that, at once, what has ``begun``.

    Where stderr is no terminal, that is a line, unless torch is there already and nothing slow has to be loaded.
    """
    bar, left = progress(), TimeLeft()
    shown = Shown(bar, bar.add_task(printable(begun), total=None, left=left), left)
    if begun and bar.console.is_terminal:
        bar.start()
    elif begun and "torch" not in sys.modules:
        say(f"{begun} ...")
    try:
        yield shown
    finally:
        if bar.live.is_started:
            bar.live.transient = bar.tasks[0].total is None  # a bar that has counted nothing leaves nothing behind
            bar.stop()


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
        faults.extend([f"<div>failed: {escape(printable(step.fault))}</div>"] if step.fault else [])
        now = time.monotonic()
        if step.total <= 0:
            return
        left.reached(_share(step))
        if step.done == step.total or step.fault or now - sent > _SECONDS_IN_CELL:
            sent = now
            handle.update(HTML(_line(step, now - began, left.seconds()) + "".join(faults)))

    yield update


def _line(step: Step, elapsed: float, left: float | None) -> str:
    share = _share(step)
    times = elapsed_and_left(elapsed, None if share == 1 else left)
    text = f"{step.done}/{step.total} {printable(step.what)} {times}"
    return f'<div><progress value="{share:.3f}"></progress> {escape(text)}</div>'
