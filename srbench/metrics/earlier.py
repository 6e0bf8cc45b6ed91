"""Facts known without loading a metric: of the map of every report, and of metrics in earlier run folders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from srbench.interfaces import Group, MapFacts, MetricFacts
from srbench.plugins.code_digest import package_digest

_GROUPS: dict[Group, tuple[str, ...]] = {
    "Distortion": ("psnr", "ssim"),
    "Perception": ("lpips", "niqe", "brisque", "pique"),
    "Consistency": ("lr_psnr",),
    "Diversity": ("sigma",),
    "Cost": ("parameters", "gflops", "memory", "seconds"),
}
_OF_ALL_SAMPLES = ("sigma", "diversity", "lr_psnr_worst")
_LEADING = ("psnr", "lpips", "lr_psnr")
LPIPS_MAP = MapFacts("distance to HR at every pixel", upper=0.6, smallest_side=64)


def mapped(metrics: Iterable[MetricFacts]) -> list[MetricFacts]:
    """The metrics whose maps a report shows: LPIPS, measured or not, and all others that have one."""
    digest = package_digest("srbench.metrics.perceptual")
    lpips = MetricFacts(name="lpips", title="LPIPS", direction=-1, protocol="", spec="lpips", digest=digest)
    found = {"lpips": lpips} | {one.name: one for one in metrics if one.map or one.spec == lpips.spec}
    return [replace(one, map=one.map or LPIPS_MAP) for one in found.values()]


def with_group(metric: dict[str, Any]) -> dict[str, Any]:
    """A metric of a manifest, with group and direction by its name where it states only ``higher_is_better``."""
    if "higher_is_better" not in metric:
        return metric
    facts = dict(metric)
    is_up, name = facts.pop("higher_is_better"), facts["name"]
    group = next((group for group, names in _GROUPS.items() if name in names), "Other")
    direction = 0 if group in ("Diversity", "Cost") else 1 if is_up else -1
    return facts | {"group": group, "direction": direction, "leads": name in _LEADING}


def with_samples(metric: dict[str, Any], samples: int) -> dict[str, Any]:
    """A metric of a manifest, with the number of samples in its signature where all samples make one value."""
    if metric["spec"] not in _OF_ALL_SAMPLES:
        return metric
    return metric | {"signature": f"{metric['signature']}|n{samples}"}
