"""Tables of a matrix, the same in every format."""

from __future__ import annotations

from dataclasses import dataclass

from srbench.interfaces import MetricFacts
from srbench.matrix.folder import Cell
from srbench.reporting.measurements import Measurements
from srbench.reporting.ranking import Mark
from srbench.reporting.scores import Scores


@dataclass(frozen=True)
class Entry:
    """A measured cell of the matrix."""

    cell: Cell
    measurements: Measurements
    scores: Scores


@dataclass(frozen=True)
class Value:
    """One number of a table."""

    text: str
    mark: Mark
    partial: bool
    """True if it is the mean of fewer images than were asked for."""

    @property
    def shown(self) -> str:
        """Text, with a dagger if it is partial."""
        return f"{self.text}†" if self.partial else self.text


MISSING = Value("–", "", partial=False)


@dataclass(frozen=True)
class Part:
    """Table of one suite."""

    suite: str
    """Name and version."""
    metrics: tuple[MetricFacts, ...]
    """Columns of every group, with the facts of the last cell that has them."""
    groups: tuple[str, ...]
    """Names of the datasets."""
    blocks: tuple[tuple[int, tuple[tuple[str, tuple[Value, ...]], ...]], ...]
    """Rows by scale: a label, and the values of all metrics of the first group, then of the next."""
    entries: tuple[Entry, ...]

    @property
    def signatures(self) -> tuple[str, ...]:
        """Signatures of the metrics of all cells, each once."""
        return tuple(dict.fromkeys(m.signature for entry in self.entries for m in entry.scores.metrics))

    @property
    def images(self) -> tuple[str, ...]:
        """Datasets and origins of LR, each once: ``set5: 5 images``."""
        counts = dict.fromkeys(map(_images, self.entries))
        origins = dict.fromkeys(f"LR {entry.measurements.protocol.lr}" for entry in self.entries)
        return (*counts, *origins)


def _images(entry: Entry) -> str:
    crop = entry.measurements.protocol.crop
    part = "" if crop is None else f", the central {crop} x {crop} of each"
    return f"{entry.cell.group}: {len(entry.measurements.images)} images{part}"
