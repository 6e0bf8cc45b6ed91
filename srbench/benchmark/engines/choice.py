"""Choice of an engine and its processes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from srbench.benchmark import BenchmarkError
from srbench.benchmark.engines.pool import prepare
from srbench.benchmark.engines.processes import processes
from srbench.benchmark.engines.worker import Opening, open_worker
from srbench.benchmark.tasks import Session, Task
from srbench.machine.facts import environment, hardware
from srbench.machine.processes import suitable_workers
from srbench.run_folder.records import EnvironmentRecord

Workers = int | Literal["gpus"] | None
"""Number of processes; ``gpus``: one per GPU, and others that measure; None: as many as suit the machine."""


@dataclass(frozen=True)
class Engine:
    """Processes, or a cluster, that do the tasks of a session."""

    samplers: tuple[str | None, ...] = (None,)
    """One process each: the GPUs it sees, in the words of CUDA_VISIBLE_DEVICES; None: those of this process."""
    scorers: int = 0
    """Number of processes that measure what the samplers make."""
    dask: str | None = None
    """Address of a Dask scheduler; empty for a cluster on this machine, None without Dask."""

    def facts(self, device: str) -> dict[str, str]:
        """Facts for the manifest: engine and machine, but no machine for workers of a cluster, which may have others.

        The environments that lines name tell those.
        """
        count = len(self.samplers) + self.scorers
        if self.dask:
            return {"engine": f"dask:{self.dask}"}
        if self.dask is not None:
            return hardware(device) | {"engine": f"dask, {count} workers"}
        return hardware(device) | ({"processes": f"{count}, one thread each"} if count > 1 else {})

    def work(self, session: Session, tasks: Sequence[Task], opening: Opening) -> None:
        """Do all tasks of a session; failures are recorded and named. Raises BenchmarkError if no process can work."""
        if self.dask is not None:
            from srbench.benchmark.engines.dask import dask

            dask(session, tasks, opening, self.dask, len(self.samplers))
        elif len(self.samplers) + self.scorers > 1:
            processes(session, tasks, opening, self.samplers, self.scorers)
        else:
            session.folder.here = EnvironmentRecord.of(environment(session.device))
            for task in tasks:
                session.do(task)


def choose_engine(name: str | None, workers: Workers, device: str, tasks: int) -> Engine:
    """The engine of a command: ``name`` is ``dask``, ``dask:ADDRESS`` or None. Raises BenchmarkError."""
    kind, _, address = (name or "").partition(":")
    if kind not in ("", "dask"):
        raise BenchmarkError(f"no engine {name!r}; give dask or dask:ADDRESS, or leave it out")
    if kind == "dask":
        if workers == "gpus" or (address and workers is not None):
            raise BenchmarkError(
                f"{name}: does not take --workers {workers}; set them on the cluster, or leave one out"
            )
        return Engine((None,) * (workers or suitable_workers("cpu", tasks)), dask=address)
    if workers == "gpus":
        return Engine(gpus(device), suitable_workers("cpu", tasks))
    if device == "cpu":
        return Engine((None,) * (workers or suitable_workers(device, tasks)))
    return Engine(scorers=0 if workers in (None, 1) else workers)


def prepare_workers(workers: Workers, device: str, images: int) -> None:
    """Start the processes of a run on the CPU of so many images: they import torch while this one loads models."""
    if device == "cpu" and (count := min(len(choose_engine(None, workers, device, images).samplers), images)) > 1:
        prepare(count, open_worker.__module__)


def gpus(device: str) -> tuple[str, ...]:
    """The GPUs that this process sees, in the words of CUDA_VISIBLE_DEVICES. Raises BenchmarkError if there is none."""
    count = torch.cuda.device_count() if device == "cuda" else 0
    if count == 0:
        raise BenchmarkError(f"--workers gpus: no NVIDIA GPU is used here (device {device}); give a number instead")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [str(number) for number in range(count)] if visible is None else visible.split(",")
    return tuple(name.strip() for name in names[:count])
