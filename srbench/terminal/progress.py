"""Progress: a bar on stderr in a terminal, a line below the cell in a notebook."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from html import escape

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bar
from rich.table import Column
from rich.text import Text

from srbench.terminal.output import STDERR, STDOUT, duration, say
from srbench.words import printable

SECONDS = 30
"""Time between lines of progress if stderr is not a terminal."""
_SECONDS_IN_CELL = 0.2
"""Time between updates in a notebook, so that the browser keeps up."""
_PACE_SECONDS = 3600
"""Period over which the speed is averaged to estimate the time left; an item may take minutes."""


@dataclass(frozen=True)
class Step:
    """A step of progress, passed to progress functions."""

    done: int
    total: int
    what: str
    """The next item, such as ``srflow-t0.8 dog``, or the image of the last result; empty at the end."""
    fault: str = ""
    """A failure that just happened, in one line."""
    fraction: float | None = None
    """Finished fraction of the work, for the time left; None: ``done / total``."""


Progress = Callable[[Step], None]


def silent(step: Step) -> None:
    """Ignore progress."""


class _Description(TextColumn):
    """The description, shortened if the line would not fit the terminal."""

    def __init__(self) -> None:
        super().__init__("{task.description}", markup=False, table_column=Column())

    def render(self, task: Task) -> Text:
        text = super().render(task)
        text.no_wrap = True
        text.overflow = "ellipsis"
        return text


class _Count(ProgressColumn):
    """The number of items done: ``3/88``. Empty until the total is known."""

    def render(self, task: Task) -> Text:
        done = task.fields.get("done", task.completed)
        return Text("" if task.total is None else f"{done:.0f}/{task.total:.0f}", style="progress.download")


def columns() -> tuple[ProgressColumn, ...]:
    """Return the columns of a bar: description, bar, number of items done, time elapsed and time left."""
    return (
        _Description(),
        BarColumn(),
        _Count(Column(no_wrap=True)),
        TimeElapsedColumn(Column(no_wrap=True)),
        TextColumn("left", table_column=Column(no_wrap=True)),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
    )


def progress() -> Bar:
    """Return a bar on stderr."""
    return Bar(
        *columns(),
        console=STDERR,
        redirect_stdout=STDOUT.is_terminal,  # output to a pipe or file must not go to stderr
        speed_estimate_period=_PACE_SECONDS,
    )


def transfer() -> Bar:
    """Return a bar on stderr with bytes, speed and time left; only in a terminal, and removed at the end."""
    return Bar(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=STDERR,
        transient=True,
        disable=not STDERR.is_terminal,
    )


@contextmanager
def shown_progress(begun: str = "") -> Iterator[Progress]:
    """Show the progress of a command: a bar in a terminal, else a line every 30 seconds; and a line for each failure.

    ``begun`` describes what the command does first, and is shown at once; if stderr is not a terminal, only if torch
    still has to be loaded, which is slow.
    """
    bar = progress()
    task = bar.add_task(printable(begun), total=None)
    said = time.monotonic()
    if begun and STDERR.is_terminal:
        bar.start()
    elif begun and "torch" not in sys.modules:
        say(f"{begun} ...")

    def update(step: Step) -> None:
        nonlocal said
        if step.fault:
            say(f"failed: {step.fault}")
        if step.total <= 0:
            return
        if step.done < bar.tasks[0].fields.get("done", 0):  # a new round, which takes its own time
            bar.reset(task)
        description = printable(step.what) if step.what else None
        bar.update(
            task, completed=_fraction(step) * step.total, total=step.total, done=step.done, description=description
        )
        bar.start()  # no effect if already started
        if not STDERR.is_terminal and time.monotonic() - said > SECONDS:
            said = time.monotonic()
            shown = bar.tasks[0]
            item = f"{step.what}: " if step.what else ""
            say(f"{item}{_fraction(step):.0%}, {_times(shown.elapsed or 0.0, shown.time_remaining)}")

    try:
        yield update
    finally:
        if bar.live.is_started:
            bar.live.transient = bar.tasks[0].total is None  # remove a bar that counted nothing
            bar.stop()


def progress_of(choice: Progress | bool) -> AbstractContextManager[Progress]:
    """Return a caller's own function; for True, a bar if stderr is a terminal or a notebook; for False, silence."""
    if callable(choice):
        return nullcontext(choice)
    if choice and Console(stderr=True).is_jupyter:
        return _shown_in_cell()
    return shown_progress() if choice and STDERR.is_terminal else nullcontext(silent)


@contextmanager
def _shown_in_cell() -> Iterator[Progress]:
    """Show progress in a line below the running cell, and a line for each failure."""
    from IPython.display import HTML, display

    handle = display(HTML(""), display_id=True)
    began = time.monotonic()
    sent = float("-inf")
    faults = ""

    def update(step: Step) -> None:
        nonlocal sent, faults
        if step.fault:
            faults += f"<div>failed: {escape(printable(step.fault))}</div>"
        now = time.monotonic()
        if step.total > 0 and (step.done == step.total or step.fault or now - sent > _SECONDS_IN_CELL):
            sent = now
            fraction = _fraction(step)
            left = (now - began) * (1 - fraction) / fraction if 0 < fraction < 1 else None
            text = f"{step.done}/{step.total} {printable(step.what)} {_times(now - began, left)}"
            bar = f'<progress value="{fraction:.3f}"></progress>'
            handle.update(HTML(f"<div>{bar} {escape(text)}</div>{faults}"))

    yield update


def _fraction(step: Step) -> float:
    return step.done / step.total if step.fraction is None else step.fraction


def _times(elapsed: float, left: float | None) -> str:
    """Format ``1 min 5 s elapsed, about 3 min left``; ``left`` is None if unknown or over."""
    return f"{duration(elapsed)} elapsed" + ("" if left is None else f", about {duration(left)} left")
