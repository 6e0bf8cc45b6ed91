"""Tasks done side by side in processes of this machine, with one thread each.

This process hands out jobs and writes what comes back. A process that dies costs what it had in hand, which is done
again by another; what it was at for the third time is recorded as failed.
"""

from __future__ import annotations

import multiprocessing
import signal
import warnings
from collections import Counter, deque
from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from tempfile import TemporaryDirectory

from srbench.benchmark import BenchmarkError
from srbench.benchmark.engines.received import TRIES, Received, given_up, rest
from srbench.benchmark.engines.worker import (
    Begun,
    Fault,
    File,
    Finished,
    Message,
    Opening,
    Ready,
    Sampling,
    Scoring,
    Unusable,
    Warned,
    Written,
    serve,
)
from srbench.benchmark.tasks import Session, Task
from srbench.run_folder.protocol import Setting
from srbench.system.processes import for_workers

WAITING_EACH = 2
"""Outputs that may wait for each process that scores."""


def processes(
    session: Session, tasks: Sequence[Task], opening: Opening, samplers: Sequence[str | None], scorers: int = 0
) -> None:
    """Do all tasks of a session in ``samplers``; what fails is recorded and named, and the others go on.

    There is a process for each of these: the GPUs that it sees, as CUDA_VISIBLE_DEVICES names them; None: as this one.
    With ``scorers``, so many more processes measure what the others sample, so that sampling need not wait; a bounded
    number of outputs waits for them. Raises BenchmarkError where no process can work; whatever ends this function ends
    the processes.
    """
    with TemporaryDirectory(prefix="srbench-") as scratch:
        crew = _Crew(session, opening.packed(), Path(scratch))
        crew.work(tasks, samplers, scorers)


@dataclass
class _Worker:
    """One of the processes, as this one sees it."""

    process: SpawnProcess
    connection: Connection
    samples: bool
    gpu: str | None
    ready: bool = False
    job: Sampling | Scoring | None = None
    begun: Setting | None = None
    """The setting of the task that it is at; None while it reads the pair."""
    counted: int = 0
    """Settings of the task that it has done."""


class _Crew:
    def __init__(self, session: Session, packed: bytes, scratch: Path) -> None:
        self.session, self.folder = session, session.folder
        self._packed, self._scratch = packed, scratch
        self._workers: list[_Worker] = []
        self._tasks: deque[Task] = deque()
        self._unscored: deque[Scoring] = deque()
        self._lost: Counter[Hashable] = Counter()
        self._received = Received(session)
        self._scorers = 0
        self._failed_starts = 0
        """Processes that ended before they could work, since one could."""

    def work(self, tasks: Sequence[Task], samplers: Sequence[str | None], scorers: int) -> None:
        self._tasks.extend(tasks)
        self._scorers = scorers
        try:
            for gpu in samplers[: len(tasks)]:
                self._start(True, gpu)
            for _ in range(scorers):
                self._start(False, None)
            while self._tasks or self._unscored or any(worker.job for worker in self._workers):
                self._hand_out()
                self._listen()
            for worker in self._workers:
                worker.connection.close()
                worker.process.join(timeout=5)
        finally:
            for worker in self._workers:
                worker.process.kill()
            for worker in self._workers:
                worker.process.join()

    def _start(self, samples: bool, gpu: str | None) -> None:
        ours, theirs = multiprocessing.Pipe()
        leaves_scoring = samples and self._scorers > 0
        process = multiprocessing.get_context("spawn").Process(
            target=serve, args=(theirs, self._packed, self._scratch, leaves_scoring), daemon=True
        )
        with for_workers(gpu):
            process.start()
        theirs.close()  # the worker's end alone stays open, so that its death is seen
        self._workers.append(_Worker(process, ours, samples, gpu))

    def _hand_out(self) -> None:
        for worker in self._workers:
            if not worker.ready or worker.job is not None:
                continue
            if worker.samples and self._tasks:
                task = self._tasks.popleft()
                self._give(worker, Sampling(task, tuple(self.folder.lines_of(task.image))))
            elif not worker.samples and self._unscored:
                job = self._unscored.popleft()
                self._give(worker, replace(job, lines=tuple(self.folder.lines_of(job.record.image))))

    def _give(self, worker: _Worker, job: Sampling | Scoring) -> None:
        worker.job, worker.begun, worker.counted = job, None, 0
        with suppress(OSError):  # it has died: that is heard from its connection
            worker.connection.send(job)

    def _listen(self) -> None:
        """Take a message of every worker that has one; samplers have to wait while too much is unscored."""
        full = self._scorers > 0 and len(self._unscored) >= WAITING_EACH * self._scorers
        by_connection = {one.connection: one for one in self._workers if not (full and one.samples)}
        for connection in wait(list(by_connection)):
            worker = by_connection[connection]  # type: ignore[index]
            try:
                message: Message = worker.connection.recv()
            except (EOFError, OSError):
                self._bury(worker)
            else:
                self._take(worker, message)

    def _take(self, worker: _Worker, message: Message) -> None:
        match message:
            case Ready():
                worker.ready, self._failed_starts = True, 0
            case Begun(setting):
                self._begin(worker, setting)
            case Written() | File() | Fault():
                self._received.take(message)
            case Warned(text):
                warnings.warn(text, stacklevel=2)  # two workers may say the same: it is shown once
            case Scoring():
                self._enqueue(message)
            case Finished():
                if isinstance(worker.job, Sampling):
                    self._count(worker, worker.job.task.items - worker.counted)
                    self.session.image_done()
                self._close(worker.job)
                worker.job = None
            case Unusable(reason):
                raise BenchmarkError(reason)

    def _begin(self, worker: _Worker, setting: Setting) -> None:
        assert isinstance(worker.job, Sampling)
        self._count(worker, 0 if worker.begun is None else 1)
        worker.begun = setting
        self.session.begin(setting, worker.job.task.image)

    def _enqueue(self, job: Scoring) -> None:
        """Have a record scored, unless it is: a sampler that was lost may have left it behind already."""
        at_work = [worker.job for worker in self._workers]
        if any(isinstance(other, Scoring) and other.record == job.record for other in (*self._unscored, *at_work)):
            self._close(job)
        else:
            self._unscored.append(job)

    def _count(self, worker: _Worker, items: int) -> None:
        worker.counted += items
        self.session.done += items

    def _close(self, job: Sampling | Scoring | None) -> None:
        if isinstance(job, Scoring) and job.outputs is not None:
            job.outputs.unlink(missing_ok=True)

    def _bury(self, worker: _Worker) -> None:
        """A worker has died: what it had in hand is done again, or given up; another takes its place."""
        worker.process.join()
        self._workers.remove(worker)
        end = _end_of(worker.process.exitcode)
        if not worker.ready:
            self._failed_starts += 1
            if self._failed_starts >= TRIES and not any(other.ready for other in self._workers):
                raise BenchmarkError(
                    f"processes end before they can work ({end}); leave workers out, and in a script call evaluate "
                    "under if __name__ == '__main__'"
                )
        if isinstance(worker.job, Sampling):
            self._again(worker, worker.job.task, end)
        elif isinstance(worker.job, Scoring):
            self._score_again(worker.job, end)
        if self._tasks or self._unscored or not worker.samples:
            self._start(worker.samples, worker.gpu)

    def _again(self, worker: _Worker, task: Task, end: str) -> None:
        left = rest(task, worker.begun, self.folder, self.session.invocation)
        if self._is_hopeless((task.image, worker.begun)):
            self.session.give_up(left, worker.begun, given_up(task.image, end), TRIES)
            if worker.begun is None:
                self._count(worker, task.items)
                return
            self._count(worker, 1)
            left = _without(left, worker.begun)
        if left.fresh or left.samplings or left.scorings:
            self._tasks.append(left)

    def _score_again(self, job: Scoring, end: str) -> None:
        if self._is_hopeless(job.record):
            self.session.give_up_scores(job.record, given_up(job.record.image, end), TRIES)
            self._close(job)
        else:
            self._unscored.append(job)

    def _is_hopeless(self, item: Hashable) -> bool:
        self._lost[item] += 1
        return self._lost[item] >= TRIES


def _without(task: Task, setting: Setting) -> Task:
    samplings = tuple(one for one in task.samplings if one.setting != setting)
    return replace(task, samplings=samplings, scorings=tuple(one for one in task.scorings if one != setting))


def _end_of(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"
