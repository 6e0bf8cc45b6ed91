"""Tables of a matrix, the same in every format."""

from __future__ import annotations

from dataclasses import dataclass

from srbench.interfaces import MetricFacts
from srbench.matrix.folder import Cell
from srbench.reporting.measurements import Measurements
from srbench.reporting.scores import Scores
from srbench.words import number_of


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
    is_best: bool
    partial: bool
    """True if it is the mean of fewer images than were asked for."""

    @property
    def shown(self) -> str:
        """Text, with a dagger if it is partial."""
        return f"{self.text}{'†' if self.partial else ''}"


MISSING = Value("–", is_best=False, partial=False)


@dataclass(frozen=True)
class Part:
    """Table of one suite."""

    suite: str
    """Name and version."""
    metrics: list[MetricFacts]
    """Columns of every group, with the facts of the last cell that has them."""
    groups: list[str]
    """Names of the datasets."""
    blocks: list[tuple[int, list[tuple[str, list[Value]]]]]
    """Rows by scale, first those that compete in any group: a label, and the values of all metrics of the first group,
    then of the next. Variants are a block of their own."""
    entries: list[Entry]

    @property
    def definitions(self) -> dict[str, str]:
        """Protocols of the metrics of all cells, by signature."""
        return {metric.signature: metric.protocol for entry in self.entries for metric in entry.scores.metrics}

    @property
    def has_variants(self) -> bool:
        """True if a model has several rows in a cell."""
        return any(entry.scores.variants for entry in self.entries)

    @property
    def images(self) -> list[str]:
        """Datasets and origins of LR, each once: ``set5: 5 images``."""
        counts, origins = [], []
        for entry in self.entries:
            protocol = entry.measurements.protocol
            part = "" if protocol.crop is None else f", the central {protocol.crop} x {protocol.crop} of each"
            counts.append(f"{entry.cell.group}: {number_of(len(entry.measurements.images), 'image')}{part}")
            origins.append(f"LR {protocol.lr}")
        return list(dict.fromkeys(counts + origins))
