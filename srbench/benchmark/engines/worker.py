"""A session in a process that works for another one.

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

from srbench.benchmark import BenchmarkError
from srbench.benchmark.engines.pool import Send
from srbench.benchmark.request import RunSpec, open_dataset
from srbench.benchmark.sampling import kept_outputs, kept_pair
from srbench.benchmark.tasks import Session, Task
from srbench.images.io import quantize
from srbench.interfaces import Dataset, ImagePair
from srbench.models.loading import LoadedModel
from srbench.plugins.registry import LoadedMetric, open_metric
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.protocol import Manifest, Setting
from srbench.run_folder.records import AnyRecord, ImageRecords, SampleRecord

Lines = tuple[AnyRecord, ...]


@dataclass(frozen=True)
class Opening:
    """What a worker has to open, as it can be sent."""

    folder: Path
    manifest: Manifest
    metrics: tuple[str, ...]
    """Names of those of the manifest that are measured."""
    data: RunSpec | Dataset | None
    """The request that names the dataset, or an object; None where no image has to be read."""
    models: dict[str, LoadedModel]
    """By label: those that are objects and have no name to load them by."""
    device: str
    invocation: int

    def packed(self) -> bytes:
        """Raises BenchmarkError for objects that no other process could have."""
        try:
            return pickle.dumps(self)
        except Exception as error:  # whatever an object raises
            reason = " ".join(str(error).split())
            raise BenchmarkError(
                f"a model or dataset cannot be sent to other processes ({reason}); name it as file.py:Name, or leave "
                "workers out"
            ) from None

    @classmethod
    def unpacked(cls, packed: bytes) -> Opening:
        """The inverse of ``packed``."""
        opening: Opening = pickle.loads(packed)
        return opening


@dataclass(frozen=True)
class Sampling:
    """A job: a task, with the lines that the folder has of its image."""

    task: Task
    lines: Lines


@dataclass(frozen=True)
class Scoring:
    """A job: to measure some metrics of a record."""

    record: SampleRecord
    metrics: tuple[str, ...]
    outputs: Path | None
    """The outputs as the model returned them, (n, 3, H, W) float32 as .npy; None: those that the folder keeps."""
    lines: Lines = ()

    def close(self) -> None:
        """Remove the outputs."""
        if self.outputs is not None:
            self.outputs.unlink(missing_ok=True)


@dataclass(frozen=True)
class Begun:
    """A message: this setting of the task comes next."""

    setting: Setting


@dataclass(frozen=True)
class Written:
    """A message: lines to append."""

    lines: Lines


@dataclass(frozen=True)
class File:
    """A message: a file to write."""

    path: Path
    content: bytes


@dataclass(frozen=True)
class Fault:
    """A message: something failed, in one line; its lines are sent for themselves."""

    text: str


@dataclass
class SentFolder(RunFolder):
    """A run folder as a worker sees it, for one image: what is written into it is sent."""

    send: Send = field(kw_only=True)
    known: ImageRecords = field(kw_only=True, default_factory=ImageRecords)

    def append(self, *lines: AnyRecord) -> None:
        """Send lines, and know them from now on."""
        self.send(Written(lines))
        self.take(lines)

    def take(self, lines: Lines) -> None:
        """Know lines that are in the files, or will be."""
        for line in lines:
            self.known.take(line)

    def of(self, image: str) -> ImageRecords:
        """The records of the image, which a worker is given and makes."""
        return self.known

    def write(self, path: Path, content: bytes) -> None:
        """Send a file."""
        self.send(File(path, content))


@dataclass
class RemoteSession(Session):
    """A session that sends what it makes. With ``scratch`` it leaves the scoring to others."""

    send: Send = field(kw_only=True)
    scratch: Path | None = field(kw_only=True, default=None)
    """Where outputs are left for those who score them."""

    def work(self, job: Sampling | Scoring) -> None:
        """Do a job."""
        self.folder = SentFolder(self.folder.path, self.folder.manifest, send=self.send)
        self.folder.take(job.lines)
        if isinstance(job, Sampling):
            self.do(job.task)
        else:
            self._measure(job)

    def begin(self, setting: Setting, image: str) -> None:
        """Send which setting comes next."""
        self.send(Begun(setting))

    def fail(self, fault: str) -> None:
        """Send what failed."""
        self.send(Fault(fault))

    def model(self, label: str) -> LoadedModel:
        """The model of a label, loaded once. Raises BenchmarkError where it is no longer the one of the manifest."""
        try:
            return super().model(label)
        except BenchmarkError:
            raise BenchmarkError(f"{label}: its code or weights changed meanwhile; run the command again") from None

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
                raise BenchmarkError(f"{file}: {error.strerror}; set TMPDIR to a folder of another disk") from None
        self.send(Scoring(record, tuple(one.facts.name for one in metrics), file))

    def _measure(self, job: Scoring) -> None:
        pair = kept_pair(self.folder, job.record.image)
        if job.outputs is not None:
            exact = torch.from_numpy(np.load(job.outputs))
            images: Tensor | None = quantize(exact, self.folder.manifest.protocol.quantize)
        else:
            images = kept_outputs(self.folder, job.record)
        if pair is None or images is None:
            self.fail(f"{job.record.image}: its images are no longer in {self.folder.path}; run the same command again")
            return
        metrics = [metric for metric in self.metrics if metric.facts.name in job.metrics]
        self.score_images(job.record, pair, metrics, images, images if job.outputs is None else exact)


def open_worker(send: Send, packed: bytes, scratch: str, role: str) -> Callable[[Sampling | Scoring], None]:
    """Open a session in a process of a pool. A ``sampler`` leaves its outputs in ``scratch`` for those who score."""
    torch.set_num_threads(1)
    return open_session(Opening.unpacked(packed), send, Path(scratch) if role == "sampler" else None).work


def open_session(opening: Opening, send: Send, scratch: Path | None = None) -> RemoteSession:
    """Open what a worker needs; models come when they are needed first. Raises SRBenchError."""
    metrics = []
    for name in opening.metrics:
        facts = opening.manifest.metric(name)
        metrics.append(metric := open_metric(facts.spec, opening.manifest.protocol.quantize))
        if metric.facts.digest != facts.digest:
            raise BenchmarkError(f"{facts.title}: its code changed meanwhile; run the same command again")
    data = open_dataset(opening.data) if isinstance(opening.data, RunSpec) else opening.data
    folder = SentFolder(opening.folder, opening.manifest, send=send)
    return RemoteSession(
        folder, metrics, dict(opening.models), data, opening.device,
        invocation=opening.invocation, send=send, scratch=scratch,
    )  # fmt: skip
