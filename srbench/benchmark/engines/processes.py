"""Tasks done in parallel by processes of this machine.

This process hands out jobs and writes what comes back. If a process dies, another one does its work again; the item
that has ended three processes is recorded as failed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from srbench.benchmark.engines.pool import TRIES, Done, Lost, Pool, Worker, given_up
from srbench.benchmark.engines.worker import SAMPLER, SCORER, Job, Opening, open_worker, receive
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
    with TemporaryDirectory(prefix="srbench-") as scratch, _Crew(session, opening, Path(scratch), scorers) as crew:
        crew.work(tasks, samplers)


class _Crew(Pool[Job]):
    def __init__(self, session: Session, opening: Opening, scratch: Path, scorers: int) -> None:
        super().__init__(open_worker, opening.packed(), scratch if scorers else None, scratch=scratch)
        self.session, self.scorers = session, scorers
        self._begun: dict[Worker[Job], Setting] = {}
        """Setting that a worker is at; none while it reads the pair."""

    def work(self, tasks: Sequence[Task], samplers: Sequence[str | None]) -> None:
        self.add(*map(Job, tasks), role=SAMPLER)
        for gpu in samplers[: len(tasks)]:
            self.start(SAMPLER, gpu)
        for _ in range(self.scorers):
            self.start(SCORER)
        for worker, message in self.messages():
            self._take(worker, message)

    def prepared(self, job: Job) -> Job:
        """The job, with all lines that the folder has of its image so far."""
        return replace(job, lines=self.session.folder.of(job.task.image).lines())

    def hears(self, worker: Worker[Job]) -> bool:
        """False for samplers while too many outputs wait for scorers."""
        full = self.scorers > 0 and len(self.waiting[SCORER]) >= WAITING_EACH * self.scorers
        return not full or worker.role == SCORER

    def _take(self, worker: Worker[Job], message: object) -> None:
        begun = self._begun.get(worker)
        match message:
            case Setting() as setting:
                assert worker.job is not None
                self.session.done += begun is not None
                self._begun[worker] = setting
                self.session.begin(setting, worker.job.task.image)
            case Job():
                others = (job for job in (*self.waiting[SCORER], *self.at_work) if job.metrics is not None)
                if any(other.task == message.task for other in others):
                    message.close()  # a sampler that was lost had left it behind already
                else:
                    self.add(message, role=SCORER)
            case Done(job) if worker.role == SCORER:
                job.close()
            case Done(job):
                left = job.task.after(begun)
                self.session.image_done(self.session.done + max(len(left), 1))
                self._begun.pop(worker, None)
            case Lost(job, end):
                self._begun.pop(worker, None)
                if job is not None:
                    self._again(worker.role, job, begun if worker.role == SAMPLER else job.task.items[0].setting, end)
            case _:
                receive(message, self.session)

    def _again(self, role: str, job: Job, begun: Setting | None, end: str) -> None:
        left, image = self.session.rest(job.task, begun), job.task.image
        if self.is_hopeless((role, image, begun)):
            self.session.give_up(left, begun, given_up(image, end), TRIES)
            job.close()
            if role == SAMPLER:
                self.session.done += job.task.size if begun is None else 1
            if begun is None:
                return
            left = replace(left, items=left.items[1:])
        if left.fresh or left.items:
            self.add(replace(job, task=left), role=role)
