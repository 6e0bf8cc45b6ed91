"""Output of commands: results, remarks, a progress bar. Imports that load rich are inside the functions."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srbench.interfaces import Progress, Step
from srbench.system.file_names import printable

if TYPE_CHECKING:
    from rich.table import Table

SECONDS = 30
"""Time between lines of progress if stderr is no terminal."""


def show(result: str | Path | Table) -> None:
    """Print a line or a table on stdout."""
    from srbench.system.terminal import show as show_result

    show_result(str(result) if isinstance(result, Path) else result)


def say(text: str) -> None:
    """Print a remark as one line on stderr, above a progress bar."""
    from srbench.system.terminal import say as say_text

    say_text(text)


def warn_in_one_line() -> None:
    """Show warnings as one line on stderr, without the line of code."""
    warnings.showwarning = lambda message, *_, **__: say(f"warning: {message}")


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """Show a bar on stderr as soon as there is something to do, and a line above it for everything that fails."""
    from srbench.system.terminal import duration, progress

    bar = progress()
    task = bar.add_task("", start=False, total=None)
    began = said = time.monotonic()

    def update(step: Step) -> None:
        nonlocal said
        if step.fault:
            say(f"failed: {step.fault}")
        if step.total > 0:
            share = step.done / step.total if step.share is None else step.share
            description: dict[str, Any] = {"description": printable(step.what)} if step.what else {}
            bar.update(task, completed=step.done, total=step.total, share=share, **description)
            bar.start_task(task)  # does nothing if it has started, nor does the next line
            bar.start()
            now = time.monotonic()
            if not bar.console.is_terminal and now - said > SECONDS:
                said = now
                left = f", about {duration((now - began) * (1 - share) / share)} left" if share else ""
                say(f"{step.what}: {share:.0%}, {duration(now - began)} elapsed{left}")

    try:
        yield update
    finally:
        if bar.live.is_started:
            bar.stop()
