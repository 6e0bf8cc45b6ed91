"""A session in a worker process, its messages, and what the main process makes of them.

It opens data, metrics and models by their names, once, and does one job after the other. Lines and files are sent back
in the order in which a session writes them: only the other process writes.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import numpy as np
import torch
from torch import Tensor

from srbench.benchmark import BenchmarkError, in_one_line
from srbench.benchmark.engines.pool import Send
from srbench.benchmark.request import RunSpec, open_dataset
from srbench.benchmark.sampling import Item, kept_outputs, kept_pair
from srbench.benchmark.tasks import Session, Task
from srbench.images.io import quantize
from srbench.interfaces import Dataset, ImagePair
from srbench.machine.facts import environment
from srbench.models.loading import LoadedModel
from srbench.plugins.registry import LoadedMetric, open_metric
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.protocol import Manifest, Setting
from srbench.run_folder.records import AnyRecord, EnvironmentRecord, Line, SampleRecord

SAMPLER, SCORER = "sampler", "scorer"
"""Roles of processes; without scorers, samplers score too."""


@dataclass(frozen=True)
class Opening:
    """All that a worker has to open, in a form that can be sent."""

    folder: Path
    manifest: Manifest
    metrics: tuple[str, ...]
    data: RunSpec | Dataset | None
    """Request that names the dataset, or the dataset; None if no image has to be read."""
    models: dict[str, LoadedModel]
    """Models by label that are objects, without a name to load them by."""
    device: str
    invocation: int

    def packed(self) -> bytes:
        """Serialize for ``open_session``. Raises BenchmarkError for objects that cannot be sent."""
        try:
            return pickle.dumps(self)
        except Exception as error:  # whatever an object raises
            raise BenchmarkError(
                f"a model or dataset cannot be sent to other processes ({in_one_line(error)}); name it as "
                "file.py:Name, or leave out workers"
            ) from None


@dataclass(frozen=True)
class Job:
    """Work for a process, with the lines that the folder has of its image."""

    task: Task
    lines: tuple[AnyRecord, ...] = ()
    metrics: tuple[str, ...] | None = None
    """Metrics to measure of the one setting of a task that was left to others; None: the task has to be done."""
    outputs: Path | None = None
    """File of its outputs as the model returned them, (n, 3, H, W) float32; None: the kept ones are measured."""

    def close(self) -> None:
        """Remove the outputs."""
        if self.outputs is not None:
            self.outputs.unlink(missing_ok=True)


@dataclass(frozen=True)
class File:
    """A file to write."""

    path: Path
    content: bytes


@dataclass
class SentFolder(RunFolder):
    """A run folder as a worker sees it: what is written into it is sent."""

    send: Send = field(kw_only=True)

    def append(self, *lines: Line) -> None:
        """Send lines, and know them from now on."""
        new = self.with_environment(lines)
        self.send(new)
        self.take(new)

    def write(self, path: Path, content: bytes) -> None:
        """Send a file."""
        self.send(File(path, content))


@dataclass
class RemoteSession(Session):
    """A session that sends what it makes. With ``scratch`` it leaves scoring to others."""

    send: Send = field(kw_only=True)
    """Takes the setting that comes next, a tuple of lines, a file, a job left to others, or a fault as text."""
    scratch: Path | None = field(kw_only=True, default=None)
    """Folder where outputs are left for those who score them."""

    def work(self, job: Job) -> None:
        """Do a job."""
        # Sends its environment anew with every job: the messages of an earlier one may have been lost.
        self.folder = SentFolder(self.folder.path, self.folder.manifest, here=self.folder.here, send=self.send)
        self.folder.take(job.lines)
        if job.metrics is None:
            self.do(job.task)
        else:
            self._measure(job)

    def begin(self, setting: Setting, image: str) -> None:
        """Send which setting comes next."""
        self.send(setting)

    def fail(self, fault: str) -> None:
        """Send what failed."""
        self.send(fault)

    def score_images(
        self, record: SampleRecord, pair: ImagePair, metrics: Sequence[LoadedMetric], images: Tensor, exact: Tensor
    ) -> None:
        """Measure outputs, or leave them to others."""
        if self.scratch is None:
            super().score_images(record, pair, metrics, images, exact)
            return
        file = None
        if exact.is_floating_point():
            file = self.scratch / f"{uuid4().hex}.npy"
            try:
                np.save(file, exact.numpy())
            except OSError as error:
                raise BenchmarkError(f"{file}: {error.strerror}; set TMPDIR to a folder on another disk") from None
        task = Task(record.image, "", fresh=False, items=(Item(record.setting),))
        self.send(Job(task, metrics=tuple(one.facts.name for one in metrics), outputs=file))

    def _measure(self, job: Job) -> None:
        [item], image = job.task.items, job.task.image
        record, pair = self.folder.sample(item.setting, image), kept_pair(self.folder, image)
        assert record is not None
        assert job.metrics is not None
        exact: Tensor | None
        if job.outputs is None:
            exact = images = kept_outputs(self.folder, record)
        else:
            exact = torch.from_numpy(np.load(job.outputs))
            images = quantize(exact, self.folder.manifest.protocol.quantize)
        if pair is None or images is None or exact is None:
            self.fail(f"{image}: its images are no longer in {self.folder.path}; run the same command again")
            return
        metrics = [metric for metric in self.metrics if metric.facts.name in job.metrics]
        self.score_images(record, pair, metrics, images, exact)


def open_worker(send: Send, packed: bytes, scratch: Path | None, role: str) -> Callable[[Job], None]:
    """Open a session in a process of a pool. With ``scratch``, samplers leave their outputs there for scorers."""
    torch.set_num_threads(1)
    return open_session(packed, send, scratch if role == SAMPLER else None, measures=role == SCORER).work


def open_session(packed: bytes, send: Send, scratch: Path | None = None, *, measures: bool = False) -> RemoteSession:
    """Open what a packed ``Opening`` names; models are loaded on first use. Raises SRBenchError.

    A session that only ``measures`` does so on the CPU.
    """
    opening: Opening = pickle.loads(packed)
    metrics, protocol = [], opening.manifest.protocol
    for name in opening.metrics:
        facts = opening.manifest.metric(name)
        metrics.append(metric := open_metric(facts.spec, protocol.quantize, protocol.samples, facts))
        if metric.facts.digest != facts.digest:
            raise BenchmarkError(f"{facts.title}: its code changed during the run; run the same command again")
    data = open_dataset(opening.data) if isinstance(opening.data, RunSpec) else opening.data
    here = EnvironmentRecord.of(environment("cpu" if measures else opening.device))
    folder = SentFolder(opening.folder, opening.manifest, here=here, send=send)
    return RemoteSession(
        folder,
        metrics,
        dict(opening.models),
        data,
        opening.device,
        invocation=opening.invocation,
        send=send,
        scratch=scratch,
    )


def receive(message: object, session: Session) -> None:
    """Write lines or a file, or tell of a fault. Raises RunFolderError, or OSError, if that fails."""
    match message:
        case tuple() as lines:
            session.folder.append(*lines)
            session.count(*(line for line in lines if not isinstance(line, EnvironmentRecord)))
        case File(path, content):
            session.folder.write(path, content)
        case str() as fault:
            session.fail(fault)
