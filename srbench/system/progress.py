"""Steps of a command, or of a call from Python, as a bar on stderr with the time left."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from rich.progress import Progress as Bar
from rich.progress import TaskID

from srbench.interfaces import Step
from srbench.system.file_names import printable
from srbench.system.terminal import duration, progress, say
from srbench.system.time_left import TimeLeft

SECONDS = 30
"""Time between lines of progress if stderr is no terminal."""


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
        share = step.done / step.total if step.share is None else step.share
        self.left.reached(share)
        description: dict[str, Any] = {"description": printable(step.what)} if step.what else {}
        self.bar.update(self.task, completed=step.done, total=step.total, **description)
        self.bar.start()  # does nothing if it has started
        now, elapsed, left = time.monotonic(), self.bar.tasks[0].elapsed, self.left.seconds()
        if not self.bar.console.is_terminal and now - self._said > SECONDS:
            self._said = now
            rest = "" if left is None else f", about {duration(left)} left"
            what = f"{step.what}: " if step.what else ""
            say(f"{what}{share:.0%}, {duration(elapsed or 0.0)} elapsed{rest}")

    def next_stage(self) -> None:
        """Begin another stage, which is the last one."""
        self.report = None
        self.left.next_stage()


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
