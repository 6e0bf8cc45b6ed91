"""Facts that run folders lack which were written before metrics stated their group and direction."""

from __future__ import annotations

from typing import Any

from srbench.interfaces import Group

_GROUPS: dict[Group, tuple[str, ...]] = {
    "Distortion": ("psnr", "ssim"),
    "Perception": ("lpips", "niqe", "brisque", "pique"),
    "Consistency": ("lr_psnr",),
    "Diversity": ("sigma",),
    "Cost": ("parameters", "gflops", "memory", "seconds"),
}
_LEADING = ("psnr", "lpips", "lr_psnr")


def with_group(metric: dict[str, Any]) -> dict[str, Any]:
    """A metric of a manifest, with group and direction by its name where it states only ``higher_is_better``."""
    if "higher_is_better" not in metric:
        return metric
    facts = dict(metric)
    is_up, name = facts.pop("higher_is_better"), facts["name"]
    group = next((group for group, names in _GROUPS.items() if name in names), "Other")
    direction = 0 if group in ("Diversity", "Cost") else 1 if is_up else -1
    return facts | {"group": group, "direction": direction, "leads": name in _LEADING}
