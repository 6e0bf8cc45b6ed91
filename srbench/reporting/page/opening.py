"""First view of a page: the two leading models, on the image and in the window where they differ most."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from srbench.reporting import ReportError
from srbench.reporting.examples import Example
from srbench.reporting.measurements import Measurements, mean_of
from srbench.reporting.scores import Scores
from srbench.reporting.strips import difference_window
from srbench.run_folder.results import Row


@dataclass(frozen=True)
class Leaders:
    """The two leading models that have kept images."""

    a: int
    """Line of the runner-up."""
    b: int
    """Line of the leader."""
    rows: dict[str, tuple[Row, Row]]
    """Their rows by image, the image with the largest difference first."""


def leaders(measurements: Measurements, scores: Scores) -> Leaders | None:
    """Leaders in perception, or else in the first metric that has a direction; None without two of them."""
    directed = [metric for metric in scores.metrics if metric.direction]
    leading = [one for one in directed if one.leads and one.group == "Perception"]
    metric = next(iter(leading + directed), None)
    if metric is None:
        return None
    kept = [
        {row.image: row for row in rows if measurements.pair(row.image) and measurements.outputs(row)}
        for _, rows in groupby(measurements.rows, key=lambda row: row.setting)
    ]
    cells = scores.column(metric.name)
    there = [line for line, cell in enumerate(cells) if math.isfinite(cell.mean) and kept[line]]
    there.sort(key=lambda line: -metric.direction * cells[line].mean)
    best: dict[str, int] = {}
    for line in there:
        best.setdefault(scores.lines[line].setting.model, line)
    if len(best) < 2:
        return None
    b, a = list(best.values())[:2]
    rows = {image: (row, kept[b][image]) for image, row in kept[a].items() if image in kept[b]}
    gaps = {image: abs(mean_of(one, metric) - mean_of(other, metric)) for image, (one, other) in rows.items()}
    order = sorted((image for image in gaps if math.isfinite(gaps[image])), key=lambda image: -gaps[image])
    return Leaders(a, b, {image: rows[image] for image in order})


def opening(measurements: Measurements, found: Leaders) -> dict[str, Any] | None:
    """Opening of a page, for its scripts; None if the leaders share no image.

    It holds the image, both lines of the table, the centre of the window as shares of width and height, and the zoom.
    """
    if not found.rows:
        return None
    image, rows = next(iter(found.rows.items()))
    try:
        example = Example(measurements, image, rows)
    except ReportError:
        return None  # the page shows what there is
    window = difference_window([example.image(row) for row in rows], example.scale)
    height, width = example.hr.shape[:2]
    x, y = (window.x + window.width / 2) / width, (window.y + window.height / 2) / height
    zoom = min(width, height) / window.width
    return {"image": image, "a": found.a, "b": found.b, "x": x, "y": y, "zoom": zoom}
