"""Tasks done in parallel by processes of this machine.

This process hands out jobs and writes what comes back. If a process dies, another one does its work again; the item
that has ended three processes is recorded as failed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from srbench.benchmark.engines.pool import TRIES, Done, Lost, Pool, Worker, given_up
from srbench.benchmark.engines.received import receive, rest, without
from srbench.benchmark.engines.worker import Begun, Job, Opening, Scoring, open_worker
from srbench.benchmark.tasks import Session, Task
from srbench.run_folder.protocol import Setting

WAITING_EACH = 2
"""Number of outputs that may wait for each process that scores."""


def processes(
    session: Session, tasks: Sequence[Task], opening: Opening, samplers: Sequence[str | None], scorers: int = 0
) -> None:
    """Do all tasks of a session in other processes; failures are recorded and named.

    ``samplers`` has an entry per process: the GPUs it sees, in the words of CUDA_VISIBLE_DEVICES; None: those of this
    process. With ``scorers``, so many more processes measure what the others sample, and a bounded number of outputs
    waits for them. Raises BenchmarkError if no process can work; whatever ends this function ends the processes.
    """
    with (
        TemporaryDirectory(prefix="srbench-") as scratch,
        Pool[Job](open_worker, opening.packed(), scratch, scratch=Path(scratch)) as pool,
    ):
        _Crew(session, pool, scorers).work(tasks, samplers)


class _Crew:
    def __init__(self, session: Session, pool: Pool[Job], scorers: int) -> None:
        self.session, self.pool, self.scorers = session, pool, scorers
        self._tasks: deque[Task] = deque()
        self._unscored: deque[Scoring] = deque()
        self._begun: dict[Worker[Job], Setting] = {}
        """Setting that a worker is at; none while it reads the pair."""

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
            waiting: deque[Task] | deque[Scoring] = self._unscored if worker.role == "scorer" else self._tasks
            if waiting:
                work = waiting.popleft()
                image = work.image if isinstance(work, Task) else work.record.image
                self.pool.give(worker, Job(work, self.session.folder.of(image).lines()))

    def _take(self, worker: Worker[Job], message: object) -> None:
        begun = self._begun.get(worker)
        match message:
            case Begun(setting):
                assert worker.job is not None
                assert isinstance(worker.job.work, Task)
                self.session.done += begun is not None
                self._begun[worker] = setting
                self.session.begin(setting, worker.job.work.image)
            case Scoring(record):
                waiting = (*self._unscored, *(job.work for job in self.pool.jobs))
                if any(isinstance(other, Scoring) and other.record == record for other in waiting):
                    message.close()  # a sampler that was lost had left it behind already
                else:
                    self._unscored.append(message)
            case Done(Job(Task() as task)):
                done = 0 if begun is None else task.settings.index(begun)
                self.session.image_done(self.session.done + task.items - done)
                self._begun.pop(worker, None)
            case Done(Job(Scoring() as scoring)):
                scoring.close()
            case Lost(job, end):
                self._begun.pop(worker, None)
                if job is not None and isinstance(job.work, Task):
                    self._again(job.work, begun, end)
                elif job is not None:
                    self._score_again(job.work, end)
                if self._tasks or self._unscored or worker.role == "scorer":
                    self.pool.start(worker.role, worker.gpu)
            case _:
                receive(message, self.session)

    def _again(self, task: Task, begun: Setting | None, end: str) -> None:
        left = rest(task, begun, self.session)
        if self.pool.is_hopeless((task.image, begun)):
            self.session.give_up(left, begun, given_up(task.image, end), TRIES)
            if begun is None:
                self.session.done += task.items
                return
            self.session.done += 1
            left = without(left, begun)
        if left.fresh or left.settings:
            self._tasks.append(left)

    def _score_again(self, scoring: Scoring, end: str) -> None:
        if self.pool.is_hopeless(scoring.record):
            self.session.give_up_scores(scoring.record, given_up(scoring.record.image, end), TRIES)
            scoring.close()
        else:
            self._unscored.append(scoring)
