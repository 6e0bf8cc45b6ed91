"""Processes of this machine that do jobs for this one, with one thread each; the death of one is heard and survived.

Nothing large is loaded here: ``srbench measure`` starts its processes before it loads anything itself.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import shutil
import signal
import threading
import warnings
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Generic, Self, TypeVar

from srbench.benchmark import BenchmarkError, in_one_line
from srbench.machine.processes import end_quickly, for_workers

Job = TypeVar("Job")
Send = Callable[[object], None]
Opener = Callable[..., Callable[[Any], None]]
"""Called in a process with its ``Send`` and the arguments of pool and worker; returns the function that does a job."""
TRIES = 3
"""Deaths of a process at one thing after which that is given up."""


@dataclass(frozen=True)
class Done(Generic[Job]):
    """A job was done."""

    job: Job


@dataclass(frozen=True)
class Lost(Generic[Job]):
    """A process died, and with it the job it had."""

    job: Job | None
    end: str
    """``signal SIGKILL``, ``exit code 3``."""


@dataclass(eq=False)
class Worker(Generic[Job]):
    """One of the processes."""

    process: SpawnProcess
    connection: Connection
    role: str
    gpu: str | None
    ready: bool = False
    job: Job | None = None


class Pool(Generic[Job]):
    """Processes that do jobs, each one at a time. Whatever ends the ``with`` block ends them."""

    def __init__(self, opener: Opener, *arguments: object, scratch: Path | None = None) -> None:
        """The processes remove ``scratch`` where this one is killed."""
        self.workers: list[Worker[Job]] = []
        self.waiting: defaultdict[str, deque[Job]] = defaultdict(deque)
        """Jobs that no worker has yet, by role."""
        self._opener, self._arguments, self._scratch = opener, arguments, scratch
        self._deaths: Counter[Hashable] = Counter()
        self._failed_starts = 0
        self._heard: set[str] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            for worker in self.workers if kind is None else ():
                worker.connection.close()
                worker.process.join(timeout=5)
        finally:
            for worker in self.workers:
                worker.process.kill()
            for worker in self.workers:
                worker.process.join()

    @property
    def at_work(self) -> list[Job]:
        """Jobs that workers have."""
        return [worker.job for worker in self.workers if worker.job is not None]

    def add(self, *jobs: Job, role: str = "") -> None:
        """Put jobs at the end of the queue of a role."""
        self.waiting[role].extend(jobs)

    def prepared(self, job: Job) -> Job:
        """A job as it is sent to a worker."""
        return job

    def hears(self, worker: Worker[Job]) -> bool:
        """False for a worker whose messages have to wait, and which thereby waits itself."""
        return True

    def start(self, role: str = "", gpu: str | None = None) -> None:
        """Start a process; ``role`` is the opener's last argument, ``gpu`` the value of CUDA_VISIBLE_DEVICES."""
        process, connection = _prepared.pop() if _prepared and gpu is None else _started(gpu)
        self.workers.append(Worker(process, connection, role, gpu))
        with suppress(OSError):  # it has died: that is heard from its connection
            connection.send((self._opener, (*self._arguments, role), self._scratch))

    def messages(self) -> Iterator[tuple[Worker[Job], Any]]:
        """Have all jobs done; yields ``Done``, ``Lost`` and all that jobs send, with the worker that did.

        Raises BenchmarkError if no process can work.
        """
        while any(self.waiting.values()) or self.at_work:
            for worker in self.workers:
                queue = self.waiting[worker.role]
                if worker.ready and worker.job is None and queue:
                    worker.job = self.prepared(queue.popleft())
                    with suppress(OSError):  # it has died: that is heard from its connection
                        worker.connection.send(worker.job)
            by_connection = {worker.connection: worker for worker in self.workers if self.hears(worker)}
            for connection in wait(list(by_connection)):
                yield from self._message(by_connection[connection])  # type: ignore[index]

    def _message(self, worker: Worker[Job]) -> Iterator[tuple[Worker[Job], Any]]:
        try:
            message = worker.connection.recv()
        except (EOFError, OSError):
            yield worker, self._bury(worker)
            if any(self.waiting.values()) or self.at_work:
                self.start(worker.role, worker.gpu)
            return
        match message:
            case None if not worker.ready:  # it has opened everything
                worker.ready, self._failed_starts = True, 0
            case Warning():
                if str(message) not in self._heard:  # two workers may say the same
                    self._heard.add(str(message))
                    warnings.warn(message, stacklevel=3)
            case BenchmarkError():  # the process can do nothing
                raise message
            case None:  # it has done its job
                job, worker.job = worker.job, None
                yield worker, Done(job)
            case _:
                yield worker, message

    def is_hopeless(self, item: Hashable) -> bool:
        """Count a death at something: True if it was the last one that is survived."""
        self._deaths[item] += 1
        return self._deaths[item] >= TRIES

    def _bury(self, worker: Worker[Job]) -> Lost[Job]:
        worker.process.join()
        self.workers.remove(worker)
        code = worker.process.exitcode
        end = f"signal {signal.Signals(-code).name}" if code is not None and code < 0 else f"exit code {code}"
        self._failed_starts += not worker.ready
        if self._failed_starts >= TRIES and not any(other.ready for other in self.workers):
            raise BenchmarkError(
                f"worker processes die at startup ({end}); leave out workers, and in a script call evaluate "
                "under if __name__ == '__main__'"
            )
        return Lost(worker.job, end)


def messages_about(
    opener: Opener, images: object, names: Iterable[str], workers: int, lost: Callable[[str, str], Any]
) -> Iterator[Any]:
    """Messages of processes about named images, in any order; ``lost(name, end)`` if one has ended TRIES of them."""
    with Pool[str](opener, images) as pool:
        pool.add(*names)
        for _ in range(workers):
            pool.start()
        for _, message in pool.messages():
            match message:
                case Done() | Lost(None):
                    continue
                case Lost(str(name), end) if pool.is_hopeless(name):
                    yield lost(name, end)
                case Lost(str(name), _):
                    pool.add(name)
                case _:
                    yield message


_prepared: list[tuple[SpawnProcess, Connection]] = []
"""Processes that no pool has taken yet."""


def prepare(count: int, module: str) -> None:
    """Start processes for the next pool, which import ``module`` while this process opens what they will need."""
    _prepared.extend(_started(None, module) for _ in range(count))


def discard_workers() -> None:
    """End the prepared processes that no pool has taken."""
    for process, connection in _prepared:
        connection.close()
        process.kill()
        process.join()
    _prepared.clear()


def _started(gpu: str | None, module: str | None = None) -> tuple[SpawnProcess, Connection]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs, module), daemon=True)
    with for_workers(gpu):
        process.start()
    theirs.close()  # the worker's end alone stays open, so that its death is seen
    return process, ours


def given_up(image: str, end: str) -> str:
    """Error of something that has ended its process TRIES times."""
    return f"{image}: crashed its process {TRIES} times ({end}); if memory is short, use fewer --workers"


def _serve(connection: Connection, module: str | None) -> None:
    """Do jobs that come through a connection, until it is closed or the process at its other end is gone.

    First comes what opens them: the opener, its arguments, and the folder to remove if the other process is killed.
    """
    end_quickly()
    gc.disable()  # a tenth of the time that torch takes to import
    warnings.showwarning = lambda message, *_, **__: connection.send(UserWarning(str(message)))
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            if module is not None:
                import_module(module)
            opener, arguments, scratch = connection.recv()
            threading.Thread(target=_end_with_parent, args=(scratch,), daemon=True).start()
            do = opener(connection.send, *arguments)
            gc.freeze()
            gc.enable()
            while True:
                connection.send(None)
                do(connection.recv())
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise
        except Exception as error:  # whatever foreign code raises where no line can say it
            connection.send(BenchmarkError(in_one_line(error)))


def _end_with_parent(scratch: Path | None) -> None:
    """A worker whose parent was killed has nobody left to work for."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
        os._exit(1)
