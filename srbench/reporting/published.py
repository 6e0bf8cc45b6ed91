"""Published results of the same data, scale and protocol, shown below the measured table."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from srbench.data import MATLAB_BICUBIC
from srbench.files.config import load_toml
from srbench.interfaces import MetricFacts
from srbench.run_folder.protocol import Manifest

TABLES = files("srbench.reporting") / "published.toml"
DIFFERS = "≠"
"""Text of a cell whose published number has a different protocol than the column."""


@dataclass(frozen=True)
class PublishedTable:
    """A table of a publication, from ``published.toml``."""

    data: str
    """Name of the dataset, as in ``srbench list datasets``."""
    images: int
    """Number of images of the dataset; published means are over all of them."""
    scale: int
    source: str
    protocol: dict[str, str]
    """Signatures by metric, without name and version, or in words why there is none."""
    rows: dict[str, dict[str, str]]
    """Values as printed, by model and metric."""
    reprinted: str = ""
    """Rows that the source reprinted from elsewhere, in words; empty: none."""

    @property
    def origin(self) -> str:
        """Source, and which rows are reprinted."""
        return f"{self.source} (reprinted: {self.reprinted})" if self.reprinted else self.source


@dataclass(frozen=True)
class _File:
    table: tuple[PublishedTable, ...]


@dataclass(frozen=True)
class PublishedCell:
    """A number as printed, or ``≠`` with the reason why it is not comparable with its column."""

    text: str
    why: str = ""


@dataclass(frozen=True)
class PublishedLine:
    """A published row, which is never ranked."""

    label: str
    cells: dict[str, PublishedCell]
    """Cells by metric of the measured table."""
    images: int
    source: str

    @property
    def texts(self) -> tuple[str, ...]:
        """Label, values and number of images."""
        return f"{self.label} (published)", *(cell.text for cell in self.cells.values()), str(self.images)


@dataclass(frozen=True)
class Published:
    """Published rows of a report."""

    lines: tuple[PublishedLine, ...] = ()
    notes: tuple[str, ...] = ()
    """Sources of the rows, differences of protocols, and why tables were left out."""


def read_tables() -> tuple[PublishedTable, ...]:
    """Read the published tables that come with srbench."""
    return load_toml(TABLES, _File).table


def published_rows(manifest: Manifest, metrics: Sequence[MetricFacts], tables: Sequence[PublishedTable]) -> Published:
    """Return published rows of the same data and scale that have at least one number of the same protocol."""
    protocol = manifest.protocol
    matching = [table for table in tables if (table.data, table.scale) == (protocol.dataset, protocol.scale)]
    if not matching:
        return Published((), (f"No published table for {protocol.dataset} at scale {protocol.scale} is known.",))
    lines: list[PublishedLine] = []
    notes = []
    for table in matching:
        if reason := _other_data(manifest, table) or _other_protocol(metrics, table):
            notes.append(f"Not shown, because none of its numbers can be compared: {table.origin}. {reason}")
            continue
        for label, values in table.rows.items():
            cells = {}
            for metric in metrics:
                why = difference(metric, table) if metric.name in values else ""
                cells[metric.name] = PublishedCell(DIFFERS if why else values.get(metric.name, "–"), why)
            lines.append(PublishedLine(label, cells, table.images, table.source))
        notes.append(f"Published, not measured here: {table.origin}.")
        notes += [
            f"{DIFFERS} {metric.title} of {table.source}: {why}."
            for metric in metrics
            if metric.name in table.protocol and (why := difference(metric, table))
        ]
    return Published(tuple(lines), tuple(notes))


def difference(metric: MetricFacts, table: PublishedTable) -> str:
    """Describe the difference between the protocols of a published and a measured column; empty if there is none."""
    name, _, here = re.sub(r"\|v\d+(?=\||$)", "", metric.signature).partition("|")
    stated = table.protocol.get(metric.name, "")
    if name == metric.name.upper().replace("_", "-") and here == stated:
        return ""
    return f"published {stated or 'without a stated protocol'}, here {here}"


def _other_data(manifest: Manifest, table: PublishedTable) -> str:
    """Describe the difference between the images of a run and of a published table; empty if there is none."""
    protocol = manifest.protocol
    if protocol.crop is not None:
        return f"It covers whole images; here only the central {protocol.crop} x {protocol.crop} are measured."
    if len(manifest.images) != table.images or manifest.scope != manifest.images:
        return f"It covers all {table.images} images; here {len(manifest.scope)} are measured."
    if protocol.lr != MATLAB_BICUBIC:
        return f"Its LR images are {MATLAB_BICUBIC}; here they are {protocol.lr}."
    return ""


def _other_protocol(metrics: Sequence[MetricFacts], table: PublishedTable) -> str:
    """Describe the differences of all shared columns; empty if at least one has the same protocol."""
    there = [metric for metric in metrics if metric.name in table.protocol]
    if not there:
        return "It has none of the metrics that are measured here."
    differences = [f"{metric.title}: {difference(metric, table)}" for metric in there]
    return "" if any(not difference(metric, table) for metric in there) else f"{'; '.join(differences)}."
