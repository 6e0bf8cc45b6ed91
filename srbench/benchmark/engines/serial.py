"""All tasks one after the other, in this process."""

from __future__ import annotations

from collections.abc import Sequence

from srbench.benchmark.tasks import Session, Task


def serial(session: Session, tasks: Sequence[Task]) -> None:
    """Do all tasks of a session; what fails is recorded and named, and the others go on."""
    for task in tasks:
        before = session.done
        session.do(task)
        session.done = before + task.items
        session.image_done()
