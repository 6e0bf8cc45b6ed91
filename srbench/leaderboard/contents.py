"""Contents of a leaderboard: what index.json holds, and what the page, the Markdown and the CSV are made of."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srbench.interfaces import MetricFacts, Progress, SRBenchError, Step, silent
from srbench.leaderboard.order import Order, cliques, letters, orders_of
from srbench.leaderboard.summary import Fault, standing_of, summary_of
from srbench.leaderboard.tables import Row, Run, Table, tables_of
from srbench.reporting.published import PublishedLine, published_rows, read_tables
from srbench.reporting.scores import printed
from srbench.words import one_line, printable


@dataclass(frozen=True)
class Cell:
    """One metric of one row."""

    mean: float
    """NaN if a value is missing."""
    text: str
    rank: int | None = None
    group: str = ""
    """Letters of the groups that the paired tests do not tell apart."""


@dataclass(frozen=True)
class Place:
    """A row of a table with its cells."""

    row: Row
    competes: bool
    cells: tuple[Cell, ...]

    @property
    def state(self) -> str:
        """``verified`` if any of its runs is."""
        return self.row.runs[0].standing.state


@dataclass(frozen=True)
class Standings:
    """A table with its rows in order: those that compete, then their variants."""

    table: Table
    sorted_by: str
    """Title of the metric that rows are sorted by; empty if none has a direction."""
    places: tuple[Place, ...]
    published: tuple[PublishedLine, ...] = ()
    notes: tuple[str, ...] = ()
    """Sources of the published rows, and why others are not shown."""

    @property
    def runs(self) -> list[tuple[Run, list[str]]]:
        """Runs of the table, each with the labels of its rows."""
        found: dict[str, tuple[Run, list[str]]] = {}
        for place in self.places:
            for run in place.row.runs:
                found.setdefault(run.name, (run, []))[1].append(place.row.label)
        return list(found.values())


@dataclass(frozen=True)
class Index:
    """All runs below some folders."""

    standings: tuple[Standings, ...]
    orders: tuple[Order, ...]
    apart: tuple[Fault, ...]
    """Runs that are not ranked."""
    runs: tuple[Run, ...]
    """Runs that may be ranked."""


def make_index(names: Mapping[Path, str], progress: Progress = silent) -> Index:
    """Read runs, given by their paths with the names that a leaderboard shows."""
    runs, apart = [], []
    for done, (path, shown) in enumerate(names.items()):
        name = printable(shown)
        progress(Step(done, len(names), name))
        try:
            summary = summary_of(path)
        except (SRBenchError, OSError) as error:
            apart.append(Fault(name, "", one_line(error).replace(str(path), name)))
            continue
        standing = standing_of(path, summary)
        if standing.state == "contradicted":
            apart.append(Fault(name, standing.rule, standing.words))
        else:
            report = next((file for file in ("report/report.html", "report/report.md") if (path / file).is_file()), "")
            runs.append(Run(name, summary, standing, report))
    progress(Step(len(names), len(names), "paired tests"))
    tables = tables_of(runs)
    return Index(tuple(map(_standings, tables)), tuple(orders_of(tables)), tuple(apart), tuple(runs))


def _standings(table: Table) -> Standings:
    first = _first(table)
    cells: list[list[Cell]] = [[] for _ in table.rows]
    for metric in table.metrics:
        for row, cell in zip(cells, _column(table, metric), strict=True):
            row.append(cell)
    competing = set(table.families.models)
    places = [Place(row, number in competing, tuple(cells[number])) for number, row in enumerate(table.rows)]
    at = [metric.name for metric in table.metrics].index(first.name) if first else 0
    places.sort(key=lambda place: (not place.competes, _key(place.cells[at], first) if first else 0, place.row.label))
    manifest = table.rows[0].runs[0].summary.manifest if table.rows else None
    published = published_rows(manifest, table.metrics, read_tables()) if manifest else None
    lines, notes = (published.lines, published.notes) if published and published.lines else ((), ())
    return Standings(table, first.title if first else "", tuple(places), lines, notes)


def _first(table: Table) -> MetricFacts | None:
    """Metric that rows are sorted by: the leading one of perception, else the first that has a direction."""
    directed = [metric for metric in table.metrics if metric.name in table.rankings]
    leading = [metric for metric in directed if metric.leads and metric.group == "Perception"]
    return next(iter([*leading, *directed]), None)


def _key(cell: Cell, metric: MetricFacts) -> tuple[float, float]:
    """Rank, then mean; what is not ranked comes last."""
    mean = -metric.direction * cell.mean
    return cell.rank or math.inf, math.inf if math.isnan(mean) else mean


def _column(table: Table, metric: MetricFacts) -> list[Cell]:
    """Cells of a metric for all rows."""
    places, better = table.rankings.get(metric.name, ((), None))
    positions: dict[int, tuple[int, str]] = {}
    if better is not None and len(places) > 1:
        means = [table.mean(table.rows[place], metric) for place in places]
        order = sorted(range(len(places)), key=lambda one: -metric.direction * means[one])
        groups = letters(cliques(better, order), len(places))
        ranks = [1 + int((row < 0).sum()) for row in better]  # one more than the number of better rows
        positions = dict(zip(places, zip(ranks, groups, strict=True), strict=True))
    cells = []
    for number, row in enumerate(table.rows):
        mean = table.mean(row, metric)
        rank, group = positions.get(number, (None, ""))
        cells.append(Cell(mean, "" if math.isnan(mean) else printed(mean, metric), rank, group))
    return cells


def facts_of(index: Index) -> dict[str, Any]:
    """Contents of index.json: numbers as they are, a text such as ``inf`` where JSON has none."""
    return {
        "tables": [_table_facts(one) for one in index.standings],
        "orders": [
            {
                "datasets": [list(table.datasets) for table in order.tables],
                "scale": order.tables[0].protocol.scale,
                "suite": order.tables[0].protocol.suite,
                "metric": order.metric.name,
                "signature": order.metric.signature,
                "rows": [
                    {"label": row.label, "points": points, "rank": rank}
                    for row, points, rank in zip(order.rows, order.points, order.ranks, strict=True)
                ],
            }
            for order in index.orders
        ],
        "apart": [vars(one) for one in index.apart],
        "runs": {run.name: vars(run.standing) for run in index.runs},
    }


def _table_facts(one: Standings) -> dict[str, Any]:
    table = one.table
    columns = [
        {"name": metric.name, "title": metric.title, "signature": metric.signature, "direction": metric.direction}
        for metric in table.metrics
    ]
    return {
        "datasets": list(table.datasets),
        "data": table.data,
        "images": len(table.images),
        "scale": table.protocol.scale,
        "suite": table.protocol.suite,
        "crop": table.protocol.crop,
        "tile": table.protocol.tile,
        "sorted_by": one.sorted_by,
        "columns": columns,
        "rows": [
            {
                "label": place.row.label,
                "competes": place.competes,
                "state": place.state,
                "digest": place.row.model.digest,
                "draw": place.row.draw,
                "runs": [run.name for run in place.row.runs],
                "cells": {
                    metric.name: _cell_facts(cell)
                    for metric, cell in zip(table.metrics, place.cells, strict=True)
                    if not math.isnan(cell.mean)
                },
            }
            for place in one.places
        ],
        "published": [
            {
                "label": line.label,
                "source": line.source,
                "cells": {name: cell.text for name, cell in line.cells.items() if not cell.why and cell.text != "–"},
            }
            for line in one.published
        ],
        "contradictions": [str(found) for found in table.contradictions],
        "incomplete": [{"label": label, "run": run, "images": count} for label, run, count in table.incomplete],
    }


def _cell_facts(cell: Cell) -> dict[str, Any]:
    mean = cell.mean if math.isfinite(cell.mean) else str(cell.mean)
    return {"mean": mean, "rank": cell.rank, "group": cell.group}
