"""Distribution of items over worker processes of this machine. A process that dies costs only the item it worked on.

Every worker is a ``ProcessPoolExecutor`` with a single process, so that the item that killed a process is known, the
other workers continue, and each worker can have its own environment. Imports no large library.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context, resource_tracker
from typing import Any, Generic, TypeVar

from srbench.interfaces import SRBenchError
from srbench.machine.processes import collect_seldom, keep_freed_memory

Item = TypeVar("Item")
Result = TypeVar("Result")

TRIES = 3
"""Number of processes that may die on an item before it is given up."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""Environment of every worker."""


class WorkerDied(SRBenchError):  # noqa: N818 - it is returned as a result
    """An item was given up because its processes kept dying, or no process can start."""


def map_items(
    opener: Callable[..., Callable[[Item], Result]],
    items: Iterable[Item],
    *,
    workers: int,
    arguments: Sequence[object] = (),
    environments: Sequence[Mapping[str, str]] = ({},),
    apart: bool = False,
    left: Callable[[Item, Result | Exception], Item | None] = lambda item, result: None,
) -> Iterator[tuple[Item, Result | Exception]]:
    """Yield every item with its result, or with the exception that it raised, in order of completion.

    ``opener(*arguments)`` is called once in every worker before its first item and returns the function that is applied
    to items. Opener, arguments, items and results are pickled. With one worker and no environment variables, everything
    runs in this process, unless ``apart``.

    A worker has one thread and one item at a time; ``items`` is consumed as workers become free. If a worker dies, it
    is replaced and its item is tried again; after TRIES deaths the result is a ``WorkerDied``. Workers ignore
    Ctrl-C and SIGHUP, which this process handles. They end when this process ends, in whatever way, or when the
    iterator is closed. Warnings of the workers are repeated here, each once.

    Args:
        opener: Function of a module that workers can import.
        items: Iterated lazily.
        workers: Number of processes.
        arguments: Arguments of ``opener``.
        environments: Environment variables, such as the GPU to use, assigned to the workers in turn.
        apart: True for a process of its own even with one worker.
        left: Returns what a result leaves undone of its item. The process that returned the result goes on with it at
            once; if that process died, another does.

    Raises:
        Exception: Any exception of ``opener``.
        WorkerDied: No process survives ``opener``.
    """
    if workers <= 1 and not any(environments) and not apart:
        function = opener(*arguments)
        for whole in items:
            item: Item | None = whole
            while item is not None:
                try:
                    result: Result | Exception = function(item)
                except Exception as error:
                    result = error
                yield item, result
                item = left(item, result)
        return
    alive: list[_Worker] = []
    vacancies = deque(environments[number % len(environments)] for number in range(workers))
    try:
        yield from _distribute(partial(_Worker, opener, tuple(arguments)), vacancies, items, alive, left)
    except BaseException:
        for worker in alive:
            worker.kill()
        raise
    finally:
        for worker in alive:
            worker.shut_down()
        for worker in alive:
            worker.join()


@dataclass(eq=False)
class _Job(Generic[Item]):
    item: Item
    deaths: int = 0


@dataclass(frozen=True)
class _Outcome(Generic[Result]):
    """What a worker returns for an item."""

    result: Result | Exception
    warnings: tuple[str, ...]


def _distribute(
    start: Callable[[Mapping[str, str]], _Worker],
    vacancies: deque[Mapping[str, str]],
    items: Iterable[Item],
    alive: list[_Worker],
    left: Callable[[Item, Any], Item | None],
) -> Iterator[tuple[Item, Any]]:
    """Yield items with their results; ``vacancies`` are the environments of workers to start,
    ``alive`` those started.
    """
    new = map(_Job, items)
    retries = deque[_Job[Item]]()
    idle = deque[_Worker]()
    running: dict[Future[_Outcome[Any]], tuple[_Worker, _Job[Item]]] = {}
    repeated = set[str]()
    end = ""

    def submit() -> None:
        while (idle or vacancies) and (job := retries.popleft() if retries else next(new, None)) is not None:
            if not idle:
                alive.append(start(vacancies.popleft()))
                idle.append(alive[-1])
            worker = idle.popleft()
            running[worker.submit(job.item)] = worker, job

    submit()
    while running:
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            worker, job = running.pop(future)
            is_open = worker.is_open()
            try:
                outcome = future.result()
            except BrokenProcessPool:
                alive.remove(worker)
                end = worker.end()
                if is_open:  # a process that died in the opener is not replaced
                    job.deaths += 1
                    vacancies.append(worker.environment)
                if job.deaths < TRIES:
                    retries.append(job)
                else:
                    death = WorkerDied(f"crashed its process {TRIES} times ({end})")
                    if (rest := left(job.item, death)) is not None:
                        retries.append(_Job(rest))
                    yield job.item, death
                continue
            except Exception as error:  # an item or a result that cannot be pickled
                outcome = _Outcome(error, ())
            if (rest := left(job.item, outcome.result)) is None:
                idle.append(worker)
            else:
                running[worker.submit(rest)] = worker, _Job(rest)
            for text in outcome.warnings:
                if text not in repeated:
                    repeated.add(text)
                    warnings.warn(text, stacklevel=3)
            submit()  # the worker continues while the caller takes the result
            yield job.item, outcome.result
        submit()
    if retries:
        raise WorkerDied(
            f"worker processes die at startup ({end}); use a single worker or, in a script, call srbench under "
            "if __name__ == '__main__'"
        )


class _Worker:
    """A process in an executor of its own; another worker replaces it if it dies."""

    def __init__(
        self, opener: Callable[..., Callable[[Any], Any]], arguments: tuple[object, ...], environment: Mapping[str, str]
    ) -> None:
        self.environment = environment
        with for_workers(ONE_THREAD | dict(environment)):
            self._executor = ProcessPoolExecutor(1, get_context("spawn"), initializer=_start)
            self._opening = self._executor.submit(_open, opener, arguments)  # starts the process
        # Private: an executor tells neither its process nor its pipe to others. Only the process may hold this end of
        # the pipe: if it dies while it sends a result, the rest is not waited for.
        [self._process] = self._executor._processes.values()
        self._executor._result_queue._writer.close()  # type: ignore[attr-defined]

    def submit(self, item: object) -> Future[_Outcome[Any]]:
        """Submit an item to the process."""
        try:
            return self._executor.submit(_process, item)
        except BrokenProcessPool as error:  # the process died while it was idle
            broken: Future[_Outcome[Any]] = Future()
            broken.set_exception(error)
            return broken

    def is_open(self) -> bool:
        """Return whether the opener has returned, not died with its process. Raises any exception of the opener."""
        error = self._opening.exception()
        if error is not None and not isinstance(error, BrokenProcessPool):
            raise error
        return error is None

    def end(self) -> str:
        """Return how the dead process ended: ``signal SIGKILL``, ``exit code 3``."""
        self._executor.shutdown()
        code = self._process.exitcode or 0
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"

    def kill(self) -> None:
        self._process.kill()

    def shut_down(self) -> None:
        """Ask the process to end."""
        self._executor.shutdown(wait=False)

    def join(self) -> None:
        """Wait for the process to end; kill it if threads of other libraries keep it alive."""
        self._process.join(timeout=5)
        self._process.kill()


@contextmanager
def for_workers(environment: Mapping[str, str]) -> Iterator[None]:
    """Processes that start in this context inherit these variables and ignore the signals of a terminal.

    These are Ctrl-C and SIGHUP, which go to all processes of a command, and which this process handles.
    Libraries read the variables when they are loaded, which may be before ``_start``.
    """
    before = {name: os.environ[name] for name in environment if name in os.environ}
    mask = None
    if hasattr(signal, "pthread_sigmask"):
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        resource_tracker.ensure_running()  # otherwise the first process would start it, and that unblocks Ctrl-C
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    os.environ.update(environment)
    try:
        yield
    finally:
        for name in environment.keys() - before:
            del os.environ[name]
        os.environ.update(before)
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


# In a worker


_function: Callable[[Any], Any]
_warned: list[str] = []


def _start() -> None:
    keep_freed_memory()
    collect_seldom()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    warnings.showwarning = lambda message, *_, **__: _warned.append(str(message))


def _end_with_parent() -> None:
    """End this worker once its parent has ended, even if it was killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _open(opener: Callable[..., Callable[[Any], Any]], arguments: tuple[object, ...]) -> None:
    global _function
    _function = opener(*arguments)


def _process(item: Any) -> _Outcome[Any]:  # noqa: ANN401
    try:
        result = _function(item)
    except Exception as error:
        result = _sendable(error)
    outcome = _Outcome(result, tuple(_warned))
    _warned.clear()
    return outcome


def _sendable(error: Exception) -> Exception:
    """Return the error if it can be pickled, else its text. Adds the traceback as a note unless srbench raised it."""
    if not isinstance(error, SRBenchError):
        error.add_note(traceback.format_exc())
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
