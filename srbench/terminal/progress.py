"""Progress bars on stderr, for the command line and for callers in Python; in a notebook, one line below the cell."""

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
"""Time between lines of progress if stderr is no terminal."""
_SECONDS_IN_CELL = 0.2
"""Time between updates of the line in a notebook, which a browser has to show."""
_PACE_SECONDS = 3600
"""Period whose pace gives the time left: an item may take minutes."""


@dataclass(frozen=True)
class Step:
    """Progress in items, as reported to callers of the library and to the terminal."""

    done: int
    total: int
    what: str
    """Next setting and image; empty at the end."""
    fault: str = ""
    """Failure that just happened, in one line."""
    share: float | None = None
    """Finished share of the work, from which the remaining time follows; None: ``done / total``."""


Progress = Callable[[Step], None]


def silent(step: Step) -> None:
    """Ignore progress."""


class _Description(TextColumn):
    """Description on one line, shortened if the bar would not fit the terminal; the numbers stay whole."""

    def __init__(self) -> None:
        super().__init__("{task.description}", markup=False, table_column=Column())

    def render(self, task: Task) -> Text:
        text = super().render(task)
        text.no_wrap = True
        text.overflow = "ellipsis"
        return text


class _Count(ProgressColumn):
    """``3/88``: number of items done, the field ``done`` of a task whose bar shows another share; empty at first."""

    def render(self, task: Task) -> Text:
        done = task.fields.get("done", task.completed)
        return Text("" if task.total is None else f"{done:.0f}/{task.total:.0f}", style="progress.download")


def progress() -> Bar:
    """A bar on stderr with the number of items done, the time elapsed and the time left."""
    return Bar(
        _Description(),
        BarColumn(),
        _Count(Column(no_wrap=True)),
        TimeElapsedColumn(Column(no_wrap=True)),
        TextColumn("left", table_column=Column(no_wrap=True)),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        console=STDERR,
        redirect_stdout=STDOUT.is_terminal,  # lines for a pipe or a file must not land on stderr
        speed_estimate_period=_PACE_SECONDS,
    )


def transfer() -> Bar:
    """A bar on stderr with bytes done, speed and time left; only in a terminal, and removed at the end."""
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
    """Show the steps of a command: a bar in a terminal, otherwise a line every 30 seconds, and a line for each failure.

    What has ``begun`` is shown at once, before anything is counted; where stderr is no terminal, only if torch still
    has to be loaded, which takes a second.
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
        description = printable(step.what) if step.what else None
        bar.update(task, completed=_share(step) * step.total, total=step.total, done=step.done, description=description)
        bar.start()  # does nothing if it has started
        if not STDERR.is_terminal and time.monotonic() - said > SECONDS:
            said = time.monotonic()
            shown = bar.tasks[0]
            what = f"{step.what}: " if step.what else ""
            say(f"{what}{_share(step):.0%}, {_times(shown.elapsed or 0.0, shown.time_remaining)}")

    try:
        yield update
    finally:
        if bar.live.is_started:
            bar.live.transient = bar.tasks[0].total is None  # a bar that has counted nothing leaves nothing behind
            bar.stop()


def progress_of(asked: Progress | bool) -> AbstractContextManager[Progress]:
    """The function that a caller gave; for True, a bar if stderr is a terminal or a notebook."""
    if callable(asked):
        return nullcontext(asked)
    if asked and Console(stderr=True).is_jupyter:
        return _shown_in_cell()
    return shown_progress() if asked and STDERR.is_terminal else nullcontext(silent)


@contextmanager
def _shown_in_cell() -> Iterator[Progress]:
    """Show steps in one line below the cell that runs, and a line for each failure."""
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
            share = _share(step)
            left = (now - began) * (1 - share) / share if 0 < share < 1 else None
            text = f"{step.done}/{step.total} {printable(step.what)} {_times(now - began, left)}"
            bar = f'<progress value="{share:.3f}"></progress>'
            handle.update(HTML(f"<div>{bar} {escape(text)}</div>{faults}"))

    yield update


def _share(step: Step) -> float:
    return step.done / step.total if step.share is None else step.share


def _times(elapsed: float, left: float | None) -> str:
    """``1 min 5 s elapsed, about 3 min left``; None for a time left that is unknown or over."""
    return f"{duration(elapsed)} elapsed" + ("" if left is None else f", about {duration(left)} left")
