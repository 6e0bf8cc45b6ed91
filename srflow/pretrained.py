"""SRFlow as two models, before and after its second training stage."""

from __future__ import annotations

from pathlib import Path

from srflow.model import SRFlow


def load_srflow(scale: int, weights: Path | None = None) -> SRFlow:
    """SRFlow; see ``SRFlow.from_pretrained``."""
    return SRFlow.from_pretrained(scale, weights)


def load_srflow_perceptual(scale: int, weights: Path | None = None) -> SRFlow:
    """SRFlow after its second training stage, with losses on samples; see ``SRFlow.from_pretrained``."""
    return SRFlow.from_pretrained(scale, weights, "srflow-perceptual")
