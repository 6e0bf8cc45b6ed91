"""Published rows that may stand beneath a measured table: those of the same data, scale and protocol."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from srbench.data import MATLAB_BICUBIC
from srbench.interfaces import MetricFacts
from srbench.run_folder.protocol import Manifest
from srbench.system.config import load_toml

TABLES = files("srbench.reporting") / "published.toml"
DIFFERS = "≠"
"""Stands where a published number was measured by another protocol than the column's."""


@dataclass(frozen=True)
class PublishedTable:
    """One table of a publication, as ``published.toml`` has it."""

    data: str
    """Name of the dataset, as ``srbench data list`` has it."""
    images: int
    """How many it has; a published mean is over all of them."""
    scale: int
    source: str
    protocol: dict[str, str]
    """By metric: its signature without name and version, or why there is none."""
    rows: dict[str, dict[str, str]]
    """By model: values as they were printed, by metric."""
    reprinted: str = ""
    """Which rows are not of those who printed them; empty: all are."""

    @property
    def origin(self) -> str:
        """Source, and what of it was reprinted there."""
        return f"{self.source} (reprinted: {self.reprinted})" if self.reprinted else self.source


@dataclass(frozen=True)
class _File:
    table: tuple[PublishedTable, ...]


@dataclass(frozen=True)
class PublishedCell:
    """A number as it was printed, or why it cannot stand in its column."""

    text: str
    why: str = ""


@dataclass(frozen=True)
class PublishedLine:
    """One published row; it takes part in no ranking."""

    label: str
    cells: tuple[PublishedCell, ...]
    """One for every metric of the measured table."""
    images: int
    source: str


@dataclass(frozen=True)
class Published:
    """What a report says of published numbers."""

    lines: tuple[PublishedLine, ...] = ()
    notes: tuple[str, ...] = ()
    """Where the lines come from, where their protocol differs, and why there are no others."""


def read_tables(path: Path | Traversable | None = None) -> tuple[PublishedTable, ...]:
    """All tables of a file, or those that come with srbench. Raises ConfigError."""
    return load_toml(path or TABLES, _File).table


def published_rows(manifest: Manifest, metrics: Sequence[MetricFacts], tables: Sequence[PublishedTable]) -> Published:
    """The rows of the data and scale of a run of which at least one number was measured as a column of it is."""
    protocol = manifest.protocol
    ours = [one for one in tables if (one.data, one.scale) == (protocol.dataset, protocol.scale)]
    if not ours:
        return Published((), (f"No published table is of {protocol.dataset} at scale {protocol.scale}.",))
    lines: list[PublishedLine] = []
    notes = []
    for table in ours:
        other = _other_data(manifest, table) or _other_protocol(metrics, table)
        if other:
            notes.append(f"Not shown, as no number of it can be compared: {table.origin}. {other}")
            continue
        lines += [_line(label, values, metrics, table) for label, values in table.rows.items()]
        notes.append(f"Published, not measured here: {table.origin}.")
        notes += [
            f"{DIFFERS} {metric.title} of {table.source}: {why}."
            for metric in metrics
            if metric.name in table.protocol and (why := difference(metric, table))
        ]
    return Published(tuple(lines), tuple(notes))


def difference(metric: MetricFacts, table: PublishedTable) -> str:
    """How a table was measured otherwise than a column of the same name; empty where both protocols are one."""
    name, _, here = re.sub(r"\|v\d+$", "", metric.signature).partition("|")
    stated = table.protocol.get(metric.name, "")
    if name == metric.name.upper().replace("_", "-") and here == stated:
        return ""
    return f"published {stated or 'without a stated protocol'}, here {here}"


def _other_data(manifest: Manifest, table: PublishedTable) -> str:
    """What of a run's images is otherwise than a table's; empty where nothing is."""
    protocol = manifest.protocol
    if protocol.crop is not None:
        return f"It is of whole images, here the central {protocol.crop} x {protocol.crop} are measured."
    if len(manifest.images) != table.images or manifest.scope != manifest.images:
        return f"It is of all {table.images} images, here {len(manifest.scope)} are measured."
    if protocol.lr != MATLAB_BICUBIC:
        return f"Its LR images are {MATLAB_BICUBIC}, here {protocol.lr}."
    return ""


def _other_protocol(metrics: Sequence[MetricFacts], table: PublishedTable) -> str:
    """How all columns that a table has differ from those here; empty where one is the same."""
    there = [metric for metric in metrics if metric.name in table.protocol]
    if not there:
        return "It has none of the metrics that are measured here."
    ways = [f"{metric.title}: {difference(metric, table)}" for metric in there]
    return "" if any(not difference(metric, table) for metric in there) else f"{'; '.join(ways)}."


def _line(label: str, values: dict[str, str], metrics: Sequence[MetricFacts], table: PublishedTable) -> PublishedLine:
    cells = [
        PublishedCell("–")
        if metric.name not in values
        else PublishedCell(DIFFERS, why)
        if (why := difference(metric, table))
        else PublishedCell(values[metric.name])
        for metric in metrics
    ]
    return PublishedLine(label, tuple(cells), table.images, table.source)
