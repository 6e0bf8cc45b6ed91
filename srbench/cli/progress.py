"""The progress bar of the commands. Imports that load torch are inside the function."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from srbench.system.file_names import printable

if TYPE_CHECKING:
    from srbench.interfaces import Progress


@contextmanager
def shown_progress() -> Iterator[Progress]:
    """A bar on stderr as soon as there is something to do, and a line above it for everything that fails."""
    from srbench.system.terminal import progress, say, warn_in_one_line

    warn_in_one_line()
    bar = progress()
    task = bar.add_task("", start=False, total=None)

    def show(step: Any) -> None:  # noqa: ANN401 - srbench.interfaces.Step
        if step.fault:
            say(f"failed: {step.fault}")
        if step.total > 0:
            share = step.done / step.total if step.share is None else step.share
            description: dict[str, Any] = {"description": printable(step.what)} if step.what else {}
            bar.update(task, completed=step.done, total=step.total, share=share, **description)
            bar.start_task(task)  # does nothing if it has started, nor does the next line
            bar.start()

    try:
        yield show
    finally:
        if bar.live.is_started:
            bar.stop()
