"""What workers made, written into the run folder; and what is left of a task whose worker was lost."""

from __future__ import annotations

from dataclasses import replace

from srbench.benchmark.engines.worker import Fault, File, Lines, Written
from srbench.benchmark.tasks import Session, Task
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.protocol import Setting
from srbench.run_folder.records import SampleRecord, ScoreRecord


class Received:
    """Takes what other processes make in place of a session, which writes it and counts it."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._sampled: set[int] = set()
        self._scored: set[int] = set()
        """Hashes of what was made, as a second worker may make it again: they take a fifth of the memory."""

    def take(self, message: object) -> None:
        """Write lines or a file, or tell of a fault. Raises RunFolderError or OSError where that fails."""
        match message:
            case Written(lines):
                self._append(lines)
            case File(path, content):
                self.session.folder.write(path, content)
            case Fault(text):
                self.session.fail(text)

    def _append(self, lines: Lines) -> None:
        self.session.folder.append(*lines)
        samples = [line for line in lines if isinstance(line, SampleRecord) and not line.failed]
        self._sampled |= {hash((one.model, one.temperature, one.image)) for one in samples}
        self._scored |= {hash((one.key, one.model, one.metric)) for one in lines if isinstance(one, ScoreRecord)}
        self.session.sampled, self.session.scored = len(self._sampled), len(self._scored)


def settings_of(task: Task) -> list[Setting]:
    """Settings of a task, in the order in which they are done."""
    return [*(one.setting for one in task.samplings), *task.scorings]


def settings_before(task: Task, begun: Setting | None) -> int:
    """Number of settings of a task that come before one of them; None stands before all."""
    return 0 if begun is None else settings_of(task).index(begun)


def without(task: Task, setting: Setting) -> Task:
    """A task without one of its settings."""
    samplings = tuple(one for one in task.samplings if one.setting != setting)
    return replace(task, samplings=samplings, scorings=tuple(one for one in task.scorings if one != setting))


def rest(task: Task, begun: Setting | None, folder: RunFolder, invocation: int) -> Task:
    """What is left of a task from a setting on; what was kept by now is neither read nor sampled again."""
    known = folder.of(task.image)
    fresh = task.fresh and (known.pair is None or known.pair.failed or known.pair.key != task.pair_key)
    done = settings_before(task, begun)
    samplings, scorings = task.samplings[done:], task.scorings[max(done - len(task.samplings), 0) :]
    record = None if begun is None else known.samples.get((begun.model, begun.temperature))
    if samplings and begun is not None and record and not record.failed and record.invocation == invocation:
        samplings, scorings = samplings[1:], (begun, *scorings)
    return replace(task, fresh=fresh, samplings=samplings, scorings=scorings)
