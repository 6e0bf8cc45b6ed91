"""What a metric measures, as the columns of a table are grouped."""

from __future__ import annotations

from srbench.interfaces import MetricFacts

GROUPS = {
    "Distortion": ("psnr", "ssim"),
    "Perception": ("lpips", "niqe", "brisque", "pique"),
    "Consistency": ("lr_psnr",),
    "Diversity": ("sigma",),
    "Cost": ("parameters", "gflops", "memory", "seconds"),
}
"""Groups of metrics, by name, in the order of the table."""
OTHER = "Other"
"""The group of every other metric."""


def group_of(metric: MetricFacts) -> str:
    """Its group: ``Distortion``."""
    return next((group for group, names in GROUPS.items() if metric.name in names), OTHER)


def place_of(metric: MetricFacts) -> int:
    """Where its group stands in a table whose columns are grouped."""
    return [*GROUPS, OTHER].index(group_of(metric))


def direction(metric: MetricFacts) -> int:
    """1 where higher is better, -1 where lower is, 0 where neither.

    A higher temperature always adds diversity, and what a model costs is no merit of its images.
    """
    if group_of(metric) in ("Diversity", "Cost"):
        return 0
    return 1 if metric.higher_is_better else -1
