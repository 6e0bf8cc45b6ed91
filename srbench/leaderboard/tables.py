"""Tables of a leaderboard: rows of equal data, scale, protocol and signatures, and never of others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from srbench.benchmark.findings import TOLERANCE
from srbench.interfaces import MetricFacts, ModelFacts
from srbench.leaderboard.paired import better_of
from srbench.leaderboard.summary import Entry, Standing, Summary
from srbench.reporting.families import Families, families_of
from srbench.run_folder.protocol import Protocol, Setting
from srbench.words import number_of

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """A run that may be ranked."""

    name: str
    """Path as the leaderboard shows it."""
    summary: Summary
    standing: Standing
    report: str = ""
    """File name of its report; empty if it has none."""

    def link(self) -> str:
        """Address of its report from the folder of the leaderboard."""
        return f"{quote(self.name)}/{self.report}"


@dataclass(frozen=True)
class Row:
    """A model at one temperature, with all runs that measured it."""

    identity: str
    """SHA-256 of all that determines its outputs besides data, scale and tiles."""
    setting: Setting
    """Model and temperature; the label names a run too where one label stands for several models."""
    model: ModelFacts
    draw: tuple[int, int] | None
    """Number of samples and seed of a model that samples."""
    runs: tuple[Run, ...]
    """Runs in which it was found, verified ones first."""
    values: dict[str, Values]
    """Values by metric: one per image of the table, NaN where it is missing."""
    names_draw: bool = False

    @property
    def label(self) -> str:
        """Model and temperature for a reader, and how it was sampled if rows differ in that alone."""
        if not self.names_draw or self.draw is None:
            return self.setting.label
        return f"{self.setting.label} ({number_of(self.draw[0], 'sample')}, seed {self.draw[1]})"


@dataclass(frozen=True)
class Contradiction:
    """A model with two values of one thing, which is ranked nowhere in its table."""

    label: str
    metric: str
    image: str
    runs: tuple[str, str]
    values: tuple[float, float]

    def __str__(self) -> str:
        """One line: ``srflow τ=0.8: PSNR of a is 20.1 in x and 20.3 in y``."""
        (here, there), (one, other) = self.runs, self.values
        return f"{self.label}: {self.metric} of {self.image} is {one:.6g} in {here} and {other:.6g} in {there}"


@dataclass(frozen=True)
class Table:
    """Comparable rows: those of ``families.models`` compete, the others are variants of them."""

    protocol: Protocol
    data: str
    """SHA-256 of the names and pixels of its images."""
    datasets: tuple[str, ...]
    """Names under which the runs have these images."""
    images: tuple[str, ...]
    metrics: tuple[MetricFacts, ...]
    """Columns that any row has; equal signatures only."""
    rows: tuple[Row, ...]
    contradictions: tuple[Contradiction, ...]
    incomplete: tuple[tuple[str, str, int], ...]
    """Rows that lack images: label, run and number of images with any value."""

    @property
    def title(self) -> str:
        """Data, scale, protocol and number of images in one line."""
        parts = [" = ".join(self.datasets), f"{self.protocol.scale}x", self.protocol.suite]
        parts += [f"central {self.protocol.crop} px"] if self.protocol.crop else []
        parts += [f"tiles of {self.protocol.tile} px"] if self.protocol.tile else []
        return ", ".join([*parts, number_of(len(self.images), "image")])

    @cached_property
    def families(self) -> Families:
        """Rows that compete, and variants."""
        return families_of([row.setting for row in self.rows], [row.model for row in self.rows])

    def column(self, metric: MetricFacts) -> dict[int, Values]:
        """Values of the competing rows that have a finite one for every image, by place of the row."""
        found = {place: self.rows[place].values.get(metric.name) for place in self.families.models}
        return {place: one for place, one in found.items() if one is not None and np.isfinite(one).all()}

    @cached_property
    def rankings(self) -> dict[str, tuple[tuple[int, ...], NDArray[np.int64]]]:
        """Places of the ranked rows, and which is better than which, by metric, of those that have a direction."""
        columns = [(metric, self.column(metric)) for metric in self.metrics if metric.direction]
        return {one.name: (tuple(column), better_of([*column.values()], one)) for one, column in columns if column}

    def mean(self, row: Row, metric: MetricFacts) -> float:
        """Mean over all images; NaN if a value is missing, infinite if one is."""
        values = row.values.get(metric.name)
        return float("nan") if values is None else float(np.mean(values))


@dataclass
class _Group:
    """Entries of one table by identity, as they are found."""

    runs: list[Run] = field(default_factory=list)
    entries: dict[str, list[tuple[Run, Entry]]] = field(default_factory=dict)


def tables_of(runs: Iterable[Run]) -> list[Table]:
    """Tables of some runs, whatever their order: by dataset, scale and suite."""
    by_protocol: dict[tuple[object, ...], list[Run]] = {}
    for run in sorted(runs, key=lambda one: one.name):
        by_protocol.setdefault(_key(run.summary), []).append(run)
    tables = []
    for found in by_protocol.values():
        ambiguous = _ambiguous(found)
        groups: dict[tuple[str, ...], _Group] = {}
        for run in found:
            signatures = {metric.name: _signature(metric) for metric in run.summary.metrics}
            group = groups.setdefault(tuple(signatures.get(name, "") for name in ambiguous), _Group())
            group.runs.append(run)
            for entry in run.summary.entries:
                group.entries.setdefault(entry.identity, []).append((run, entry))
        tables += [_table(group) for group in groups.values()]
    return sorted(tables, key=lambda one: (one.datasets, one.protocol.scale, one.protocol.suite, one.data))


def _key(summary: Summary) -> tuple[object, ...]:
    """All that runs of one table share, besides signatures. Names of datasets say nothing: their pixels do."""
    protocol = summary.manifest.protocol
    how = (protocol.suite, protocol.quantize, protocol.columns)
    return summary.data, protocol.scale, protocol.crop, protocol.tile, *how


def _ambiguous(runs: Sequence[Run]) -> list[str]:
    """Names of the metrics that have several signatures in some runs."""
    signatures: dict[str, set[str]] = {}
    for run in runs:
        for metric in run.summary.metrics:
            signatures.setdefault(metric.name, set()).add(_signature(metric))
    return sorted(name for name, found in signatures.items() if len(found) > 1)


def _signature(metric: MetricFacts) -> str:
    return f"{metric.signature} {metric.direction}"


def _table(group: _Group) -> Table:
    first = group.runs[0].summary
    metrics = {metric.name: metric for run in reversed(group.runs) for metric in run.summary.metrics}
    suite = [*first.manifest.protocol.columns]
    columns = sorted(metrics.values(), key=lambda one: suite.index(one.spec) if one.spec in suite else len(suite))
    rows, contradictions, incomplete = [], [], []
    labels = _labels(group)
    for identity, found in group.entries.items():
        label = labels[found[0][1].model.digest]
        values, contradiction = _joined(label, found, columns, first.images)
        if contradiction is not None:
            contradictions.append(contradiction)
            continue
        run, entry = found[0]
        there = (~np.isnan([*values.values()])).any(axis=0) if values else np.zeros(len(first.images), dtype=bool)
        if not there.all():
            incomplete.append((Setting(label, entry.setting.temperature).label, run.name, int(there.sum())))
            continue
        own = sorted({run.name: run for run, _ in found}.values(), key=lambda run: run.standing.state != "verified")
        setting = Setting(label, entry.setting.temperature)
        rows.append(Row(identity, setting, replace(entry.model, label=label), entry.draw, tuple(own), values))
    count = Counter(row.setting for row in rows)
    rows = [replace(row, names_draw=count[row.setting] > 1) for row in rows]
    return Table(
        first.manifest.protocol,
        first.data,
        tuple(sorted({run.summary.manifest.protocol.dataset for run in group.runs})),
        first.images,
        tuple(columns),
        tuple(rows),
        tuple(contradictions),
        tuple(incomplete),
    )


def _labels(group: _Group) -> dict[str, str]:
    """Labels of the models by digest: that of the first run, and its name too if the label stands for several."""
    first: dict[str, tuple[str, str]] = {}
    for found in group.entries.values():
        for run, entry in found:
            here = (run.name, entry.model.label)
            first[entry.model.digest] = min(first.get(entry.model.digest, here), here)
    used = Counter(label for _, label in first.values())
    return {one: f"{label} @ {run}" if used[label] > 1 else label for one, (run, label) in first.items()}


def _joined(
    label: str, found: Sequence[tuple[Run, Entry]], metrics: Sequence[MetricFacts], images: Sequence[str]
) -> tuple[dict[str, Values], Contradiction | None]:
    """Values of a model from all its runs by metric, or the first two that differ by more than rounding."""
    joined: dict[str, Values] = {}
    sources: dict[str, list[str]] = {}
    for run, entry in found:
        for metric in metrics:
            if metric.name not in entry.values:
                continue
            new = np.frombuffer(entry.values[metric.name])
            known = joined.get(metric.name)
            if known is None:
                joined[metric.name], sources[metric.name] = new, [run.name] * len(new)
                continue
            differing = np.flatnonzero(_differ(known, new))
            if len(differing):
                place = int(differing[0])
                setting = Setting(label, entry.setting.temperature)
                runs, values = (sources[metric.name][place], run.name), (float(known[place]), float(new[place]))
                return {}, Contradiction(setting.label, metric.title, images[place], runs, values)
            added = np.isnan(known) & ~np.isnan(new)
            joined[metric.name] = np.where(added, new, known)
            sources[metric.name] = [
                run.name if is_new else one for one, is_new in zip(sources[metric.name], added, strict=True)
            ]
    return joined, None


def _differ(one: Values, other: Values) -> NDArray[np.bool_]:
    """True where two values are there and differ by more than ``srbench verify`` allows."""
    with np.errstate(invalid="ignore"):
        allowed = np.maximum(TOLERANCE * np.maximum(np.abs(one), np.abs(other)), TOLERANCE)
        apart = ~((one == other) | (np.abs(one - other) < allowed))  # inf is not less than inf
    differing: NDArray[np.bool_] = apart & ~np.isnan(one) & ~np.isnan(other)
    return differing
