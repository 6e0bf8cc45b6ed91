"""The tables of an index: rows of equal images, scale and protocol, with bold marks as in a report."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from srbench.index.runs import Entry, IndexedRun
from srbench.interfaces import MetricFacts
from srbench.metrics.loading import located
from srbench.models import ModelFacts
from srbench.reporting.families import families_of
from srbench.reporting.ranking import best_rows
from srbench.reporting.table import printed
from srbench.run_folder.protocol import Protocol, Setting
from srbench.run_folder.values import mean_of_images
from srbench.run_folder.verified import VERDICTS
from srbench.words import number_of

TOLERANCE = 1e-5
"""Relative difference up to which values of a model in two runs count as equal, across processors and libraries."""


@dataclass(frozen=True)
class Mean:
    """The mean of a metric in a row."""

    value: float
    """Mean over images, as in a report; NaN if the metric was not measured on all images."""
    text: str
    is_best: bool
    """True for the best mean among models, and for means not significantly worse."""


@dataclass
class IndexRow:
    """A model at one temperature, and the runs that measured it, verified runs first."""

    entry: Entry
    """Entry of the first run."""
    model: ModelFacts
    setting: Setting
    """Label of the row and temperature."""
    values: dict[str, dict[str, float]]
    """Values of all runs, by column and image."""
    runs: list[IndexedRun]
    competes: bool = True
    """False for a variant."""
    means: list[Mean] = field(default_factory=list)
    """One mean per metric of the table."""

    def agrees(self, entry: Entry) -> bool:
        """Return whether an entry has the same outputs, and no value that differs from the row's."""
        return _outputs(entry) == _outputs(self.entry) and all(
            math.isclose(value, self.values[column][image], rel_tol=TOLERANCE, abs_tol=TOLERANCE)
            or (math.isnan(value) and math.isnan(self.values[column][image]))
            for column in entry.values.keys() & self.values.keys()
            for image, value in entry.values[column].items()
        )


@dataclass(frozen=True)
class Table:
    """Comparable rows: one per model, then the variants."""

    protocol: Protocol
    datasets: tuple[str, ...]
    """Names of the dataset in the runs."""
    images: int
    metrics: tuple[MetricFacts, ...]
    """Columns: one per metric and signature."""
    rows: tuple[IndexRow, ...]

    @property
    def title(self) -> str:
        """Dataset, scale, protocol and number of images in one line."""
        parts = [" = ".join(self.datasets), f"{self.protocol.scale}x", self.protocol.suite]
        parts += [f"central {self.protocol.crop} px"] if self.protocol.crop else []
        parts += [f"tiles of {self.protocol.tile} px"] if self.protocol.tile else []
        return ", ".join([*parts, number_of(self.images, "image")])


def tables_of(runs: Iterable[IndexedRun]) -> list[Table]:
    """Group runs into tables, sorted by dataset, scale and protocol.

    Runs share a table if the pixels of their images, scale, crop, tiles and protocol are equal, even if the names of
    their datasets differ. A model that several runs measured with equal values is one row.
    """
    groups: dict[tuple[object, ...], list[IndexedRun]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (-VERDICTS.index(run.state), run.name)):
        protocol = run.protocol
        settings = (protocol.scale, protocol.crop, protocol.tile, protocol.suite, protocol.quantize, protocol.columns)
        groups[run.pairs, *settings].append(run)
    tables = [_table(group, rows) for group in groups.values() if (rows := _rows(group))]
    return sorted(tables, key=lambda table: (table.datasets, table.protocol.scale, table.protocol.suite, table.images))


def _rows(group: Sequence[IndexedRun]) -> list[IndexRow]:
    """Return the rows of comparable runs; a label with several models, draws or values gets the name of the run."""
    rows: list[IndexRow] = []
    for run in group:
        for entry in run.entries:
            row = next((row for row in rows if run not in row.runs and row.agrees(entry)), None)
            if row is None:
                rows.append(IndexRow(entry, entry.model, entry.setting, dict(entry.values), [run]))
            else:
                row.runs.append(run)
                row.values |= entry.values
    repeated = {setting.model for setting, count in Counter(row.setting for row in rows).items() if count > 1}
    models = {(row.setting.model, row.model.digest, row.entry.draw) for row in rows}
    repeated |= {label for label, count in Counter(label for label, _, _ in models).items() if count > 1}
    for row in rows:
        if row.setting.model in repeated:
            label = f"{row.setting.model} @ {row.runs[0].name}"
            row.model = replace(row.model, label=label)
            row.setting = replace(row.setting, model=label)
    return rows


def _outputs(entry: Entry) -> tuple[object, ...]:
    """Return everything that determines the outputs of an entry, besides data, scale and tiles."""
    return entry.model.digest, entry.setting.temperature, entry.draw, entry.sources


def _table(group: Sequence[IndexedRun], rows: Sequence[IndexRow]) -> Table:
    """Make the table of comparable runs, and compute its means."""
    protocol, images = group[0].protocol, group[0].images
    measured = {column for row in rows for column in row.values}
    metrics = {column: metric for run in group for column, metric in run.metrics.items() if column in measured}
    suite = list(map(located, protocol.columns))
    metrics = dict(sorted(metrics.items(), key=lambda item: [*suite, item[1].spec].index(item[1].spec)))
    of_images = {column: metric for column, metric in metrics.items() if metric.per != "folder"}
    metrics = of_images | metrics
    missing = dict.fromkeys(("", *images), math.nan)
    models = families_of([row.setting for row in rows], [row.model for row in rows]).models
    for column, metric in metrics.items():
        by_image = [row.values.get(column, missing) for row in rows]
        means = [values.get("", math.nan) for values in by_image]
        best: list[int] = []
        if column in of_images:
            columns = [{image: values[image] for image in images} for values in by_image]
            means = list(map(mean_of_images, columns))
            best = best_rows({place: columns[place] for place in models}, metric).rows
        for place, (row, mean) in enumerate(zip(rows, means, strict=True)):
            row.competes = place in models
            row.means.append(Mean(mean, "" if math.isnan(mean) else printed(mean, metric), place in best))
    facts = tuple(metrics.values())
    datasets = tuple(sorted({run.protocol.dataset for run in group}))
    return Table(protocol, datasets, len(images), facts, tuple(sorted(rows, key=partial(_sort_key, facts))))


def _sort_key(metrics: Sequence[MetricFacts], row: IndexRow) -> tuple[bool, float]:
    """Sort key: best first by the leading metric of perception or else the first with a direction, variants last."""
    directed = [place for place, metric in enumerate(metrics) if metric.direction]
    leading = [place for place in directed if metrics[place].leads and metrics[place].group == "Perception"]
    for place in [*leading, *directed][:1]:
        mean = -metrics[place].direction * row.means[place].value
        return not row.competes, math.inf if math.isnan(mean) else mean
    return not row.competes, 0.0
