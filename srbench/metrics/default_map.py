"""Facts of LPIPS's map, which every report shows, available without loading the metric."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from srbench.interfaces import MapInfo, MetricInfo
from srbench.plugins.code_digest import package_digest

LPIPS_MAP = MapInfo("distance to HR at every pixel", upper=0.6, smallest_side=64)


def mapped(metrics: Iterable[MetricInfo]) -> list[MetricInfo]:
    """Return the metrics whose maps a report shows: LPIPS, measured or not, and every metric with a map."""
    digest = package_digest("srbench.metrics.perceptual")
    lpips = MetricInfo(name="lpips", title="LPIPS", direction=-1, protocol="", spec="lpips", digest=digest)
    by_name = {"lpips": lpips} | {metric.name: metric for metric in metrics if metric.map or metric.spec == lpips.spec}
    return [replace(metric, map=metric.map or LPIPS_MAP) for metric in by_name.values()]
