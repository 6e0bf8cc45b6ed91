"""Tasks done side by side in processes of this machine.

This process hands out jobs and writes what comes back. A process that dies costs what it had in hand, which is done
again by another; what it was at for the third time is recorded as failed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from srbench.benchmark.engines.pool import TRIES, Done, Lost, Pool, Worker, given_up
from srbench.benchmark.engines.received import Received, rest, settings_before, settings_of, without
from srbench.benchmark.engines.worker import Begun, Opening, Sampling, Scoring, open_worker
from srbench.benchmark.tasks import Session, Task
from srbench.run_folder.protocol import Setting

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
    with (
        TemporaryDirectory(prefix="srbench-") as scratch,
        Pool[Sampling | Scoring](open_worker, opening.packed(), scratch, scratch=Path(scratch)) as pool,
    ):
        _Crew(session, pool, scorers).work(tasks, samplers)


class _Crew:
    def __init__(self, session: Session, pool: Pool[Sampling | Scoring], scorers: int) -> None:
        self.session, self.folder, self.pool, self.scorers = session, session.folder, pool, scorers
        self._tasks: deque[Task] = deque()
        self._unscored: deque[Scoring] = deque()
        self._begun: dict[Worker[Sampling | Scoring], Setting] = {}
        """The setting that a worker is at; none while it reads the pair."""
        self._received = Received(session)

    def work(self, tasks: Sequence[Task], samplers: Sequence[str | None]) -> None:
        self._tasks.extend(tasks)
        for gpu in samplers[: len(tasks)]:
            self.pool.start("sampler" if self.scorers else "both", gpu)
        for _ in range(self.scorers):
            self.pool.start("scorer")
        while self._tasks or self._unscored or self.pool.jobs:
            self._hand_out()
            full = self.scorers > 0 and len(self._unscored) >= WAITING_EACH * self.scorers
            unheard = [worker for worker in self.pool.workers if full and worker.role != "scorer"]
            for worker, message in self.pool.messages(unheard):
                self._take(worker, message)

    def _hand_out(self) -> None:
        for worker in self.pool.idle:
            if worker.role != "scorer" and self._tasks:
                task = self._tasks.popleft()
                self.pool.give(worker, Sampling(task, tuple(self.folder.lines_of(task.image))))
            elif worker.role == "scorer" and self._unscored:
                job = self._unscored.popleft()
                self.pool.give(worker, replace(job, lines=tuple(self.folder.lines_of(job.record.image))))

    def _take(self, worker: Worker[Sampling | Scoring], message: object) -> None:
        begun = self._begun.get(worker)
        match message:
            case Begun(setting):
                assert isinstance(worker.job, Sampling)
                self.session.done += begun is not None
                self._begun[worker] = setting
                self.session.begin(setting, worker.job.task.image)
            case Scoring():
                self._enqueue(message)
            case Done(Sampling(task)):
                self.session.done += task.items - settings_before(task, begun)
                self.session.image_done()
                self._begun.pop(worker, None)
            case Done(Scoring() as job):
                job.close()
            case Lost(job, end):
                self._begun.pop(worker, None)
                if isinstance(job, Sampling):
                    self._again(job.task, begun, end)
                elif isinstance(job, Scoring):
                    self._score_again(job, end)
                if self._tasks or self._unscored or worker.role == "scorer":
                    self.pool.start(worker.role, worker.gpu)
            case _:
                self._received.take(message)

    def _enqueue(self, job: Scoring) -> None:
        """Have a record scored, unless it is: a sampler that was lost may have left it behind already."""
        waiting = (*self._unscored, *self.pool.jobs)
        if any(isinstance(other, Scoring) and other.record == job.record for other in waiting):
            job.close()
        else:
            self._unscored.append(job)

    def _again(self, task: Task, begun: Setting | None, end: str) -> None:
        left = rest(task, begun, self.folder, self.session.invocation)
        if self.pool.is_hopeless((task.image, begun)):
            self.session.give_up(left, begun, given_up(task.image, end), TRIES)
            if begun is None:
                self.session.done += task.items
                return
            self.session.done += 1
            left = without(left, begun)
        if left.fresh or settings_of(left):
            self._tasks.append(left)

    def _score_again(self, job: Scoring, end: str) -> None:
        if self.pool.is_hopeless(job.record):
            self.session.give_up_scores(job.record, given_up(job.record.image, end), TRIES)
            job.close()
        else:
            self._unscored.append(job)
