"""Ranks from paired tests, the groups that they do not tell apart, and an order over several datasets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from srbench.interfaces import MetricFacts
from srbench.leaderboard.tables import Row, Table

RANKS = (
    "A rank is one more than the number of models that are better by a paired permutation test over the images, after "
    "Holm's correction for all pairs of a table; rows that share a letter are not distinguishable."
)
BORDA = (
    "Borda count: a model has one point for every other that it beats on a dataset by the paired tests, and half a "
    "point for every undecided pair; only models that are ranked on all of these datasets count."
)


def cliques(better: NDArray[np.int64], order: Sequence[int]) -> list[list[int]]:
    """Groups of rows in which no two are distinguishable, as critical-difference diagrams draw them.

    Two rows share a group if and only if they are not distinguishable. Groups are the largest that grow from the first
    pair that none holds yet, in ``order``; a row that differs from all others is a group of its own.
    """
    alike = better == 0
    together = np.zeros_like(alike)
    found: list[list[int]] = []
    for number, row in enumerate(order):
        for other in [*order[number + 1 :], row]:
            if together[row, other] or not alike[row, other]:
                continue
            group = list(dict.fromkeys([row, other]))
            for one in order:
                if one not in group and alike[one, group].all():
                    group.append(one)
            together[np.ix_(group, group)] = True
            found.append(group)
    return found


def letters(groups: Sequence[Sequence[int]], rows: int) -> list[str]:
    """Letters of the groups of every row: ``a``, ``ab``, ``b``; ``a1`` and so on after z."""
    names = [chr(ord("a") + number % 26) + (str(number // 26) if number >= 26 else "") for number in range(len(groups))]
    return ["".join(name for name, group in zip(names, groups, strict=True) if row in group) for row in range(rows)]


@dataclass(frozen=True)
class Order:
    """Order of models over several datasets, by one metric."""

    tables: tuple[Table, ...]
    metric: MetricFacts
    rows: tuple[Row, ...]
    """Rows of the first table, most points first."""
    points: tuple[float, ...]

    @property
    def ranks(self) -> list[int]:
        """Ranks; equal points share one."""
        return [1 + sum(other > own for other in self.points) for own in self.points]


def orders_of(tables: Iterable[Table]) -> list[Order]:
    """Orders of the models that several datasets of one scale and protocol share, by metric."""
    groups: dict[tuple[object, ...], list[Table]] = {}
    for table in sorted(tables, key=lambda one: (len(one.rows), len(one.images)), reverse=True):
        protocol = table.protocol
        key = (protocol.scale, protocol.suite, protocol.quantize, protocol.columns, protocol.crop, protocol.tile)
        same = groups.setdefault(key, [])
        if not any(set(table.datasets) & set(one.datasets) for one in same):  # parts of a dataset do not count twice
            same.append(table)
    orders = []
    for same in groups.values():
        columns: dict[tuple[str, str, int], list[Table]] = {}
        for table in sorted(same, key=lambda one: one.datasets):
            for metric in table.metrics:
                if metric.name in table.rankings:
                    columns.setdefault((metric.name, metric.signature, metric.direction), []).append(table)
        for (name, _, _), having in columns.items():
            metric = next(one for one in having[0].metrics if one.name == name)
            orders += _order(having, metric)
    return orders


def _order(tables: Sequence[Table], metric: MetricFacts) -> list[Order]:
    ranked = [
        {table.rows[place].identity: at for at, place in enumerate(table.rankings[metric.name][0])} for table in tables
    ]
    if len(ranked) < 2:
        return []
    common = [identity for identity in ranked[0] if all(identity in one for one in ranked)]
    if len(common) < 2:
        return []
    points = np.zeros(len(common))
    for table, places in zip(tables, ranked, strict=True):
        at = [places[identity] for identity in common]
        better = table.rankings[metric.name][1][np.ix_(at, at)]
        points += (better > 0).sum(axis=1) + ((better == 0).sum(axis=1) - 1) / 2
    rows = {row.identity: row for row in tables[0].rows}
    order = sorted(range(len(common)), key=lambda place: -points[place])
    return [
        Order(
            tuple(tables), metric, tuple(rows[common[one]] for one in order), tuple(float(points[one]) for one in order)
        )
    ]
