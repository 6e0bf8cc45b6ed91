"""Tables of an index: rows of equal images, scale and protocol, with the marks of a report."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from srbench.index.runs import Entry, Run, State
from srbench.interfaces import MetricFacts, ModelFacts
from srbench.reporting.families import families_of
from srbench.reporting.ranking import best_rows
from srbench.reporting.scores import printed
from srbench.run_folder.protocol import Protocol, Setting
from srbench.run_folder.results import ResultTable
from srbench.words import number_of

TOLERANCE = 1e-5
"""Largest relative difference of two values of one model in two runs: what processors and libraries change."""


@dataclass(frozen=True)
class Cell:
    """One metric of one row."""

    mean: float
    """Mean over the images, as in a report; NaN if it was not measured on all of them."""
    text: str
    is_best: bool
    """True for the best of the competing rows, and for those that are not significantly worse."""


@dataclass(frozen=True)
class Row:
    """A model at one temperature, and the runs that measured it: verified ones first."""

    setting: Setting
    model: ModelFacts
    draw: tuple[int, int] | None
    runs: tuple[Run, ...]
    competes: bool
    cells: tuple[Cell, ...]
    """One for every metric of the table."""

    @property
    def state(self) -> State:
        """``verified`` if any of the runs is."""
        return self.runs[0].state


@dataclass(frozen=True)
class Table:
    """Rows that can be compared: those by which models compete, then their variants."""

    protocol: Protocol
    datasets: tuple[str, ...]
    """Names under which the runs have these images."""
    images: int
    metrics: tuple[MetricFacts, ...]
    """Columns; a metric with several signatures has one for each."""
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        """Dataset, scale, protocol and number of images in one line."""
        parts = [" = ".join(self.datasets), f"{self.protocol.scale}x", self.protocol.suite]
        parts += [f"central {self.protocol.crop} px"] if self.protocol.crop else []
        parts += [f"tiles of {self.protocol.tile} px"] if self.protocol.tile else []
        return ", ".join([*parts, number_of(self.images, "image")])


@dataclass
class _Joined:
    """A model at one temperature, with its values from all runs that agree."""

    model: ModelFacts
    setting: Setting
    draw: tuple[int, int] | None
    runs: list[Run]
    values: dict[str, dict[str, float]]

    def agrees(self, entry: Entry) -> bool:
        """True if an entry is of the same model and draw, and no value of it differs from those that are here."""
        same = (self.model.digest, self.setting.temperature, self.draw)
        return same == (entry.model.digest, entry.setting.temperature, entry.draw) and all(
            math.isclose(value, self.values[column][image], rel_tol=TOLERANCE, abs_tol=TOLERANCE)
            or (math.isnan(value) and math.isnan(self.values[column][image]))
            for column in entry.values.keys() & self.values.keys()
            for image, value in entry.values[column].items()
        )


def tables_of(runs: Iterable[Run]) -> list[Table]:
    """Tables of some runs, sorted by dataset, scale and protocol.

    Runs share a table if the pixels of their images, scale, crop, tiles and protocol are equal; the name of a dataset
    does not count. A model that several runs measured with equal values is one row.
    """
    groups: dict[tuple[object, ...], list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run.state != "verified", run.name)):
        protocol = run.protocol
        how = (protocol.scale, protocol.crop, protocol.tile, protocol.suite, protocol.quantize, protocol.columns)
        groups[run.pairs, *how].append(run)
    tables = [_table(group) for group in groups.values() if any(entry.values for run in group for entry in run.entries)]
    return sorted(tables, key=lambda table: (table.datasets, table.protocol.scale, table.protocol.suite, table.images))


def _table(group: Sequence[Run]) -> Table:
    protocol, images = group[0].protocol, group[0].images
    rows = _unambiguous(_joined(group))
    measured = {column for row in rows for column in row.values}
    metrics = {column: metric for run in group for column, metric in run.metrics.items() if column in measured}
    suite = [*protocol.columns]
    metrics = dict(sorted(metrics.items(), key=lambda one: [*suite, one[1].spec].index(one[1].spec)))
    missing = dict.fromkeys(images, math.nan)
    results = ResultTable.from_values(
        (
            (str(place), None, image, {column: row.values.get(column, missing)[image] for column in metrics})
            for place, row in enumerate(rows)
            for image in images
        ),
        tuple(metrics),
    )
    families = families_of([row.setting for row in rows], [row.model for row in rows])
    means = results.means()
    columns = []
    for column, metric in metrics.items():
        values = results.columns(column)
        best = best_rows({place: values[place] for place in families.models}, metric).rows
        texts = ["" if math.isnan(mean) else printed(mean, metric) for mean in means[column]]
        columns.append([Cell(mean, texts[place], place in best) for place, mean in enumerate(means[column])])
    made = [
        Row(row.setting, row.model, row.draw, tuple(row.runs), place in families.models, cells)
        for place, (row, cells) in enumerate(zip(rows, zip(*columns, strict=True), strict=True))
    ]
    facts = tuple(metrics.values())
    made.sort(key=partial(_sort_key, facts))
    return Table(protocol, tuple(sorted({run.protocol.dataset for run in group})), len(images), facts, tuple(made))


def _sort_key(metrics: Sequence[MetricFacts], row: Row) -> tuple[bool, float]:
    """Variants last; the best mean first, by the leading metric of perception or else the first with a direction."""
    directed = [place for place, metric in enumerate(metrics) if metric.direction]
    leading = [place for place in directed if metrics[place].leads and metrics[place].group == "Perception"]
    for place in [*leading, *directed][:1]:
        mean = -metrics[place].direction * row.cells[place].mean
        return not row.competes, math.inf if math.isnan(mean) else mean
    return not row.competes, 0.0


def _joined(group: Sequence[Run]) -> list[_Joined]:
    """Rows of comparable runs."""
    rows: list[_Joined] = []
    for run in group:
        for entry in run.entries:
            if not entry.values:
                continue
            row = next((row for row in rows if row.agrees(entry)), None)
            if row is None:
                rows.append(_Joined(entry.model, entry.setting, entry.draw, [run], dict(entry.values)))
            elif run not in row.runs:
                row.runs.append(run)
                row.values |= entry.values
    return rows


def _unambiguous(rows: Sequence[_Joined]) -> list[_Joined]:
    """Rows in which a label that stands for several models or draws carries the name of its first run."""
    sources: dict[str, set[tuple[object, ...]]] = defaultdict(set)
    settings: dict[str, list[float | None]] = defaultdict(list)
    for row in rows:
        sources[row.setting.model].add((row.model.digest, row.draw))
        settings[row.setting.model].append(row.setting.temperature)
    unambiguous = []
    for row in rows:
        label = row.setting.model
        if len(sources[label]) > 1 or len(set(settings[label])) < len(settings[label]):
            label = f"{label} @ {row.runs[0].name}"
        unambiguous.append(
            replace(row, model=replace(row.model, label=label), setting=replace(row.setting, model=label))
        )
    return unambiguous
