"""Facts of the map of LPIPS, which every report shows, known without loading the metric."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from srbench.interfaces import MapFacts, MetricFacts
from srbench.plugins.code_digest import package_digest

LPIPS_MAP = MapFacts("distance to HR at every pixel", upper=0.6, smallest_side=64)


def mapped(metrics: Iterable[MetricFacts]) -> list[MetricFacts]:
    """The metrics whose maps a report shows: LPIPS, measured or not, and all others that have one."""
    digest = package_digest("srbench.metrics.perceptual")
    lpips = MetricFacts(name="lpips", title="LPIPS", direction=-1, protocol="", spec="lpips", digest=digest)
    found = {"lpips": lpips} | {one.name: one for one in metrics if one.map or one.spec == lpips.spec}
    return [replace(one, map=one.map or LPIPS_MAP) for one in found.values()]
