"""Engines map tasks over workers: this process, worker processes or a Dask cluster. They write nothing.

An engine yields each task with its results, or with a ``WorkerDied`` if the processes that worked on it died.
"""

from __future__ import annotations

import logging
import os
import pickle
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Literal, TypeVar

from srbench.benchmark import BenchmarkError
from srbench.benchmark.plan import Task, TaskOfMany
from srbench.benchmark.worker import TaskResult, Worker, WorkerSetup, open_worker
from srbench.interfaces import SRBenchError
from srbench.machine.environment import hardware
from srbench.machine.processes import suitable_workers
from srbench.machine.workers import ONE_THREAD, TRIES, WorkerDied, for_workers, map_items
from srbench.words import one_line

if TYPE_CHECKING:
    from distributed import Client

WorkerCount = int | Literal["gpus"] | None
"""Number of processes; ``gpus``: one per GPU; None: chosen for the machine."""
AnyTask = TypeVar("AnyTask", Task, TaskOfMany)
Done = Iterator[tuple[AnyTask, Iterable[TaskResult] | WorkerDied]]

DASK_RETRIES = 2
"""Retries of a task that raised an exception; Dask may choose another worker."""
DASK_SILENCE = "1 hour"
"""Time after which the scheduler gives up a worker that sends no heartbeat; a busy worker may send none for long."""
DASK_TIMEOUT = 10.0
"""Timeout for the connection to a scheduler, in seconds."""


@dataclass(frozen=True)
class Engine:
    """Processes of this machine, or a Dask cluster."""

    workers: int = 1
    environments: tuple[Mapping[str, str], ...] = ({},)
    """Environment variables that set a worker's GPU; the workers of this machine take them in turn."""
    dask: str | None = None
    """Address of a Dask scheduler; "" for a temporary cluster on this machine, None for no Dask."""

    @property
    def is_single(self) -> bool:
        """True if this process does all the work itself."""
        return self.dask is None and self.workers == 1 and not any(self.environments)

    def shares_memory(self, device: str) -> bool:
        """Return whether several processes hold their models in the memory of this machine, and not on GPUs."""
        return not self.is_single and not self.dask and not device.startswith("cuda")

    def facts(self, device: str) -> dict[str, str]:
        """Return engine and hardware for the manifest. Records from a running Dask cluster name their own machines."""
        if self.dask:
            return {"engine": f"dask:{self.dask}"}
        if self.dask is not None:
            return hardware(device) | {"engine": f"dask, {self.workers} workers"}
        return hardware(device) | ({} if self.is_single else {"processes": f"{self.workers}, one thread each"})

    def do(self, tasks: Sequence[AnyTask], worker: Worker, setup: WorkerSetup) -> Done[AnyTask]:
        """Do tasks: in this process with ``worker``, or in processes that open a worker with ``setup``.

        Raises BenchmarkError if the setup cannot be sent to other processes, if these cannot open it, or if the
        scheduler does not answer.
        """
        if self.is_single:
            for task in tasks:
                yield task, worker.do(task)
        elif self.dask is None:
            yield from self._processes(tasks, _packed(setup))
        else:
            yield from _dask(tasks, _packed(setup), self.dask, self.workers, self.environments)

    def do_alone(self, tasks: Sequence[TaskOfMany], worker: Worker, setup: WorkerSetup) -> Done[TaskOfMany]:
        """Do tasks one after another in a single process of this machine, while no other works; arguments of ``do``.

        On the cluster of a running scheduler, a metric of a model is measured by a worker of the cluster.
        """
        if self.is_single:
            yield from self.do(tasks, worker, setup)
            return
        if here := [task for task in tasks if not self._on_cluster(task)]:
            alone = replace(self, workers=1, environments=self.environments[:1], dask=None)
            yield from alone._processes(here, _packed(setup))
        for task in filter(self._on_cluster, tasks):
            yield from self.do([task], worker, setup)

    def _on_cluster(self, task: TaskOfMany) -> bool:
        return bool(self.dask) and task.metric.per == "model"

    def _processes(self, tasks: Sequence[AnyTask], packed: bytes) -> Done[AnyTask]:
        done = map_items(
            _opened, tasks, workers=self.workers, arguments=(packed,), environments=self.environments, apart=True
        )
        for task, made in done:
            if isinstance(made, WorkerDied) or not isinstance(made, Exception):
                yield task, made
            else:
                raise BenchmarkError(f"a worker process cannot work: {_reason(made)}") from made


def _packed(setup: WorkerSetup) -> bytes:
    try:
        return pickle.dumps(setup)
    except Exception as error:  # pickling calls foreign code
        raise BenchmarkError(
            f"a model or dataset cannot be sent to other processes ({_reason(error)}); name it as file.py:Name, or "
            "leave out workers"
        ) from None


def choose_engine(name: str | None, workers: WorkerCount, device: str, tasks: int) -> Engine:
    """Choose the engine of a command; ``name`` is ``dask``, ``dask:ADDRESS`` or None. Raises BenchmarkError."""
    kind, _, address = (name or "").partition(":")
    if kind not in ("", "dask"):
        raise BenchmarkError(f"no engine {name!r}; give dask or dask:ADDRESS, or leave it out")
    if address and workers is not None:
        raise BenchmarkError(f"{name}: does not take --workers {workers}; set the number of workers on the cluster")
    dask = address if kind == "dask" else None
    if workers == "gpus" or (dask == "" and device == "cuda"):
        environments = tuple({"CUDA_VISIBLE_DEVICES": gpu} for gpu in gpus(device))
        return Engine(workers if isinstance(workers, int) else len(environments), environments, dask)
    return Engine(workers or suitable_workers(device if dask is None else "cpu", tasks), dask=dask)


def runs_here(name: str | None, workers: WorkerCount) -> bool:
    """Return whether the process of a command itself runs the models, if they run on a GPU."""
    return name is None and workers in (None, 1)


def gpus(device: str) -> tuple[str, ...]:
    """Return the visible GPUs as CUDA_VISIBLE_DEVICES names them. Raises BenchmarkError if there are none."""
    import torch

    count = torch.cuda.device_count() if device == "cuda" else 0
    if count == 0:
        raise BenchmarkError(f"--workers gpus: no NVIDIA GPU is used (device {device}); give a number instead")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(number) for number in range(count)] if visible is None else visible.split(",")
    return tuple(name.strip() for name in names[:count])


def take_gpu(number: int) -> None:
    """Let this process, and those that it starts, see only one of the visible GPUs: that of a number, counted round.

    Has an effect only before CUDA is used, and none without GPUs.
    """
    import torch

    if torch.cuda.device_count():
        names = gpus("cuda")
        os.environ["CUDA_VISIBLE_DEVICES"] = names[number % len(names)]


def _opened(packed: bytes) -> Callable[[Task | TaskOfMany], list[TaskResult]]:
    """Open the worker of a process, and return the function that does a task."""
    _worker(packed)
    return partial(_do, packed)


def _dask(
    tasks: Sequence[AnyTask], packed: bytes, address: str, workers: int, environments: Sequence[Mapping[str, str]]
) -> Done[AnyTask]:
    """Do tasks on the cluster of a scheduler, or with ``workers`` on this machine if ``address`` is empty.

    Dask reruns the tasks of a lost worker and counts the loss against each of them. A task with too many losses raises
    KilledWorker and is yielded as a ``WorkerDied``.
    """
    with _client(address, workers) as client:
        from distributed import CancelledError, KilledWorker, as_completed
        from distributed.comm import CommClosedError

        setup = client.submit(bytes, packed, pure=False)  # recomputed by Dask if its worker is lost
        work = partial(_do_on_gpu, environments) if any(environments) else _do
        running = {client.submit(work, setup, task, retries=DASK_RETRIES, pure=False): task for task in tasks}
        for future in as_completed(list(running), loop=client.loop):
            task = running.pop(future)
            try:
                yield task, future.result()
            except KilledWorker as error:
                yield task, WorkerDied(f"crashed {error.allowed_failures + 1} Dask workers")
            except (CancelledError, CommClosedError):
                raise BenchmarkError(
                    "the Dask scheduler is gone; finished work is kept. Rerun the same command to resume."
                ) from None
            except Exception as error:  # foreign code, outside an item
                raise BenchmarkError(f"a Dask worker cannot work: {_reason(error)}") from None


_ONE_AT_A_TIME = threading.Lock()
"""Serialises the tasks of a process: a Dask worker may have several threads."""


def _do(packed: bytes, task: Task | TaskOfMany) -> list[TaskResult]:
    with _ONE_AT_A_TIME:
        return [TaskResult.joined(_worker(packed).do(task))]


def _do_on_gpu(environments: Sequence[Mapping[str, str]], packed: bytes, task: Task | TaskOfMany) -> list[TaskResult]:
    """Do a task on a Dask worker of this machine, whose name is its number; it keeps its GPU if it is restarted."""
    from distributed import get_worker

    os.environ.update(environments[get_worker().name % len(environments)])
    return _do(packed, task)


@lru_cache(maxsize=1)
def _worker(packed: bytes) -> Worker:
    """Return the worker of this process, opened for the first task."""
    setup: WorkerSetup = pickle.loads(packed)
    return open_worker(setup)


def _reason(error: BaseException) -> str:
    """Return the message of an error in one line, preceded by its class unless it is an SRBenchError."""
    name, text = type(error).__name__, one_line(error)
    return text if isinstance(error, SRBenchError) or text == name else f"{name}: {text}"


@contextmanager
def _client(address: str, workers: int) -> Iterator[Client]:
    """Connect to a scheduler, or to a temporary cluster on this machine, and silence Dask's log."""
    try:
        from dask import config
        from distributed import Client, LocalCluster
    except ImportError:
        raise BenchmarkError("--engine dask needs distributed; install it: pip install 'sr-bench[dask]'") from None
    log = logging.getLogger("distributed")
    level = log.level
    silent = logging.CRITICAL + 1
    log.setLevel(silent)
    try:
        if address:
            try:
                client = Client(address, timeout=DASK_TIMEOUT, set_as_default=False)
            except (OSError, ValueError, RuntimeError) as error:
                raise BenchmarkError(f"dask:{address}: no scheduler answers ({one_line(error)})") from None
            with client:
                yield client
            return
        settings = {
            "distributed.scheduler.allowed-failures": TRIES - 1,
            "distributed.scheduler.worker-ttl": DASK_SILENCE,
        }
        with (
            config.set(settings),
            for_workers(ONE_THREAD),
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                memory_limit=0,
                dashboard_address="127.0.0.1:0",
                silence_logs=silent,
            ) as cluster,
            Client(cluster, set_as_default=False) as client,
        ):
            yield client
    finally:
        log.setLevel(level)
