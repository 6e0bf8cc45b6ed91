"""What a page shows at first: the two leading models, on the image and in the window where they differ most."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from srbench.interfaces import MetricFacts
from srbench.reporting import ReportError
from srbench.reporting.examples import open_example
from srbench.reporting.merge import Measurements
from srbench.reporting.scores import Scores
from srbench.reporting.strips import difference_window
from srbench.run_folder.results import Row


@dataclass(frozen=True)
class Opening:
    """An image, two lines of the table, and a window of the image."""

    image: str
    a: int
    """Line of the runner-up."""
    b: int
    """Line of the leader."""
    x: float
    """Centre of the window, as a share of the width."""
    y: float
    zoom: float
    """How much smaller the window is than the image."""


def opening(measurements: Measurements, scores: Scores) -> Opening | None:
    """The opening of a page; None where no two models have kept images.

    They lead in LPIPS, or in the first metric that has a direction.
    """
    leaders = _leaders(measurements, scores)
    if leaders is None or not leaders.gaps:
        return None
    image = next(iter(leaders.gaps))
    try:
        example = open_example(measurements, image, [leaders.kept[line][image] for line in (leaders.a, leaders.b)])
    except ReportError:
        return None  # the page shows what there is
    window = difference_window([output.image(0) for output in example.outputs], example.scale)
    height, width = example.hr.shape[:2]
    x, y = (window.x + window.width / 2) / width, (window.y + window.height / 2) / height
    return Opening(image, leaders.a, leaders.b, x, y, min(width, height) / window.width)


def most_different(measurements: Measurements, scores: Scores) -> list[str]:
    """The images that both leading models have, where they differ most first."""
    leaders = _leaders(measurements, scores)
    return [] if leaders is None else list(leaders.gaps)


@dataclass(frozen=True)
class _Leaders:
    a: int
    """Line of the runner-up."""
    b: int
    kept: list[dict[str, Row]]
    gaps: dict[str, float]
    """By image how much their values differ, the largest first."""


def _leaders(measurements: Measurements, scores: Scores) -> _Leaders | None:
    directed = [metric for metric in scores.metrics if metric.direction]
    leading = [one for one in directed if one.leads and one.group == "Perception"]
    metric = next(iter(leading + directed), None)
    kept = _kept_rows(measurements)
    if metric is None or len(found := _leading(scores, metric, kept)) < 2:
        return None
    b, a = found[:2]
    gaps = {
        image: abs(_mean(kept[a][image], metric) - _mean(kept[b][image], metric))
        for image in kept[a]
        if image in kept[b]
    }
    order = sorted((image for image in gaps if math.isfinite(gaps[image])), key=lambda image: -gaps[image])
    return _Leaders(a, b, kept, {image: gaps[image] for image in order})


def _kept_rows(measurements: Measurements) -> list[dict[str, Row]]:
    """For every line of the table the rows whose images are kept, by image."""
    lines: dict[tuple[str, float | None], dict[str, Row]] = {}
    for row in measurements.rows:
        line = lines.setdefault((row.model, row.temperature), {})
        if measurements.pair(row.image) and measurements.outputs(row):
            line[row.image] = row
    return list(lines.values())


def _leading(scores: Scores, metric: MetricFacts, kept: list[dict[str, Row]]) -> list[int]:
    """The best line of every model that has kept images, best first."""
    cells = scores.column(metric.name)
    there = [line for line, cell in enumerate(cells) if math.isfinite(cell.mean) and kept[line]]
    there.sort(key=lambda line: -metric.direction * cells[line].mean)
    best: dict[str, int] = {}
    for line in there:
        best.setdefault(scores.lines[line].model, line)
    return list(best.values())


def _mean(row: Row, metric: MetricFacts) -> float:
    return float(np.mean(row.values.get(metric.name, math.nan)))
