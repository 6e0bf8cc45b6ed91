"""Published rows below a measured table: those of the same data, scale and protocol."""

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
"""Text of a published number whose protocol is not that of the column."""


@dataclass(frozen=True)
class PublishedTable:
    """One table of a publication, as in ``published.toml``."""

    data: str
    """Name of the dataset, as in ``srbench list datasets``."""
    images: int
    """Number of its images; a published mean is over all of them."""
    scale: int
    source: str
    protocol: dict[str, str]
    """Signatures by metric, without name and version, or a reason why there is none."""
    rows: dict[str, dict[str, str]]
    """Values as printed, by model and metric."""
    reprinted: str = ""
    """Rows that the source took from elsewhere; empty: none."""

    @property
    def origin(self) -> str:
        """Source, and which of its rows are reprinted."""
        return f"{self.source} (reprinted: {self.reprinted})" if self.reprinted else self.source


@dataclass(frozen=True)
class _File:
    table: tuple[PublishedTable, ...]


@dataclass(frozen=True)
class PublishedCell:
    """A number as it was printed, or the reason why it cannot stand in its column."""

    text: str
    why: str = ""


@dataclass(frozen=True)
class PublishedLine:
    """One published row; it takes part in no ranking."""

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
    """Published numbers in a report."""

    lines: tuple[PublishedLine, ...] = ()
    notes: tuple[str, ...] = ()
    """Sources of the lines, differences of their protocols, and why there are no others."""


def read_tables() -> tuple[PublishedTable, ...]:
    """Published tables that come with srbench."""
    return load_toml(TABLES, _File).table


def published_rows(manifest: Manifest, metrics: Sequence[MetricFacts], tables: Sequence[PublishedTable]) -> Published:
    """Published rows of the same data and scale, if at least one of their numbers has the protocol of its column."""
    protocol = manifest.protocol
    ours = [one for one in tables if (one.data, one.scale) == (protocol.dataset, protocol.scale)]
    if not ours:
        return Published((), (f"No published table is of {protocol.dataset} at scale {protocol.scale}.",))
    lines: list[PublishedLine] = []
    notes = []
    for table in ours:
        if other := _other_data(manifest, table) or _other_protocol(metrics, table):
            notes.append(f"Not shown, as none of its numbers can be compared: {table.origin}. {other}")
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
    """Difference between the protocols of a published and a measured column; empty if there is none."""
    name, _, here = re.sub(r"\|v\d+(?=\||$)", "", metric.signature).partition("|")
    stated = table.protocol.get(metric.name, "")
    if name == metric.name.upper().replace("_", "-") and here == stated:
        return ""
    return f"published {stated or 'without a stated protocol'}, here {here}"


def _other_data(manifest: Manifest, table: PublishedTable) -> str:
    """Difference between the images of a run and of a table; empty if there is none."""
    protocol = manifest.protocol
    if protocol.crop is not None:
        return f"It is of whole images; here the central {protocol.crop} x {protocol.crop} are measured."
    if len(manifest.images) != table.images or manifest.scope != manifest.images:
        return f"It is of all {table.images} images; here {len(manifest.scope)} are measured."
    if protocol.lr != MATLAB_BICUBIC:
        return f"Its LR images are {MATLAB_BICUBIC}; here they are {protocol.lr}."
    return ""


def _other_protocol(metrics: Sequence[MetricFacts], table: PublishedTable) -> str:
    """Differences of all columns that both have; empty if one column has the same protocol."""
    there = [metric for metric in metrics if metric.name in table.protocol]
    if not there:
        return "It has none of the metrics that are measured here."
    ways = [f"{metric.title}: {difference(metric, table)}" for metric in there]
    return "" if any(not difference(metric, table) for metric in there) else f"{'; '.join(ways)}."
