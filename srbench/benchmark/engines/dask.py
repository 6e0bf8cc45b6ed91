"""Tasks done by the workers of a Dask cluster, or of a temporary one on this machine.

A task of Dask is an image with all its settings. Its lines and files come back when it is done; only this process
writes. Dask does the tasks of a lost worker again, and counts the loss against every task that the worker held. A task
blamed for more losses than the scheduler allows is done once more at the end, in parts, each with nothing beside it; a
part that ends workers then is recorded as failed.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import torch

from srbench.benchmark import BenchmarkError, in_one_line
from srbench.benchmark.engines.pool import TRIES, given_up
from srbench.benchmark.engines.worker import Job, Opening, RemoteSession, open_session, receive
from srbench.benchmark.tasks import Session, Task
from srbench.interfaces import Step
from srbench.machine.processes import for_workers
from srbench.run_folder.protocol import Setting
from srbench.words import one_line

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster

RETRIES = 2
"""Further attempts at a task that raised an exception, perhaps on another worker."""
SILENT = "1 hour"
"""Longest time a worker may be too busy to tell the scheduler that it is alive."""
PATIENCE = 10.0
"""Seconds that a scheduler may take to answer."""
RESTORED = 2.0
"""Seconds between two looks for missing workers of this machine."""
_ONE_AT_A_TIME = threading.Lock()
"""Lock of the session, as a worker may have several threads."""


def dask(session: Session, tasks: Sequence[Task], opening: Opening, address: str, workers: int) -> None:
    """Do all tasks of a session on the cluster of a scheduler; ``workers`` of this machine if ``address`` is empty.

    Failures are recorded and named. Raises BenchmarkError if the scheduler does not answer, at first or later, or if a
    worker cannot work.
    """
    packed = opening.packed()
    with _connected(address, workers) as client:
        if not client.nthreads():
            session.progress(Step(session.done, session.total, f"waiting for workers of {address}"))
        _Work(session, client, packed).do(tasks)


def do(packed: bytes, job: Job) -> list[object]:
    """Do a task on a worker; returns the messages of its session in order, except for settings begun."""
    made: list[object] = []
    with _ONE_AT_A_TIME:
        torch.set_num_threads(1)
        session = _session(packed)
        session.send = made.append
        session.work(job)
    return [message for message in made if not isinstance(message, Setting)]


@lru_cache(maxsize=1)
def _session(packed: bytes) -> RemoteSession:
    """A session whose ``send`` is replaced for every job."""
    return open_session(packed, lambda message: None)


class _Work:
    def __init__(self, session: Session, client: Client, packed: bytes) -> None:
        from distributed import as_completed

        self.session, self._client = session, client
        self._opening = client.submit(bytes, packed, pure=False)  # made again if it is lost
        self._at_work: dict[Future, tuple[Task, bool]] = {}
        """Tasks, and True for a part of one that is done alone."""
        self._alone: list[Task] = []
        """Parts of tasks that have ended workers: the pair, if it has to be read, then one setting each."""
        self._completed = as_completed(loop=client.loop)

    def do(self, tasks: Sequence[Task]) -> None:
        for task in tasks:
            self._submit(task)
        while self._at_work or self._alone:
            if not self._at_work:
                self._submit(self._alone.pop(0), alone=True)
            future = next(self._completed)
            task, alone = self._at_work.pop(future)
            self._take(future, task, alone=alone)
            if not alone:
                self.session.image_done(self.session.done + task.size)
                self.session.progress(Step(self.session.done, self.session.total, task.image, share=self.session.share))

    def _submit(self, task: Task, *, alone: bool = False) -> None:
        job = Job(self.session.rest(task, None), self.session.folder.of(task.image).lines())
        future = self._client.submit(do, self._opening, job, retries=RETRIES, pure=False)
        self._at_work[future] = task, alone
        self._completed.add(future)

    def _take(self, future: Future, task: Task, *, alone: bool) -> None:
        """Write the messages of a worker about a task, or find out what ended the worker."""
        from distributed import CancelledError, KilledWorker
        from distributed.comm import CommClosedError

        try:
            made = future.result()
        except (CancelledError, CommClosedError):
            raise BenchmarkError(
                "the Dask scheduler is gone; finished work is kept. Rerun the same command to resume."
            ) from None
        except KilledWorker as error:
            if not alone:
                pair = [replace(task, items=())] if task.fresh else []
                self._alone += [*pair, *(replace(task, items=(item,)) for item in task.items)]
                return
            times = error.allowed_failures + 1
            setting = task.items[0].setting if task.items else None
            self.session.give_up(task, setting, given_up(task.image, f"{times} Dask workers"), times)
        except Exception as error:  # whatever foreign code raises outside an item
            raise BenchmarkError(f"a Dask worker cannot work: {in_one_line(error)}") from None
        else:
            for message in made:
                receive(message, self.session)
        known = self.session.folder.of(task.image).pair
        if known is None or known.failed:
            self._alone = [part for part in self._alone if part.image != task.image]


@contextmanager
def _connected(address: str, workers: int) -> Iterator[Client]:
    """A client of a scheduler, or of a temporary cluster on this machine, with Dask's log silenced."""
    try:
        from dask import config
        from distributed import Client, LocalCluster
    except ImportError:
        raise BenchmarkError("--engine dask needs distributed; install it: pip install 'sr-bench[dask]'") from None
    log = logging.getLogger("distributed")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        if address:
            try:
                client = Client(address, timeout=PATIENCE, set_as_default=False)
            except (OSError, ValueError, RuntimeError) as error:
                raise BenchmarkError(f"dask:{address}: no scheduler answers there ({one_line(error)})") from None
            with client:
                yield client
        else:
            scheduler = "distributed.scheduler"
            with config.set({f"{scheduler}.allowed-failures": TRIES - 1, f"{scheduler}.worker-ttl": SILENT}):
                with for_workers():
                    cluster = LocalCluster(
                        n_workers=workers,
                        threads_per_worker=1,
                        memory_limit=0,
                        dashboard_address="127.0.0.1:0",
                        silence_logs=logging.CRITICAL + 1,
                    )
                with cluster, Client(cluster, set_as_default=False) as client, _restored(cluster, workers):
                    yield client
    finally:
        log.setLevel(level)


@contextmanager
def _restored(cluster: LocalCluster, workers: int) -> Iterator[None]:
    """Start workers again that end while they start: Dask itself restarts only those that end later.

    Dask forgets such a worker after ``distributed.deploy.lost-worker-timeout``, 15 seconds.
    """
    over = threading.Event()

    def restore() -> None:
        while not over.wait(RESTORED):
            cluster.scale(workers)

    thread = threading.Thread(target=restore, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
