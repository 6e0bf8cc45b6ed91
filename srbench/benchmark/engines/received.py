"""Messages of workers, written into the run folder, and the rest of a task whose worker was lost."""

from __future__ import annotations

from dataclasses import replace

from srbench.benchmark.engines.worker import Fault, File, Written
from srbench.benchmark.tasks import Session, Task
from srbench.run_folder.protocol import Setting


def receive(message: object, session: Session) -> None:
    """Write lines or a file, or tell of a fault. Raises RunFolderError, or OSError, if that fails."""
    match message:
        case Written(lines):
            session.folder.append(*lines)
            session.count(*lines)
        case File(path, content):
            session.folder.write(path, content)
        case Fault(text):
            session.fail(text)


def rest(task: Task, begun: Setting | None, session: Session) -> Task:
    """The rest of a task from a setting on; pairs and samples kept by now are neither read nor sampled again."""
    known = session.folder.of(task.image)
    fresh = task.fresh and (known.pair is None or known.pair.failed or known.pair.key != task.pair_key)
    done = 0 if begun is None else task.settings.index(begun)
    samplings, scorings = task.samplings[done:], task.scorings[max(done - len(task.samplings), 0) :]
    record = None if begun is None else known.samples.get(begun)
    if samplings and begun and record and not record.failed and record.invocation == session.invocation:
        samplings, scorings = samplings[1:], (begun, *scorings)
    return replace(task, fresh=fresh, samplings=samplings, scorings=scorings)


def without(task: Task, setting: Setting) -> Task:
    """A task without one of its settings."""
    samplings = tuple(one for one in task.samplings if one.setting != setting)
    return replace(task, samplings=samplings, scorings=tuple(one for one in task.scorings if one != setting))
