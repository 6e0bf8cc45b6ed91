"""A run folder that another process is writing: its new lines only, and the means so far."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from srbench.run_folder import records
from srbench.run_folder.folder import RunFolder
from srbench.run_folder.manifest import FILE, read_manifest
from srbench.run_folder.protocol import Manifest, Setting
from srbench.run_folder.records import AnyRecord, Record, SampleRecord
from srbench.run_folder.results import row_of


@dataclass(frozen=True)
class Arrival:
    """A model at one temperature on one image, once all its metrics are measured or have failed."""

    sample: SampleRecord
    values: dict[str, float]
    """Means over samples by metric; a value that failed is missing."""
    invocations: frozenset[int]
    """Indices of the commands that sampled and measured it."""


@dataclass
class Mean:
    """Running mean over images of finite values."""

    total: float = 0.0
    images: int = 0

    def add(self, value: float, sign: int) -> None:
        """Count a value, or with -1 no longer."""
        if math.isfinite(value):
            self.total += sign * value
            self.images += sign

    @property
    def value(self) -> float:
        """The mean; NaN if there is no value."""
        return self.total / self.images if self.images else math.nan


@dataclass
class GrowingRun:
    """Contents of a run folder, as far as they have been written; ``update`` reads what was appended since.

    After a change of the manifest all is read again, as other records may count then.
    """

    path: Path
    reading: int = 0
    """Number of times that all was read."""
    arrivals: list[Arrival] = field(default_factory=list)
    """Everything that was finished, in order; a place that was done again arrives again."""
    means: dict[tuple[Setting, str], Mean] = field(default_factory=dict)
    """Means so far by setting and metric."""
    _folder: RunFolder | None = None
    _stamp: tuple[int, int] = (0, 0)
    _ends: dict[str, int] = field(default_factory=dict)
    _planned: dict[str, list[Setting]] = field(default_factory=dict)
    """Settings that are asked for, by image."""
    _current: dict[tuple[Setting, str], Arrival] = field(default_factory=dict)

    def update(self) -> list[AnyRecord]:
        """Read what was appended; returns its lines. Raises RunFolderError if one is damaged, or there is no run."""
        found = (self.path / FILE).stat() if (self.path / FILE).is_file() else None
        stamp = (found.st_mtime_ns, found.st_size) if found else (0, 0)
        if self._folder is None or stamp != self._stamp:
            self._begin(stamp)
        # Written in the other order: whatever a line that is read here builds on is there when it is looked for.
        scores, samples = self._new(records.ScoreRecord), self._new(records.SampleRecord)
        lines: list[AnyRecord] = [*self._new(records.PairRecord), *samples, *scores]
        self.folder.take(lines)
        self._look(dict.fromkeys(line.image for line in lines))
        return lines

    def _new(self, kind: type[Record]) -> list[Record]:
        lines, self._ends[kind.FILE] = records.read_new(self.path, kind, self._ends.get(kind.FILE, 0))
        return lines

    @property
    def folder(self) -> RunFolder:
        """The folder as it was read last."""
        assert self._folder is not None, "it is read by update"
        return self._folder

    @property
    def manifest(self) -> Manifest:
        """The manifest as it was read last."""
        return self.folder.manifest

    @property
    def done(self) -> int:
        """Number of images and settings that are finished."""
        return len(self._current)

    @property
    def asked(self) -> int:
        """Number of images and settings that are asked for."""
        return sum(map(len, self._planned.values()))

    def work_of(self, invocation: int) -> dict[tuple[Setting, str], bool]:
        """Settings and images that were not finished when a command began; True for those that it has to sample."""
        work = {}
        for image, settings in self._planned.items():
            for setting in settings:
                done, sample = self._current.get((setting, image)), self.folder.sample(setting, image)
                if done is None or max(done.invocations) >= invocation:
                    work[setting, image] = sample is None or sample.failed or sample.invocation >= invocation
        return work

    def _begin(self, stamp: tuple[int, int]) -> None:
        self._folder, self._stamp = RunFolder(self.path, read_manifest(self.path)), stamp
        self.reading += 1
        self._ends, self._planned, self._current = {}, {}, {}
        self.arrivals, self.means = [], {}
        for setting in self.manifest.settings:
            for image in self.manifest.planned(setting):
                self._planned.setdefault(image, []).append(setting)

    def _look(self, images: Iterable[str]) -> None:
        """Note what has been finished of some images, and what no longer counts."""
        for image in images:
            for setting in self._planned.get(image, []):
                before, now = self._current.pop((setting, image), None), self._finished(setting, image)
                self._count(before, -1)
                self._count(now, 1)
                if now is not None:
                    self._current[setting, image] = now
                    if repr(now) != repr(before):  # NaN is not equal to itself
                        self.arrivals.append(now)

    def _finished(self, setting: Setting, image: str) -> Arrival | None:
        sample = self.folder.sample(setting, image)
        if sample is None:
            return None
        if sample.failed:
            return Arrival(sample, {}, frozenset([sample.invocation]))
        if len(self.folder.scores(sample)) < len(self.manifest.metrics):
            return None
        row = row_of(self.folder, sample)
        return Arrival(sample, {name: float(np.mean(found)) for name, found in row.values.items()}, row.invocations)

    def _count(self, arrival: Arrival | None, sign: int) -> None:
        if arrival is not None:
            for name, value in arrival.values.items():
                self.means.setdefault((arrival.sample.setting, name), Mean()).add(value, sign)
