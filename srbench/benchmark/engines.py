"""Engines map tasks over workers: this process, worker processes or a Dask cluster. They write nothing.

An engine yields a task with the result of its first parts, then what is left of it, and so on: in this process part by
part, from other processes after some seconds. So a kill loses little of a task that takes long. A part whose processes
keep dying has a result, too: its failure.
"""

from __future__ import annotations

import logging
import os
import pickle
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Literal

from srbench.benchmark import BenchmarkError
from srbench.benchmark.plan import AnyTask, Plan, TaskOfMany
from srbench.benchmark.sampler import Sampler
from srbench.benchmark.worker import TaskResult, Worker, WorkerSetup, open_worker, reopened_metrics
from srbench.interfaces import SRBenchError
from srbench.machine.environment import hardware
from srbench.machine.processes import suitable_workers
from srbench.machine.workers import ONE_THREAD, TRIES, WorkerDied, for_workers, map_items
from srbench.metrics.loading import LoadedMetric
from srbench.words import one_line

if TYPE_CHECKING:
    from distributed import Client

WorkerCount = int | Literal["gpus"] | None
"""Number of processes; ``gpus``: one per GPU; None: chosen for the machine."""
Done = Iterator[tuple[AnyTask, TaskResult]]
"""What was left of a task, and the result of its first parts."""

SECONDS = 1.0
"""Time after which a process returns the parts of a task that it has done, with the part that it is at. All parts of a
quick task are written at once, as each time waits for the disk."""
DASK_SECONDS = 10.0
"""The same for a Dask worker; another may do the rest, which has to read the pair again."""
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

    def description(self, device: str) -> dict[str, str]:
        """Return engine and hardware for the manifest. Records from a running Dask cluster name their own machines."""
        if self.dask:
            return {"engine": f"dask:{self.dask}"}
        if self.dask is not None:
            return hardware(device) | {"engine": f"dask, {self.workers} workers"}
        return hardware(device) | ({} if self.is_single else {"processes": f"{self.workers}, one thread each"})

    def do(self, tasks: Sequence[AnyTask], worker: Worker, setup: WorkerSetup) -> Done:
        """Do tasks: in this process with ``worker``, or in processes that open a worker with ``setup``.

        Raises BenchmarkError if the setup cannot be sent to other processes, if these cannot open it, or if the
        scheduler does not answer.
        """
        if self.is_single:
            for task in tasks:
                left = task
                for result in worker.do(task):
                    yield left, result
                    left = result.left or left
        elif self.dask is None:
            yield from self._processes(tasks, worker, _packed(setup))
        else:
            shares = [_Share(task, DASK_SECONDS) for task in tasks]
            yield from _dask(shares, worker, _packed(setup), self.dask, self.workers, self.environments)

    def do_alone(self, tasks: Sequence[TaskOfMany], worker: Worker, setup: WorkerSetup) -> Done:
        """Do tasks one after another in a single process of this machine, while no other works; arguments of ``do``.

        On the cluster of a running scheduler, a metric of a model is measured by a worker of the cluster.
        """
        if self.is_single:
            yield from self.do(tasks, worker, setup)
            return
        if here := [task for task in tasks if not self._on_cluster(task)]:
            alone = replace(self, workers=1, environments=self.environments[:1], dask=None)
            yield from alone._processes(here, worker, _packed(setup))
        for task in filter(self._on_cluster, tasks):
            yield from self.do([task], worker, setup)

    def _on_cluster(self, task: TaskOfMany) -> bool:
        return bool(self.dask) and task.metric.per == "model"

    def _processes(self, tasks: Sequence[AnyTask], worker: Worker, packed: bytes) -> Done:
        for share, made in map_items(
            _opened,
            [_Share(task, SECONDS if task.parts > 1 else 0.0) for task in tasks],
            workers=self.workers,
            arguments=(packed,),
            environments=self.environments,
            apart=True,
            left=_Share.after,
        ):
            if isinstance(made, Exception) and not isinstance(made, WorkerDied):
                raise BenchmarkError(f"a worker process cannot work: {_reason(made)}") from made
            yield from share.results(worker, made)


@dataclass(frozen=True)
class _Share:
    """What is left of a task, for a process that returns the parts that it has done after some seconds."""

    task: AnyTask
    seconds: float
    """0 for a single part, which is at fault if it ends its processes."""

    def after(self, made: TaskResult | Exception) -> _Share | None:
        """Return what is left after a result; if processes died, all of it, part by part, to find the part at fault."""
        if isinstance(made, WorkerDied):
            left, seconds = (self.task.rest, self.seconds) if self.seconds == 0 else (self.task, 0.0)
        else:
            left, seconds = made.left if isinstance(made, TaskResult) else None, self.seconds
        return None if left is None else _Share(left, seconds)

    def results(self, worker: Worker, made: TaskResult | WorkerDied) -> Done:
        """Yield the result, or the failure of a part whose processes died; several parts are done again one by one."""
        if not isinstance(made, WorkerDied):
            yield self.task, made
        elif self.seconds == 0:
            yield self.task, worker.failed_part(self.task, made)


@dataclass(frozen=True)
class Team:
    """The engine of a command, the worker of its process, and how other processes open theirs."""

    engine: Engine
    worker: Worker
    setup: WorkerSetup
    """For metrics of images."""
    setup_of_many: WorkerSetup
    """For all other metrics."""

    def do(self, tasks: Sequence[AnyTask]) -> Done:
        """Do tasks of images."""
        return self.engine.do(tasks, self.worker, self.setup)

    def do_alone(self, tasks: Sequence[TaskOfMany]) -> Done:
        """Measure metrics of many images and of models."""
        return self.engine.do_alone(tasks, self.worker, self.setup_of_many)


def open_team(
    plan: Plan, engine: Engine, sampler: Sampler, metrics: Mapping[str, LoadedMetric], begin: Callable[[str], None]
) -> Team:
    """Open the worker of this process, with what this process has loaded, and describe those of other processes.

    Args:
        plan: The plan of the command, which the manifest already names.
        engine: The engine.
        sampler: Models loaded in this process.
        metrics: Metrics loaded in this process, by name.
        begin: Called before an item is sampled or measured in this process.
    """
    folder, manifest, request = plan.folder, plan.folder.manifest, plan.request
    dataset = None if request is None else request.dataset
    objects = {label: model for label, model in sampler.models.items() if model.is_object}
    setup = WorkerSetup(
        folder=folder.path.resolve(),
        sampler=Sampler(manifest, sampler.device, objects),
        metrics=partial(reopened_metrics, manifest, [metric.name for metric in plan.measured if metric.is_of_images]),
        data=request.spec if request is not None and request.spec.names_data else dataset,
        invocation=len(manifest.invocations) - 1,
    )
    local = replace(
        setup,
        folder=folder.path,
        sampler=replace(sampler, manifest=manifest),
        metrics=lambda: [metrics[metric.name] for metric in plan.measured],
        data=dataset,
    )
    of_many = partial(reopened_metrics, manifest, [metric.name for metric in plan.metrics_of_many])
    return Team(engine, replace(open_worker(local), begin=begin), setup, replace(setup, metrics=of_many, data=None))


def _packed(setup: WorkerSetup) -> bytes:
    try:
        return pickle.dumps(setup)
    except Exception as error:  # pickling calls foreign code
        raise BenchmarkError(
            f"a model or dataset cannot be sent to other processes ({_reason(error)}); name it as file.py:Name, or "
            "leave out workers"
        ) from None


def choose_engine(name: str | None, workers: WorkerCount, device: str, images: int) -> Engine:
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
    return Engine(workers or suitable_workers(device if dask is None else "cpu", images), dask=dask)


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


def _opened(packed: bytes) -> Callable[[_Share], TaskResult]:
    """Open the worker of a process, and return the function that does a share."""
    _worker(packed)
    return partial(_do, packed)


def _dask(
    shares: Sequence[_Share],
    worker: Worker,
    packed: bytes,
    address: str,
    workers: int,
    environments: Sequence[Mapping[str, str]],
) -> Done:
    """Do shares on the cluster of a scheduler, or with ``workers`` on this machine if ``address`` is empty.

    Dask reruns the tasks of a lost worker and counts the loss against each of them, although one is at fault. A task
    with too many losses raises KilledWorker; it is done again at the end, part by part, while nothing else runs, by a
    new cluster if that is on this machine: Dask may not restart a worker that dies again and again.
    """
    again = []
    with _client(address, workers) as client:
        from distributed import CancelledError, Future, KilledWorker, as_completed
        from distributed.comm import CommClosedError

        setup = client.submit(bytes, packed, pure=False)  # recomputed by Dask if its worker is lost
        work = partial(_do_on_gpu, environments) if any(environments) else _do
        running: dict[Future, _Share] = {}

        def submit(share: _Share) -> Future:
            future = client.submit(work, setup, share, retries=DASK_RETRIES, pure=False)
            running[future] = share
            return future

        futures = as_completed(list(map(submit, shares)), loop=client.loop)
        for future in futures:
            share = running.pop(future)
            made: TaskResult | WorkerDied
            try:
                made = future.result()
            except KilledWorker as error:
                made = WorkerDied(f"crashed {error.allowed_failures + 1} Dask workers")
            except (CancelledError, CommClosedError):
                raise BenchmarkError(
                    "the Dask scheduler is gone; finished work is kept. Rerun the same command to resume."
                ) from None
            except Exception as error:  # foreign code, outside an item
                raise BenchmarkError(f"a Dask worker cannot work: {_reason(error)}") from None
            yield from share.results(worker, made)
            if (rest := share.after(made)) is not None:
                if isinstance(made, WorkerDied):
                    again.append(rest)
                else:
                    futures.add(submit(rest))
    for share in again:
        yield from _dask([share], worker, packed, address, workers, environments)


_ONE_AT_A_TIME = threading.Lock()
"""Serialises the tasks of a process: a Dask worker may have several threads."""


def _do(packed: bytes, share: _Share) -> TaskResult:
    with _ONE_AT_A_TIME:
        return _worker(packed).do_for(share.seconds, share.task)


def _do_on_gpu(environments: Sequence[Mapping[str, str]], packed: bytes, share: _Share) -> TaskResult:
    """Do a share on a Dask worker of this machine, whose name is its number; it keeps its GPU if it is restarted."""
    from distributed import get_worker

    os.environ.update(environments[get_worker().name % len(environments)])
    return _do(packed, share)


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
